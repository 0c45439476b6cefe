"""What a data set yields."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

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

    A limit takes the first rows, so their order should be a mixture.
    ValueError, naming the entry's key or the row, where the entry or the data are wrong.
    """

    def __call__(self, config: DatasetConfig, seed: int) -> Iterator[Row]: ...
