"""Which of a question's choices a text is: by its number, else by its words and signs."""

import re
import string
from collections.abc import Sequence
from functools import lru_cache

from pipelines.method.answers import phrase
from pipelines.method.answers.denial import denied_after
from pipelines.method.answers.folding import folded
from pipelines.method.answers.latex import plain
from pipelines.method.answers.quantity import whole

LETTERS = string.ascii_uppercase  # of choices, in their order
_DENIES = re.compile(
    r" (?:not|no|never|neither|nor|\w*n t|can t|cannot|except|but|unlike|without|wrong|false|"
    r"doubt|why|rules? out|ruled out|exclude[sd]?|eliminate[sd]?|lacks?|"
    r"options?|choices?|are|is it|was it) "
)
# How data sets of tokens write "2.5", "3:4", "$5" and "Rs 300".
_APART = re.compile(r"(?:(?<=\d) ([.,:^]) (?=\d)|([$€£]) (?=\d))")
_RUPEES = re.compile(r"\brs ?\. ?(?=\d)", re.IGNORECASE)
_DIFFERENCE = re.compile(r"(?:(?<=\d)|(?<=\b[a-z])|(?<=\))) ?[-−–] ?(?=\d|[a-z]\b|\()")
_BETWEEN_WORDS = re.compile(r"(?<!\d) | (?!\d)")
_RELATION = re.compile(r"\\([lg])([et])(?:q|qslant)?(?![a-zA-Z])")  # of LaTeX
_COMPARED = re.compile(r"\A\s*([<>]) ?(?=\d)")
_BOUND = re.compile(r"[<>≤≥≠]")  # "x <= 5" is no 5
_EQUAL = re.compile(r"(?<=\w)=(?!\Z)")


def by_text(text: str, choices: Sequence[str] | None) -> str | None:
    """The letter of the one choice that a text is: the same number, else the same words and signs.

    Of several that are the same number ("3 m", "3 km"), the one that has its words, too.
    """
    if not choices:
        return None
    text = _close(text)
    name = None if denied_after(text) else phrase.written(text, exact=False)
    said = [_meant(one) for one in (text, name) if one]
    numbers, words = {one for one, _ in said if one}, {one for _, one in said if one}
    found = {}
    for letter, choice in zip(LETTERS, choices, strict=False):
        number, wanted = _meant(choice)
        if number in numbers if numbers and number else wanted in words:
            found[letter] = wanted in words
    letters = [one for one, worded in found.items() if worded or len(found) == 1]
    return letters[0] if len(letters) == 1 else None


@lru_cache(maxsize=4096)
def _meant(text: str) -> tuple[str | None, str]:
    """The number that a text is, and its words and signs: "5 MeV" is "5MeV", "1 3" is not "13"."""
    text = _close(text)
    number = None if _BOUND.search(text) else whole(text)
    return number, _BETWEEN_WORDS.sub("", _words(text))


def _words(text: str) -> str:
    """Folded, with what is equal to something set apart from it."""
    return _EQUAL.sub(" = ", folded(text) or "")


def _close(text: str) -> str:
    """Plain text with signs as they are usually written: "- 5", "2 . 5" and "rs . 300" are -5,
    2.5 and Rs 300. A minus between operands becomes a word, which no dash is."""
    text = _RELATION.sub(_relation, _RUPEES.sub("Rs ", plain(text)))
    text = _COMPARED.sub(_than, text).replace("±", " plus or minus ")
    return _DIFFERENCE.sub(" minus ", _APART.sub(r"\1\2", text))


def _relation(match: re.Match[str]) -> str:
    return ("<" if match[1] == "l" else ">") + ("=" if match[2] == "e" else "")


def _than(match: re.Match[str]) -> str:
    return "less than " if match[1] == "<" else "greater than "


def mentioned_text(text: str, choices: Sequence[str] | None) -> str | None:
    """The letter of the one choice that a text ends with which names no other, and denies none."""
    said = f" {_words(_close(text))} "
    found = {}
    for letter, choice in zip(LETTERS, choices or (), strict=False):
        if (wanted := _words(_close(choice))) and f" {wanted} " in said:
            found[letter] = said.removesuffix(f" {wanted} ")
    if len(found) != 1 or text.rstrip().endswith("?"):
        return None
    ((letter, rest),) = found.items()
    return None if rest == said or _DENIES.search(f"{rest} ") else letter
