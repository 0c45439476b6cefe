"""Data sets: a file for each family, one function each (base.Loader), named in LOADERS."""

from pipelines.datasets import adversarial, arithmetic, capitals, elements, own
from pipelines.datasets.base import Loader, Row
from pipelines.datasets.published import SETS

BUILT_IN = ("capitals", "arithmetic", "elements", "adversarial")  # their rows are in this code
LOADERS: dict[str, Loader] = {
    "capitals": capitals.load,
    "arithmetic": arithmetic.load,
    "elements": elements.load,
    "adversarial": adversarial.load,
    "jsonl": own.load,
    **{name: one.load for name, one in SETS.items()},
}

__all__ = ["BUILT_IN", "LOADERS", "Loader", "Row"]
