"""Data sets: a file for each family, one function each (base.Loader), named in LOADERS."""

from pipelines.datasets import arithmetic, capitals, elements, own
from pipelines.datasets.base import Loader, Row
from pipelines.datasets.published import SETS

LOADERS: dict[str, Loader] = {
    "capitals": capitals.load,
    "arithmetic": arithmetic.load,
    "elements": elements.load,
    "jsonl": own.load,
    **{name: one.load for name, one in SETS.items()},
}

__all__ = ["LOADERS", "Loader", "Row"]
