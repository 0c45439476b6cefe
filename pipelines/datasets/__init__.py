"""Data sets: a file for each family, one function each (base.Loader), named in LOADERS."""

from pipelines.datasets import adversarial, arithmetic, capitals, elements, files
from pipelines.datasets.base import Loader, Row

BUILT_IN = ("capitals", "arithmetic", "elements", "adversarial")  # their rows are in this code
LOADERS: dict[str, Loader] = {
    "capitals": capitals.load,
    "arithmetic": arithmetic.load,
    "elements": elements.load,
    "adversarial": adversarial.load,
    "jsonl": files.load_jsonl,
    **dict.fromkeys(files.PUBLISHED, files.load_published),
}

__all__ = ["BUILT_IN", "LOADERS", "Loader", "Row"]
