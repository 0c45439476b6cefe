"""`adversarial`: questions that mislead, to evaluate on.

adversarial.jsonl, beside this file, has a question a row, with its answer, its category (logic,
arithmetic, units, probability or language) and why one gets it wrong: a misconception that a model
may have read often, so that it is wrong in the same way each time, and sure of it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.config import DatasetConfig
from pipelines.datasets.base import Row, seeded
from pipelines.datasets.choices import shown
from pipelines.datasets.records import Refused, fail

_FILE = Path(__file__).with_suffix(".jsonl")


def load(config: DatasetConfig, seed: int, refused: Refused = fail) -> Iterator[Row]:
    if config.split != "test":
        raise ValueError(f"adversarial: split {config.split!r} is not test, the only one")
    for row in seeded(questions(), seed):
        choices = tuple(row.get("choices", ()))
        yield Row(asked(row), row["answer"], row["kind"], choices or None)


def questions() -> list[dict[str, Any]]:
    """question, answer, kind, category, why; choices, of an option."""
    return [json.loads(line) for line in _FILE.read_text(encoding="utf-8").splitlines()]


def asked(row: dict[str, Any]) -> str:
    """The question as a model is asked it."""
    return shown(row["question"], row["choices"]) if "choices" in row else row["question"]
