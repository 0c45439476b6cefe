"""The choices of an option question: as it lists them, or from a field of its row."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.datasets.records import parse
from pipelines.datasets.values import text_of
from pipelines.method.answers import canonical, extract
from pipelines.method.answers.option import LETTERS
from pipelines.storage.text import short

_NESTED = 8  # labels at most that are taken off one text: "A. (A) one" has two
# "(A) one", "A) one", "[A] one", "A. one", "1: one". A list begins at a label with `first`, and a
# choice before one ends at `cut`.
_LABEL = (
    r"(?P<open>[(\[])?(?P<label>[A-Za-z]|[0-9]{1,2})"
    r"(?P<close>(?(open)[)\]]|(?:\)|[.:](?=\s))))[ \t]*"
)
_AT_A_LINE = re.compile(rf"(?P<first>)(?P<cut>)^[ \t]*(?:[-*][ \t]+)?{_LABEL}", re.MULTILINE)
_ANYWHERE = re.compile(rf"(?P<first>)(?P<cut>)(?<!\S){_LABEL}")
# "Which? (A) one (B) two": from the beginning of a line or after a question mark
_INLINE = re.compile(
    r"(?:(?P<first>^[ \t]*|[?？]\s*)|(?<!\S))(?P<cut>)"
    r"(?P<open>[(\[])?(?P<label>[A-Za-z])(?P<close>[)\]])[ \t]*",
    re.MULTILINE,
)
_HEADING = re.compile(r"\b(?:options|choices)[ \t]*:", re.IGNORECASE)
# "option B", "the answer: (B)."
_NAMED = re.compile(
    r"[\W_]*(?:(?:the )?(?:option|choice|answer|letter|label)\b[\W_]*)*([^\W_]+)[\W_]*"
)


@dataclass(frozen=True)
class Choices:
    """texts: one line each. labels: what the data call them; () where they do not."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]

    def letter(self, reference: str) -> str:
        """The letter, from A, of the choice that a reference names by label, letter or text.

        Where the data's own labels are letters, these alone count. ValueError, what is wrong with
        it, where it names none of the choices, or more than one.
        """
        named = _places(self.texts, fold(reference))
        label = _bare(reference)
        own = [_bare(one) for one in self.labels]
        if label in own:
            named |= _places(own, label)
        elif (
            label.isdecimal()
            and int(label[:3]) <= len(self.texts)
            and not any(one.isdecimal() for one in own)
        ):
            raise ValueError("may count the choices from 0 or from 1; write a letter")
        elif not any(_is_letter(one) for one in own):
            named |= _places(LETTERS[: len(self.texts)], label)
        if len(named) > 1:
            raise ValueError("names more than one of the choices")
        if not named:
            some = short(", ".join(self.texts))
            raise ValueError(f"is none of the {len(self.texts)} choices ({some})")
        return LETTERS[named.pop()]


def choices_of(question: str) -> tuple[str, ...] | None:
    """The texts of the choices that a question lists; None where it lists none.

    They are labeled from A on, at the beginnings of lines, after "Options:", or on one line that
    begins with (A) or has it after a question mark; after "Options:" also from 1 on. Of several
    lists the last one counts, and one with letters rather than one with numbers.
    """
    found = listed(question)
    return None if found is None else found.texts


def listed(question: str, *, numbered: bool = False) -> Choices | None:
    """choices_of, with the labels. numbered: numbers at lines need no "Options:" before them."""
    found = _lettered(question)
    if found is None and (headings := list(_HEADING.finditer(question))):
        under = question[headings[-1].end() :]
        found = _last_list(_AT_A_LINE, under, digits=True)
        found = found or _last_list(_ANYWHERE, under, digits=True)
    if found is None and numbered:
        found = _last_list(_AT_A_LINE, question, digits=True)
    return None if found is None else found[0]


def shown(question: str, choices: Sequence[str]) -> str:
    """The question, with a list of its choices after it unless it lists them itself.

    ValueError where it lists others: it would be asked with two lists.
    """
    own = listed(question)
    for found in (own, listed(question, numbered=True)):
        if found is not None and found.texts == tuple(choices):
            return question
    if own is not None:
        raise ValueError(
            f"the question lists other choices ({short(', '.join(own.texts))}) than are given "
            f"({short(', '.join(choices))}); leave one list out"
        )
    return with_list(question, choices)


def with_list(question: str, choices: Sequence[str]) -> str:
    """The question, with a list of its choices after it."""
    lines = [f"({letter}) {text}" for letter, text in zip(LETTERS, choices, strict=False)]
    return "\n".join([question, *lines])


def agreed(question: str, choices: Choices) -> Choices:
    """A field's choices with the labels, and in the spelling, by which their question lists them.

    ValueError where the two give the same choices other letters.
    """
    own = listed(question, numbered=True)
    if own is None or [*map(fold, own.texts)] != [*map(fold, choices.texts)]:
        return choices
    _check_letters(choices.labels, own.labels)
    return Choices(own.texts, choices.labels or own.labels)


def unlisted(reference: str) -> str:
    """The letter of a reference whose choices are not known; ValueError where it is none."""
    if is_number(reference):
        raise ValueError("may count the choices from 0 or from 1; write a letter")
    letter = canonical(reference, "option")
    if letter is None:
        raise ValueError("is not of kind option")
    if extract(f"Answer: ({letter})", "option") is None:
        raise ValueError("is beyond the letters that are read where no choices are listed")
    return letter


def is_number(reference: str) -> bool:
    """Whether a reference names a choice by a number."""
    return _bare(reference).isdecimal()


def of_field(value: Any) -> Choices:
    """Choices from a field's value; ValueError, what is wrong with it.

    It is a list of texts, {"text": [...], "label": [...]}, a list of {"text", "label"}, a mapping
    of labels to texts, any of these as JSON in a text, or a text that lists them. Where no labels
    are given, those that the texts begin with are taken off.
    """
    if isinstance(value, str):
        value = _unpacked(value)
    if isinstance(value, Choices):
        return value
    labels: list[Any] = []
    if isinstance(value, list) and all(_is_labeled(one) for one in value):
        labels, texts = [one["label"] for one in value], [one["text"] for one in value]
    elif isinstance(value, list):
        texts = value
    elif isinstance(value, dict) and value.keys() & {"text", "label"}:
        labels, texts = value.get("label"), value.get("text")  # type: ignore[assignment]
        if not isinstance(texts, list) or not isinstance(labels, list):
            raise ValueError("choices with text and label: expected two lists")
    elif isinstance(value, dict):  # Parquet has each key in each row, with null for "none"
        there = {label: text for label, text in value.items() if text is not None}
        labels, texts = list(there), list(there.values())
    else:
        raise ValueError("choices: expected a list of texts, or texts with labels")
    made = of_texts(texts, labels)
    bare = _stripped(Choices(made.texts, ()))  # of ["A) one", "B) two"]
    _check_letters(made.labels, bare.labels)
    return made if made.labels else bare


def of_texts(texts: Sequence[Any], labels: Sequence[Any] = ()) -> Choices:
    """Choices of just these texts, a line each; ValueError, what is wrong with one."""
    if not 2 <= len(texts) <= len(LETTERS):
        raise ValueError(f"choices: expected from 2 to {len(LETTERS)}, not {len(texts)}")
    lines = in_lines([text_of(text, f"choice {n}") for n, text in enumerate(texts, start=1)])
    names = tuple(text_of(label, "a choice's label") for label in labels)
    if names and len({fold(name) for name in names}) != len(lines):
        raise ValueError(f"choices: {len(lines)} texts have the labels {', '.join(names)}")
    return Choices(lines, names)


def in_lines(texts: Sequence[str]) -> tuple[str, ...]:
    """Texts as choices are shown, each on one line."""
    return tuple(" ".join(text.split()) for text in texts)


def _check_letters(labels: Sequence[str], shown_as: Sequence[str]) -> None:
    both = [_bare(one) for one in labels], [_bare(one) for one in shown_as]
    if all(both) and both[0] != both[1] and all(_is_letter(one) for one in both[0] + both[1]):
        raise ValueError(
            f"choices: those with the labels {', '.join(labels)} are listed as "
            f"{', '.join(shown_as)}"
        )


def _stripped(choices: Choices) -> Choices:
    """Without the labels that the texts themselves begin with, which become the choices' own."""
    for _ in range(_NESTED):
        text = "\n".join(choices.texts)
        within = _last_list(_AT_A_LINE, text) or _last_list(_AT_A_LINE, text, digits=True)
        if within is None or len(within[0].texts) != len(choices.texts):
            break
        if len(set(within[0].texts)) < len(set(choices.texts)):
            break  # of ["1: 1", "2: 1"]
        choices = Choices(within[0].texts, choices.labels or within[0].labels)
    return choices


def _unpacked(text: str) -> Any:
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return parse(text)
        except ValueError as error:
            raise ValueError(f"choices: {error}") from None
    if (found := listed(text, numbered=True)) is None:
        raise ValueError("choices: neither JSON nor a list with a label at each line")
    return found


def _is_labeled(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() >= {"text", "label"}


def _is_letter(label: str) -> bool:
    return len(label) == 1 and label.isalpha()


def _bare(label: str) -> str:
    """What a label or a reference to one names: b of "(B)" and "Option B."."""
    folded = fold(label)
    match = _NAMED.fullmatch(folded)
    return match[1] if match else folded


def fold(text: str) -> str:
    """What texts have in common that differ in case and spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _places(texts: Sequence[str], wanted: str) -> set[int]:
    return {index for index, text in enumerate(texts) if fold(text) == wanted}


Found = tuple[Choices, int]  # and where they end


def _lettered(question: str) -> Found | None:
    """The last list with letters; one on one line counts where it follows those at lines."""
    found = _last_list(_AT_A_LINE, question)
    after = question[0 if found is None else found[1] :]
    if headings := list(_HEADING.finditer(after)):
        found = _last_list(_ANYWHERE, after[headings[-1].end() :]) or found
    elif inline := _last_list(_INLINE, after):
        joined = {"and", "or"} & {text.casefold() for text in inline[0].texts}
        found = found if joined else inline  # "(A) and (B) are true"
    return found


def _last_list(pattern: re.Pattern[str], text: str, *, digits: bool = False) -> Found | None:
    """The last run of at least two consecutive labels of one style."""
    runs: list[list[re.Match[str]]] = []
    growing: dict[str, list[re.Match[str]]] = {}
    for match in pattern.finditer(text):
        label = match["label"]
        if label.isdigit() != digits:
            continue
        style = f"{match['open'] or ''}{'a' if label.islower() else 'A'}{match['close']}"
        run = growing.get(style, [])
        if run and label == _nth(len(run), label):
            run.append(match)
        else:
            begins = label == _nth(0, label) and match["first"] is not None
            run = [match] if begins else []
        growing[style] = run
        if len(run) == 2:
            runs.append(run)
    if not runs:
        return None
    last = max(runs, key=lambda run: run[0].start())
    ends = [match.start("cut") for match in last[1:]]
    rest = text[last[-1].end() :].lstrip()
    ends.append(len(text) - len(rest) + len(rest.split("\n", maxsplit=1)[0]))
    texts = [text[match.end() : end] for match, end in zip(last, ends, strict=True)]
    lines = tuple(" ".join(one.split()) for one in texts)
    if len(lines) > len(LETTERS) or not all(lines):
        return None
    return Choices(lines, tuple(match["label"] for match in last)), ends[-1]


def _nth(index: int, like: str) -> str:
    if like.isdigit():
        return str(index + 1)
    letter = LETTERS[index] if index < len(LETTERS) else ""
    return letter.lower() if like.islower() else letter
