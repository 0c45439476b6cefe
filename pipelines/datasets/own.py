"""`jsonl`: one's own questions, in files of any format (sources.py), whatever the name says."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from string import Formatter

from pipelines.config import DatasetConfig
from pipelines.config.values import fields_of
from pipelines.datasets.base import Row, picked
from pipelines.datasets.choices import (
    Choices,
    agreed,
    is_number,
    listed,
    of_field,
    of_texts,
    shown,
    unlisted,
)
from pipelines.datasets.records import Record, Refused, fail, read
from pipelines.datasets.values import field, is_empty, several, text_of
from pipelines.method.answers import SEPARATORS, Kind, canonical, references
from pipelines.storage.text import short


def load(config: DatasetConfig, seed: int, refused: Refused = fail) -> Iterator[Row]:
    path = config.path
    assert path is not None, "entries.check looks"
    has = cache(partial(_has, path))
    templates = [one for one in (config.prompt, config.system) if one]
    may_be_empty = {name for one in templates for name in fields_of(one)}
    if isinstance(config.choices, tuple):
        may_be_empty |= set(config.choices)
    for place, fields in picked(partial(read, path), config.limit, seed, refused):
        empty = [name for name in may_be_empty - fields.keys() if has(name)]
        try:
            row = _row(config, (place, fields | dict.fromkeys(empty)))
        except ValueError as error:
            refused(error)
        else:
            yield row


def _has(path: str, name: str) -> bool:
    """Whether any row has a field: then it is empty where JSON leaves it out, and else misspelt."""
    with suppress(ValueError):  # of a broken file, which is told where its rows are read
        return any(name in fields for _, fields in read(path, lambda error: None))
    return False


def _row(config: DatasetConfig, record: Record) -> Row:
    place, _ = record
    question = _asked(config.prompt, record) if config.prompt else _text(record, config.question)
    system = (_filled(config.system, record) or None) if config.system else None
    answers = several(
        field(record, config.answer), config.kind, f"{place}: field {config.answer!r}"
    )
    if config.kind != "option":
        return Row(question, _reference(answers, config.kind, record), config.kind, system=system)
    given = None if config.choices is None else _choices(config.choices, record)
    with _at(place):
        if given is None:
            choices = listed(question, numbered=any(is_number(one) for one in answers))
        else:
            choices = agreed(question, given)
        asked = question if choices is None else shown(question, choices.texts)
    letters = []
    for answer in answers:
        try:
            base = config.answer_base
            letters.append(choices.letter(answer, base) if choices else unlisted(answer, base))
        except ValueError as error:
            raise ValueError(f"{place}: answer {short(answer)!r} {error}") from None
    reference = _reference(letters, "option", record)
    return Row(asked, reference, "option", choices.texts if choices else None, system)


def _choices(named: str | Sequence[str], record: Record) -> Choices:
    """Those in a field, or one in each of several, which is empty where there is none."""
    place, _ = record
    if isinstance(named, str):
        value = field(record, named)
        with _at(place):
            return of_field(value)
    there = {name: field(record, name) for name in named if not is_empty(record, name)}
    with _at(place):
        return of_texts(list(there.values()), list(there))


@contextmanager
def _at(place: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _asked(prompt: str, record: Record) -> str:
    """A question from several fields, of which one has to be there."""
    place, _ = record
    names = fields_of(prompt)
    if all(is_empty(record, name) for name in names):
        raise ValueError(f"{place}: all fields of prompt are empty ({', '.join(names)})")
    return _filled(prompt, record)


def _filled(template: str, record: Record) -> str:
    """A template with the row's fields in it, of which one that is empty leaves nothing."""
    parts = []
    for literal, name, _, _ in Formatter().parse(template):
        parts.append(literal)
        if name is not None and not is_empty(record, name):
            parts.append(_text(record, name))
    return "".join(parts).strip()


def _reference(answers: Sequence[str], kind: Kind, record: Record) -> str:
    """The answers as one string, of an option the one letter that all are."""
    place, _ = record
    forms: dict[tuple[str | None, ...], str] = {}
    for answer in answers:
        read = [canonical(one, kind) for one in references(answer, kind)]
        if None in read:
            raise ValueError(f"{place}: answer {short(answer)!r} is not of kind {kind}")
        forms.setdefault(tuple(read), answer)
    if kind == "option" and len(forms) > 1:
        raise ValueError(f"{place}: answers {short(', '.join(answers))} differ; an option has one")
    return answers[0] if len(forms) == 1 else SEPARATORS[kind].join(forms.values())


def _text(record: Record, name: str) -> str:
    place, _ = record
    return text_of(field(record, name), f"{place}: field {name!r}")
