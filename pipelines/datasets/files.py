"""Data sets in files: `jsonl` (one's own) and the published gsm8k, svamp and object_counting.

A published set is read in its publisher's own fields, from `path` where one is given and from
the model hub otherwise. Files are local or at any URI, in the formats of records.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.config import DatasetConfig
from pipelines.datasets.base import Row, seeded
from pipelines.datasets.choices import agreed, is_number, listed, of_field, shown, unlisted
from pipelines.datasets.records import FORMATS, Record, read
from pipelines.datasets.values import field, spellings, text_of
from pipelines.method.answers import Kind, canonical
from pipelines.storage.text import short

_NUMBER = " Reason briefly, then end with 'Answer:' and the number."


@dataclass(frozen=True)
class Published:
    """Where a set lies on the hub, and its publisher's fields."""

    hub: str
    file: str  # Parquet, with {split}
    question: tuple[str, ...]
    answer: str


PUBLISHED = {
    "gsm8k": Published(
        "openai/gsm8k", "main/{split}-00000-of-00001.parquet", ("question",), "answer"
    ),
    "svamp": Published(
        "ChilleD/SVAMP", "data/{split}-00000-of-00001.parquet", ("Body", "Question"), "Answer"
    ),
    "object_counting": Published(
        "lukaemon/bbh", "object_counting/{split}-00000-of-00001.parquet", ("input",), "target"
    ),
}


def load_published(config: DatasetConfig, seed: int) -> Iterator[Row]:
    published = PUBLISHED[config.name]
    path = config.path or _from_hub(published, config)
    for record in _records(path, config, seed):
        parts = [_text(record, name) for name in published.question]
        # gsm8k ends its worked solution with "#### 72".
        answer = _text(record, published.answer).rpartition("####")[2].strip()
        question = " ".join(part if part.endswith((".", "?")) else f"{part}." for part in parts)
        yield Row(question + _NUMBER, _reference([answer], "number", record), "number")


def load_jsonl(config: DatasetConfig, seed: int) -> Iterator[Row]:
    """One's own file, in any of records.FORMATS, whatever the name says."""
    if config.path is None:
        raise ValueError(f"jsonl: path is missing (a file or URI of {FORMATS})")
    for record in _records(config.path, config, seed):
        place, _ = record
        question = _text(record, config.question)
        answers = spellings(field(record, config.answer), f"{place}: field {config.answer!r}")
        if config.kind == "option":
            yield _option_row(config, record, question, answers)
        else:
            yield Row(question, _reference(answers, config.kind, record), config.kind)


def _option_row(
    config: DatasetConfig, record: Record, question: str, answers: Sequence[str]
) -> Row:
    place, _ = record
    value = None if config.choices is None else field(record, config.choices)
    try:
        if value is None:
            choices = listed(question, numbered=any(is_number(one) for one in answers))
        else:
            choices = agreed(question, of_field(value))
        asked = question if choices is None else shown(question, choices.texts)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    letters = []
    for answer in answers:
        try:
            letters.append(choices.letter(answer) if choices else unlisted(answer))
        except ValueError as error:
            raise ValueError(f"{place}: answer {short(answer)!r} {error}") from None
    reference = _reference(letters, "option", record)
    return Row(asked, reference, "option", choices.texts if choices else None)


def _reference(answers: Sequence[str], kind: Kind, record: Record) -> str:
    """Spellings joined by |; of numbers, letters and formulas the one that all are."""
    place, _ = record
    one_by_one = [part for answer in answers for part in answer.split("|")]
    read = [canonical(one, kind) for one in (one_by_one if kind == "text" else answers)]
    if None in read:
        raise ValueError(f"{place}: answer {short('|'.join(answers))!r} is not of kind {kind}")
    if kind == "text":
        return "|".join(answers)
    if len(set(read)) > 1:
        shown = short(", ".join(answers))
        if kind == "math":  # whether they are equal takes math-verify a process
            raise ValueError(f"{place}: answers {shown} are several; kind math takes one formula")
        raise ValueError(f"{place}: answers {shown} differ; kind {kind} has one")
    return answers[0]


def _text(record: Record, name: str) -> str:
    place, _ = record
    return text_of(field(record, name), f"{place}: field {name!r}")


def _records(path: str, config: DatasetConfig, seed: int) -> list[Record]:
    """Under a limit in a seeded order, so that the limit draws from the whole file."""
    records = read(path)
    if not records:
        raise ValueError(f"{path}: it has no rows")
    return records if config.limit is None else seeded(records, seed)


def _from_hub(published: Published, config: DatasetConfig) -> str:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return hf_hub_download(
            published.hub, published.file.format(split=config.split), repo_type="dataset"
        )
    except (HfHubHTTPError, OSError) as error:
        raise ValueError(
            f"{config.name}: could not fetch split {config.split!r} of {published.hub} from the "
            f"hub ({type(error).__name__}); give a local file as path"
        ) from None
