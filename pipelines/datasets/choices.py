"""The choices of an option question: as it lists them, or from a field of its row."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.datasets import lists
from pipelines.datasets.records import parse
from pipelines.datasets.values import is_nothing, text_of
from pipelines.method.answers import canonical, extract
from pipelines.method.answers.choice import LETTERS
from pipelines.storage.text import short

_NESTED = 8  # labels at most that are taken off one text: "A. (A) one" has two
# "option B", "the answer: (B)."
_NAMED = re.compile(
    r"[\W_]*(?:(?:the )?(?:option|choice|answer|letter|label)\b[\W_]*)*([^\W_]+)[\W_]*"
)
_BELOW_0 = re.compile(r"\W*[-−–]\s*\d")  # -1 stands for no answer
_MAY_COUNT = "may count the choices from 0 or from 1; say which by answer_base"


@dataclass(frozen=True)
class Choices:
    """texts: one line each. labels: what the data call them; () where they do not."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]

    def letter(self, reference: str, base: int | None = None) -> str:
        """The letter, from A, of the choice that a reference names by label, letter or text, or by
        a label and the text after it.

        Where the data's own labels are letters, these alone count. base: what a number counts the
        choices from, be it one's text or not. ValueError, what is wrong with it, where it names
        none of the choices, or more than one.
        """
        labels, text = self._apart(reference)
        counted = None if base is None else _counted(reference, base, len(self.texts))
        named = _places(self.texts, fold(text)) if counted is None else {counted}
        for label in labels or [_bare(reference)]:
            named |= self._labeled(label)
        if counted is None and not labels and self._may_count(_bare(reference)):
            raise ValueError(_MAY_COUNT)
        some = short(", ".join(self.texts))
        if len(named) > 1:
            raise ValueError(
                f"names more than one of the choices ({some}) by place, label or text; name it by "
                "another of these"
            )
        if not named:
            raise ValueError(f"is none of the {len(self.texts)} choices ({some})")
        return LETTERS[named.pop()]

    @property
    def _own(self) -> list[str]:
        return [_bare(one) for one in self.labels]

    def _apart(self, reference: str) -> tuple[list[str], str]:
        """The labels before the text of a choice, and it; none where the reference is not so."""
        labels: list[str] = []
        text = reference
        while not _places(self.texts, fold(text)):
            if len(labels) == _NESTED or (begun := lists.begun(text)) is None:
                return [], reference
            labels.append(fold(begun[0]))
            text = begun[1]
        return labels, text

    def _labeled(self, label: str) -> set[int]:
        """The choices that a label names: one of the data's own or, unless these are letters, one
        by its place, and one whose text begins with it, as all do."""
        if label in self._own:
            return _places(self._own, label)
        if any(_is_letter(one) for one in self._own):
            return set()
        return _places(self._within, label) | _places(LETTERS[: len(self.texts)], label)

    @property
    def _within(self) -> list[str]:
        """The labels that the texts begin with; none where one does not."""
        begun = [lists.begun(text) for text in self.texts]
        labels = [fold(one[0]) for one in begun if one is not None]
        return labels if len(labels) == len(begun) else []

    def _may_count(self, label: str) -> bool:
        """Whether a number is none of the labels, and may count the choices from 0 or from 1."""
        known = any(one.isdecimal() for one in self._own) or self._within[:1] in (["0"], ["1"])
        return label.isdecimal() and int(label[:3]) <= len(self.texts) and not known


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
    found = lists.in_question(question, numbered=numbered)
    return None if found is None else Choices(found.texts, found.labels)


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


def unlisted(reference: str, base: int | None = None) -> str:
    """The letter of a reference whose choices are not known, or of a number that counts them from
    base; ValueError where it is none."""
    counted = None if base is None else _counted(reference, base, len(LETTERS))
    if counted is None and is_number(reference):
        raise ValueError(_MAY_COUNT)
    letter = canonical(reference, "option") if counted is None else LETTERS[counted]
    if letter is None or _BELOW_0.match(reference):
        raise ValueError("is not of kind option")
    if extract(f"Answer: ({letter})", "option") is None:
        raise ValueError("is beyond the letters that are read where no choices are listed")
    return letter


def _counted(reference: str, base: int, count: int) -> int | None:
    """The index of the choice, of so many, that a number names which counts from base; None where
    it is no number. ValueError where it is beyond them."""
    if not is_number(reference):
        return None
    index = int(_bare(reference).lstrip("0")[:3] or 0) - base
    if not 0 <= index < count:
        raise ValueError(f"is none of the {count} choices, counted from {base}")
    return index


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
        there = {label: text for label, text in value.items() if not is_nothing(text)}
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
        within = lists.of_lines(choices.texts)
        if within is None or len(set(within.texts)) < len(set(choices.texts)):
            break  # of ["1: 1", "2: 1"]
        choices = Choices(within.texts, choices.labels or within.labels)
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
    return match[1] if match and not _BELOW_0.match(folded) else folded


def fold(text: str) -> str:
    """What texts have in common that differ in case and spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _places(texts: Sequence[str], wanted: str) -> set[int]:
    return {index for index, text in enumerate(texts) if fold(text) == wanted}
