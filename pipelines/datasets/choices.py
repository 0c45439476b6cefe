"""The choices of an option question: as it lists them, or from a field of its row."""

import json
import re
import string
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.datasets.values import text_of
from pipelines.method.answers import canonical

LETTERS = string.ascii_uppercase
# "(A) one", "A) one", "[A] one", "A. one", "1: one".
_LABEL = (
    r"(?P<open>[(\[])?(?P<label>[A-Za-z]|[0-9]{1,2})"
    r"(?P<close>(?(open)[)\]]|(?:\)|[.:](?=\s))))[ \t]*"
)
_AT_A_LINE = re.compile(rf"^[ \t]*(?:[-*][ \t]+)?{_LABEL}", re.MULTILINE)
_ANYWHERE = re.compile(rf"(?<!\S){_LABEL}")
_HEADING = re.compile(r"\b(?:options|choices)[ \t]*:", re.IGNORECASE)


@dataclass(frozen=True)
class Choices:
    """texts: one line each. labels: what the data call them; () where they do not."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]

    def letter(self, reference: str) -> str:
        """The letter, from A, of the choice that a reference names by label, letter or text.

        ValueError, what is wrong with it, where it names none of them, or more than one.
        """
        by_text = _places(self.texts, _fold(reference))
        plain = _fold(reference).strip("()[]. ")
        letters = LETTERS[: len(self.texts)]
        if not (by_label := _places(self.labels, plain)):
            if plain.isdecimal() and len(plain) < 3 and int(plain) <= len(self.texts):
                raise ValueError("may count the choices from 0 or from 1; write a letter")
            by_label = _places(letters, plain)
        if not by_label | by_text and not plain.isdecimal():  # canonical's "2" is B
            by_label = _places(letters, _fold(canonical(reference, "option") or ""))
        named = by_label | by_text
        if len(named) > 1:
            raise ValueError("names more than one of the choices")
        if not named:
            some = textwrap.shorten(", ".join(self.texts), 80, placeholder=" ...")
            raise ValueError(f"is none of the {len(self.texts)} choices ({some})")
        return LETTERS[named.pop()]


def choices_of(question: str) -> tuple[str, ...] | None:
    """The texts of the choices that a question lists; None where it lists none.

    They are labeled from A or 1 on, at the beginnings of lines or after "Options:". Of several
    lists the last one counts, and one with letters rather than one with numbers.
    """
    found = listed(question)
    return None if found is None else found.texts


def listed(question: str) -> Choices | None:
    """choices_of, with the labels."""
    if (found := _last_list(_AT_A_LINE, question)) is not None:
        return found
    headings = list(_HEADING.finditer(question))
    return _last_list(_ANYWHERE, question[headings[-1].end() :]) if headings else None


def shown(question: str, choices: Sequence[str]) -> str:
    """The question, with a list of its choices after it unless it lists them itself."""
    if choices_of(question) == tuple(choices):
        return question
    lines = [f"({letter}) {text}" for letter, text in zip(LETTERS, choices, strict=False)]
    return "\n".join([question, *lines])


def of_field(value: Any) -> Choices:
    """Choices from a field's value; ValueError, what is wrong with it.

    It is a list of texts, {"text": [...], "label": [...]}, a list of {"text", "label"}, a mapping
    of labels to texts, any of these as JSON in a text, or a text that lists them.
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
    elif (
        _is_labeled(value) and isinstance(value["text"], list) and isinstance(value["label"], list)
    ):
        labels, texts = value["label"], value["text"]
    elif isinstance(value, dict):  # Parquet has each key in each row, with null for "none"
        there = {label: text for label, text in value.items() if text is not None}
        labels, texts = list(there), list(there.values())
    else:
        raise ValueError("choices: expected a list of texts, or texts with labels")
    return _checked(texts, labels)


def _checked(texts: list[Any], labels: list[Any]) -> Choices:
    if not 2 <= len(texts) <= len(LETTERS):
        raise ValueError(f"choices: expected from 2 to {len(LETTERS)}, not {len(texts)}")
    lines = tuple(
        " ".join(text_of(text, f"choice {number}").split())
        for number, text in enumerate(texts, start=1)
    )
    if not labels:
        own = listed("\n".join(lines))  # ["A) one", "B) two"]
        return own if own is not None and len(own.texts) == len(lines) else Choices(lines, ())
    names = [text_of(label, "a choice's label") for label in labels]
    if len({_fold(name) for name in names}) != len(lines):
        raise ValueError(f"choices: {len(lines)} texts have the labels {', '.join(names)}")
    return Choices(lines, tuple(names))


def _unpacked(text: str) -> Any:
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"choices: not JSON ({error})") from None
    if (found := listed(text)) is None:
        raise ValueError("choices: neither JSON nor a list with a label at each line")
    return found


def _is_labeled(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() >= {"text", "label"}


def _fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _places(texts: Sequence[str], wanted: str) -> set[int]:
    return {index for index, text in enumerate(texts) if _fold(text) == wanted}


def _last_list(pattern: re.Pattern[str], text: str) -> Choices | None:
    """The last run of at least two consecutive labels of one style, letters before numbers."""
    runs: list[list[re.Match[str]]] = []
    growing: dict[str, list[re.Match[str]]] = {}
    for match in pattern.finditer(text):
        label = match["label"]
        style = f"{match['open'] or ''}{'a' if label.islower() else 'A'}{match['close']}"
        if label.isdigit():
            style += "1"
        run = growing.get(style, [])
        if label == _nth(len(run), label):
            run.append(match)
        elif label == _nth(0, label):
            run = [match]
        else:
            run = []
        growing[style] = run
        if len(run) == 2:
            runs.append(run)
    if not runs:
        return None
    last = max(runs, key=lambda run: (not run[0]["label"].isdigit(), run[0].start()))
    ends = [match.start() for match in last[1:]]
    rest = text[last[-1].end() :].lstrip()
    ends.append(len(text) - len(rest) + len(rest.split("\n", maxsplit=1)[0]))
    texts = [text[match.end() : end] for match, end in zip(last, ends, strict=True)]
    lines = tuple(" ".join(one.split()) for one in texts)
    if len(lines) > len(LETTERS) or not all(lines):
        return None
    return Choices(lines, tuple(match["label"] for match in last))


def _nth(index: int, like: str) -> str:
    if like.isdigit():
        return str(index + 1)
    letter = LETTERS[index] if index < len(LETTERS) else ""
    return letter.lower() if like.islower() else letter
