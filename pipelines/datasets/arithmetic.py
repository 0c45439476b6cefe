"""`arithmetic`: sums, differences, products, quotients of graded difficulty, from a generator.

A grade is an operation and the ranges of its operands. Each grade's distinct problems are cut
into splits after one fixed shuffle, so the splits share none. 3 * 4 and 4 * 3 are one problem,
which stands once, in an order by chance.
"""

import operator
import random
from collections.abc import Callable, Iterator
from itertools import chain, zip_longest

from pipelines.config import DatasetConfig
from pipelines.datasets.base import Row, seeded
from pipelines.datasets.records import Refused, fail

_ONES, _TENS, _HUNDREDS = range(1, 10), range(10, 100, 10), range(100, 1000, 100)
# (operation, first operands, second operands), easy to hard for SmolLM2-135M: over 96 samples a
# grade at T0 = 0.8 it was right in 0.67 of the first, 0.3 in the middle, 0.18 of the last but one.
GRADES: tuple[tuple[str, range, range], ...] = (
    ("*", range(2, 100), range(1, 2)),
    ("+", range(1, 60), range(1)),
    ("*", range(1, 20), range(100, 101)),
    ("/", range(10, 400, 10), range(10, 11)),
    ("*", _ONES, _ONES),
    ("*", _HUNDREDS, range(2, 10)),
    ("+", _ONES, _ONES),
    ("-", _ONES, _ONES),
    ("*", _TENS, range(2, 10)),
    ("+", _HUNDREDS, _HUNDREDS),
    ("+", range(11, 100), range(11, 100)),
)
VALUES: dict[str, Callable[[int, int], int]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.floordiv,
}  # fmt: skip
COMMUTATIVE = "+*"
SPLITS = {"train": (0.0, 0.6), "calibration": (0.6, 0.75), "test": (0.75, 1.0)}


def load(config: DatasetConfig, seed: int, refused: Refused = fail) -> Iterator[Row]:
    if config.split not in SPLITS:
        raise ValueError(f"arithmetic: split {config.split!r} is none of {', '.join(SPLITS)}")
    low, high = SPLITS[config.split]
    columns = []
    seen: set[tuple[str, int, int]] = set()
    for sign, first, second in GRADES:
        pairs = [(a, b) for a in first for b in second if sign != "-" or a > b]
        random.Random(0).shuffle(pairs)  # fixed: a problem's split never depends on the run
        fresh = []
        for a, b in pairs:
            problem = (sign, min(a, b), max(a, b)) if sign in COMMUTATIVE else (sign, a, b)
            if problem not in seen:
                seen.add(problem)
                fresh.append((f"{a} {sign} {b}", VALUES[sign](a, b)))
        columns.append(seeded(fresh[int(low * len(fresh)) : int(high * len(fresh))], seed))
    # Round the grades, so that any limit keeps the mixture until a grade runs out.
    mixed = chain.from_iterable(zip_longest(*columns))
    for text, value in (problem for problem in mixed if problem is not None):
        yield Row(f"What is {text}? Answer with just the number.", str(value), "number")
