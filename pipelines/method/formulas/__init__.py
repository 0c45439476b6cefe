"""Answers that are formulas: expressions, equations, sets, intervals, tuples, matrices.

They have no canonical form. Two are compared by math-verify, in worker processes (workers.py,
algebra.py), and its verdicts are no equivalence relation: 1/3 is 0.333333, which is 0.3333334. So
the answers of a query are put into classes in a fixed order, and the first of a class stands for
all of it: being in one class is reflexive, symmetric and transitive by construction, and whatever
compares strings (SSC, votes, policies) goes on to do so.
"""

import re
from collections.abc import Callable
from functools import lru_cache

from pipelines.method.formulas import workers

LONGEST = 1_000  # characters; a longer formula is not read

_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))
_ESCAPED = re.compile(r"\\.")


def clean(text: str) -> str | None:
    """A formula in one line, without the delimiters of its mode and the full stop after it.

    None where there is none, where its braces do not match, or where it is longer than LONGEST.
    """
    if len(text) > 2 * LONGEST:  # so that what follows takes no time on a whole essay
        return None
    text = " ".join(text.split())
    before = None
    while before != text:
        before = text
        text = text.rstrip(" .,;").removesuffix("\\").strip()
        for opening, closing in _DELIMITERS:
            inner = text[len(opening) : -len(closing)]
            if text == f"{opening}{inner}{closing}" and closing not in inner:
                text = inner
    return text if text and len(text) <= LONGEST and _balanced(text) else None


def _balanced(text: str) -> bool:
    depth = 0
    for character in _ESCAPED.sub("", text):
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return False
    return depth == 0


def compare(first: str, second: str) -> bool | None:
    """Whether two formulas are equal; None where one is not read or the comparison does not end.

    Blocks for at most some seconds of a process's CPU (workers.LIMIT); verdicts are cached.
    Symmetric. RuntimeError where no process can be started.
    """
    if first != second and not (parses(first) and parses(second)):
        return None
    return _compare(*sorted((first, second)))


@lru_cache(maxsize=1 << 16)
def _compare(first: str, second: str) -> bool | None:
    return workers.ask(first, second)


def equal(first: str, second: str) -> bool:
    return compare(first, second) is True


def parses(text: str) -> bool:
    """Whether a formula can be read, and worked with within the limit."""
    return compare(text, text) is not None


class Classes:
    """The classes of a query's formulas, which must come in the order of their samples.

    Each is compared with the first ones of the classes so far, in the order of these. The first
    that is equal has it in its class; where none is, it founds one. One that cannot be read, or
    whose comparison does not end, has none.
    """

    def __init__(self, compare: Callable[[str, str], bool | None] = compare):
        self._compare = compare
        self._class_of: dict[str, str | None] = {}

    def of(self, formula: str) -> str | None:
        """The first formula of its class, or None; blocks as `compare` does."""
        if formula not in self._class_of:
            self._class_of[formula] = self._place(formula)
        return self._class_of[formula]

    def _place(self, formula: str) -> str | None:
        if self._compare(formula, formula) is None:
            return None
        for first in [one for one, its in self._class_of.items() if one == its]:
            verdict = self._compare(first, formula)
            if verdict is None:
                return None
            if verdict:
                return first
        return formula
