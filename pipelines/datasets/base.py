"""What a data set yields."""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import compress
from typing import Protocol, TypeVar

import numpy as np

from pipelines.config import DatasetConfig
from pipelines.datasets.records import Refused
from pipelines.method.answers import Kind


@dataclass(frozen=True)
class Row:
    """A question as the model is asked it, its reference answer, and how answers compare.

    choices: the texts of an option question's, from A on, where they are known. system: a system
    prompt of its own, in place of the config's.
    """

    question: str
    reference: str
    kind: Kind
    choices: tuple[str, ...] | None = None
    system: str | None = None


class Loader(Protocol):
    """A data set: a function from its config entry and the run's seed to rows, one by one.

    The first `limit` of them count: of a built-in set in an order that the seed mixes, of files
    those that the seed picks, in their order; of a published set all come (entries.py picks).
    refused is told what is wrong with a row, which is left out. ValueError, naming the entry's key
    or the file, where the entry or the data are wrong.
    """

    def __call__(self, config: DatasetConfig, seed: int, refused: Refused) -> Iterator[Row]: ...


T = TypeVar("T")


def seeded(rows: Iterable[T], seed: int) -> list[T]:
    """The rows in a random order, the seed's."""
    mixed = list(rows)
    random.Random(seed).shuffle(mixed)
    return mixed


def picked(
    rows: Callable[[Refused], Iterator[T]], limit: int | None, seed: int, refused: Refused
) -> Iterator[T]:
    """So many of the rows, the seed's, in their order; all of them where there is no limit.

    They are read twice, and of each a number is kept, not the row; refused is told of all that are
    wrong, once. A smaller limit picks of those that a larger one does.
    """
    if limit is None:
        return rows(refused)
    count = sum(1 for _ in rows(refused))
    wanted = np.ones(count, bool)
    if limit < count:
        keys = np.random.default_rng(seed).random(count)
        wanted[np.argpartition(keys, limit)[limit:]] = False
    return compress(rows(lambda error: None), wanted)
