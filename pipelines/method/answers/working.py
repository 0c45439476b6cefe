"""Steps of a working that is headed as an answer: "Solution: 16 - 7 = 9. Then 9 * 2 = 18."."""

import re
from collections.abc import Iterator

from pipelines.method.answers.numerals import numbers, prepared
from pipelines.method.answers.quantity import whole
from pipelines.method.answers.said import before

SENTENCE = re.compile(r"\n|[;!?。！？؟।]|\.(?!\d)")
# What is said after an answer, and not of it.
ASIDE = re.compile(
    r"(?:^|(?<=\n)|(?<=[.!]\s))[*_#\s]{0,6}(?:to\s+|let me\s+|let's\s+|we can\s+)?(?:double[- ])?"
    r"(?:check|verif\w+|proof|probe)\b[^\n]{0,20}[:.,]"
    r"|\n[*_#\s(]{0,6}note\b[^\n]{0,20}?:",
    re.IGNORECASE,
)
_WHY = re.compile(r"\b(?:explanation|because|reason|here is why|check|verif\w+|indeed)\b", re.I)
_OPERATION = re.compile(r"[\d%)]\s*(?:[^\W\d_]+\s*)?[-+*/×÷·x]\s*[$€£(√]?\d|√\(?\d")
_RESULT = re.compile(r"[\s*(]*[$€£]?\s?-?[.\d]")


def is_step(text: str, *, weak: bool) -> bool:
    """Whether a statement is followed by a further step of the working that it belongs to.

    An equation is one where a later one goes on with its result. What is called a result or a
    solution (weak) needs not be one, and where it is more than a number any later one overrides it.
    """
    if "=" not in text:
        return False
    text = prepared(text).strip(" \t\n*_")
    sentence = before(SENTENCE, text)
    later = list(_equations(before(_WHY, text[len(sentence) :])))
    if not later or not (found := list(numbers(sentence, alone=False))):
        return False
    value = found[-1].value
    goes_on = any(value == one.value for left in later for one in numbers(left, alone=False))
    if weak:
        return goes_on or whole(sentence) is None
    return goes_on and any(_equations(sentence))


def _equations(text: str) -> Iterator[str]:
    """The left sides of equations such as "9 * 2 = 18"."""
    for sentence in SENTENCE.split(text):
        left, *sides = sentence.split("=")
        for right in sides:
            if _OPERATION.search(left) and _RESULT.match(right):
                yield left
            left = right
