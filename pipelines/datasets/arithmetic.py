"""`arithmetic`: sums, differences and products of graded difficulty, from a seeded generator.

A grade is an operation and the digits of its operands. All grades of all splits come from one
fixed shuffle of distinct problems, so the splits share none.
"""

import random
from collections.abc import Iterator
from itertools import chain, zip_longest

from pipelines.config import DatasetConfig
from pipelines.datasets.base import Row

# (operation, largest first operand, largest second operand), easy to hard.
GRADES = (
    ("+", 9, 9), ("-", 9, 9), ("*", 9, 9), ("+", 20, 9), ("*", 12, 12), ("-", 20, 9),
    ("+", 99, 9), ("+", 50, 50), ("-", 99, 50), ("*", 25, 9), ("+", 99, 99), ("+", 500, 99),
)  # fmt: skip
SPLITS = {"train": (0.0, 0.6), "calibration": (0.6, 0.75), "test": (0.75, 1.0)}


def load(config: DatasetConfig, seed: int) -> Iterator[Row]:
    if config.split not in SPLITS:
        raise ValueError(f"arithmetic: split {config.split!r} is none of {', '.join(SPLITS)}")
    low, high = SPLITS[config.split]
    columns = []
    seen: set[str] = set()
    for operation, most_a, most_b in GRADES:
        problems = [
            (
                f"{a} {operation} {b}",
                a + b if operation == "+" else a - b if operation == "-" else a * b,
            )
            for a in range(1, most_a + 1)
            for b in range(1, most_b + 1)
            if operation != "-" or a >= b
        ]
        fresh = [problem for problem in problems if problem[0] not in seen]
        seen.update(text for text, _ in problems)
        random.Random(0).shuffle(fresh)  # fixed: a problem's split never depends on the run
        columns.append(fresh[int(low * len(fresh)) : int(high * len(fresh))])
    # Round the grades, so that any limit keeps the mixture until a grade runs out.
    mixed = chain.from_iterable(zip_longest(*columns))
    for text, value in (problem for problem in mixed if problem is not None):
        yield Row(f"What is {text}? Answer with just the number.", str(value), "number")
