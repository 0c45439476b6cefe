"""What a data set yields."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from pipelines.config import DatasetConfig
from pipelines.method.answers import Kind


@dataclass(frozen=True)
class Row:
    """A question as the model is asked it, its reference answer, and how answers compare.

    choices: the texts of an option question's, from A on, where they are known.
    """

    question: str
    reference: str
    kind: Kind
    choices: tuple[str, ...] | None = None


class Loader(Protocol):
    """A data set: a function from its config entry and the run's seed to rows.

    A limit takes the first rows, so they come in an order of the seed's, and mixed.
    ValueError, naming the entry's key or the row, where the entry or the data are wrong.
    """

    def __call__(self, config: DatasetConfig, seed: int) -> Iterator[Row]: ...


T = TypeVar("T")


def seeded(rows: Iterable[T], seed: int) -> list[T]:
    """The rows in a random order, the seed's."""
    mixed = list(rows)
    random.Random(seed).shuffle(mixed)
    return mixed
