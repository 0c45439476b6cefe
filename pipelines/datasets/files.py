"""Data sets in files: `jsonl` (one's own) and the published gsm8k, svamp and object_counting.

A published set is read in its publisher's own fields, from `path` where one is given and from
the model hub otherwise. Files are JSON lines or Parquet, local or at any URI.
"""

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from pipelines.config import DatasetConfig
from pipelines.datasets.base import Row
from pipelines.method.answers import Kind, canonical
from pipelines.storage.location import Location

_NUMBER = " Reason briefly, then end with 'Answer:' and the number."


@dataclass(frozen=True)
class Published:
    """Where a set lies on the hub, and its publisher's fields."""

    hub: str
    file: str  # Parquet, with {split}
    question: tuple[str, ...]
    answer: str


PUBLISHED = {
    "gsm8k": Published(
        "openai/gsm8k", "main/{split}-00000-of-00001.parquet", ("question",), "answer"
    ),
    "svamp": Published(
        "ChilleD/SVAMP", "data/{split}-00000-of-00001.parquet", ("Body", "Question"), "Answer"
    ),
    "object_counting": Published(
        "lukaemon/bbh", "object_counting/{split}-00000-of-00001.parquet", ("input",), "target"
    ),
}


def load_published(config: DatasetConfig, seed: int) -> Iterator[Row]:
    published = PUBLISHED[config.name]
    path = config.path or _from_hub(published, config)
    for number, record in _records(path, config, seed):
        parts = [_field(record, field, path, number) for field in published.question]
        answer = _field(record, published.answer, path, number)
        # gsm8k ends its worked solution with "#### 72".
        reference = answer.rpartition("####")[2].strip()
        question = " ".join(part if part.endswith((".", "?")) else f"{part}." for part in parts)
        yield _row(question + _NUMBER, reference, "number", path, number)


def load_jsonl(config: DatasetConfig, seed: int) -> Iterator[Row]:
    if config.path is None:
        raise ValueError("jsonl: path is missing (a file or URI of JSON lines or Parquet)")
    for number, record in _records(config.path, config, seed):
        question = _field(record, config.question, config.path, number)
        answer = _field(record, config.answer, config.path, number)
        yield _row(question, answer, config.kind, config.path, number)


def _row(question: str, reference: str, kind: Kind, path: str, number: int) -> Row:
    if canonical(reference.split("|")[0] if kind == "text" else reference, kind) is None:
        raise ValueError(f"{path}, row {number}: answer {reference!r} is not a {kind}")
    return Row(question.strip(), reference, kind)


def _records(path: str, config: DatasetConfig, seed: int) -> Iterable[tuple[int, dict[str, Any]]]:
    """(row number from 1, record) of a file; ValueError where it is not there or not rows.

    Under a limit they come in a seeded order, so that the limit draws from the whole file.
    """
    location = Location.of(path)
    if not location.exists():
        raise ValueError(f"{path}: there is no such file")
    if path.endswith(".parquet"):
        table = pq.read_table(location.path, filesystem=location.filesystem)
        records = list(enumerate(table.to_pylist(), start=1))
    else:
        # Not splitlines: that also cuts at line separators within a string, which JSON allows.
        lines = enumerate(location.read_text().split("\n"), start=1)
        records = [(number, _object(line, path, number)) for number, line in lines if line.strip()]
    if config.limit is not None:
        random.Random(seed).shuffle(records)
    return records


def _object(line: str, path: str, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, row {number}: not JSON ({error})") from None
    if not isinstance(record, dict):
        raise ValueError(f"{path}, row {number}: expected an object with fields")
    return record


def _field(record: dict[str, Any], field: str, path: str, number: int) -> str:
    if record.get(field) is None:
        raise ValueError(
            f"{path}, row {number}: there is no field {field!r} (fields: {', '.join(record)})"
        )
    return str(record[field])


def _from_hub(published: Published, config: DatasetConfig) -> str:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return hf_hub_download(
            published.hub, published.file.format(split=config.split), repo_type="dataset"
        )
    except (HfHubHTTPError, OSError) as error:
        raise ValueError(
            f"{config.name}: could not fetch split {config.split!r} of {published.hub} from the "
            f"hub ({type(error).__name__}); give a local file as path"
        ) from None
