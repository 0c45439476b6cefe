"""Which of the numbers of a sentence it is about: "He earns $64 in 16 hours" is about 64."""

import re
from collections.abc import Sequence

from pipelines.method.answers.numerals import CURRENCY, Found
from pipelines.method.answers.quantity import whole
from pipelines.method.answers.said import end_of_last

_BEFORE = 80  # characters before a number that tell what it is there for
_BOLD = re.compile(r"\*\*([^*\n]{1,60})\*\*")
# Words between a preposition and its number: "in each of the first 4 groups", "after giving 3".
_BETWEEN = (
    r"(?:(?:the|these|those|all|each|every|both|an?|his|her|its|their|my|our|your|of|about|end|"
    r"first|last|next|other|another|remaining|average|only|just|goal|"
    r"day|week|month|year|hour|game|round|step|page|\w+ing)\s+){0,5}"
)
# What is said of circumstances: how long, of how many, at what price, what for.
_CIRCUMSTANCE = re.compile(
    rf"\b(?:in|of|on|over|after|before|from|every|per|during|within|among|between|than|across|"
    rf"until|since|throughout|with|by|at|for)\s+{_BETWEEN}\Z"
    rf"|\d(?:\s+[^\W\d_]+){{0,3}}\s+to\s+(?!(?:get|give|make|obtain|find|be|equal)\b)[^\W\d_]+\s+"
    rf"{_BETWEEN}\Z"  # "13 hours to earn $260"
    r"|\b(?:the|these|those|all)\s+\Z",
    re.IGNORECASE,
)
# And of what it comes to: "a total of 5", "left with 5".
_RESULT = re.compile(
    r"\b(?:an?|total|sum|average|difference|number|amount|cost|price)(?:\s+[^\W\d_]+){0,3}?\s+of\s+\Z"
    r"|\b(?:up|(?:left|leav\w+)(?:\s+\w+)?)\s+with\s+(?:only\s+|just\s+)?\Z"
    r"|\bresult\w*\s+in\s+\Z|\b(?:priced|valued|estimated|arriv\w+)\s+at\s+\Z"
    r"|(?:,|\b(?:sold|sells?|bought|goes))\s+for\s+\Z|=\s*\Z",
    re.IGNORECASE,
)
_SO = re.compile(
    r"\b(?:so|thus|hence|therefore|then)\b,?\s+(?!far\b|many\b|much\b|that\b)", re.IGNORECASE
)
_ATTRIBUTE = re.compile(r"-[^\W\d_]{2}")  # "a 250-page book"


def topic(sentence: str, found: Sequence[Found]) -> Found:
    """Of the numbers of a sentence, at least one: the only one in bold type, else of what follows
    a "so" the last that is no circumstance, else the last."""
    bold = [match for match in _BOLD.finditer(sentence) if whole(match[1]) is not None]
    if len(bold) == 1:
        start, end = bold[0].span(1)
        marked = [one for one in found if start <= one.start and one.end <= end]
        if len(marked) == 1:
            return marked[0]
    so = end_of_last(_SO, sentence[: found[-1].start])
    later = [one for one in found if one.start >= so]
    return next((one for one in reversed(later) if not _given(sentence, so, one)), found[-1])


def _given(sentence: str, so: int, one: Found) -> bool:
    before = sentence[max(so, one.start - _BEFORE) : one.start].replace("*", "").rstrip("( ") + " "
    money = sentence[one.start : one.end].lstrip()[0] in CURRENCY
    if _ATTRIBUTE.match(sentence, one.end):
        return True
    if not before.strip(" *_"):  # "So 3 pumps fill the tank in 15 minutes"
        return not money and not sentence.startswith(" of ", one.end)
    if _RESULT.search(before) or (money and before.endswith("for ")):  # "sold for $5"
        return False
    return _CIRCUMSTANCE.search(before) is not None
