"""Stage `queries`: data sets into one artifact of queries, a Parquet file for each role.

Roles are `train` (labeled and trained on), `calibration` (thresholds are chosen on it) and
`test` (reported). Ids are hashes of data set and question, so they stay the same however the
config around them changes.
"""

import hashlib
import itertools
import random
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.config import Config, DatasetConfig
from pipelines.dag import Result
from pipelines.datasets import LOADERS
from pipelines.models import fetch
from pipelines.prompts import Prompts
from pipelines.schemas import QUERIES
from pipelines.storage import Location

ROLES = ("train", "calibration", "test")


def spec(config: Config) -> dict[str, Any]:
    return {
        "data": config.data.model_dump(mode="json"),
        "seed": config.seed,
        "model": config.model.source,
    }


def check(config: Config) -> None:
    """Reads every data set; ValueError with one line where one is missing, empty or malformed."""
    read(config)


def run(config: Config, inputs: Mapping[str, Location], out: Location) -> Result:
    rows = read(config)
    prompts = Prompts.load(fetch(config.model.source), config.confidence.question)
    room = config.engine.max_model_len - config.sampling.max_tokens - len(prompts.turn_ids)
    for row in rows:
        row["prompt"] = prompts.sampling_text(row["question"])
        row["prompt_ids"] = prompts.sampling_ids(row["question"])
    long = [row for row in rows if len(row["prompt_ids"]) > room]
    if long:
        shown = ", ".join(f"{row['query_id']} ({len(row['prompt_ids'])})" for row in long[:5])
        raise ValueError(
            f"{len(long)} prompts have more than the {room} tokens that engine.max_model_len "
            f"leaves after sampling.max_tokens and the confidence turn: {shown}"
            f"{', ...' if len(long) > 5 else ''}; raise engine.max_model_len"
        )
    for role in ROLES:
        table = pa.Table.from_pylist([row for row in rows if row["role"] == role], schema=QUERIES)
        pq.write_table(table, (out / f"{role}.parquet").path, filesystem=out.filesystem)
    counts = {role: sum(row["role"] == role for row in rows) for role in ROLES}
    return Result(len(rows), str(QUERIES), {"queries": counts})


def read(config: Config) -> list[dict[str, Any]]:
    """The rows of all data sets, unrendered; ValueError names the entry, the file or the row."""
    rows: list[dict[str, Any]] = []
    seen: dict[str, str] = {}
    data = config.data
    for role, entries in zip(ROLES, (data.train, data.calibration, data.eval), strict=True):
        for number, entry in enumerate(entries):
            key = f"data.{'eval' if role == 'test' else role}.{number}"
            if entry.name not in LOADERS:
                raise ValueError(f"{key}.name: {entry.name!r} is none of {', '.join(LOADERS)}")
            for row in _entry_rows(entry, role, config.seed, key):
                where = f"{key} ({entry.title}, {entry.split})"
                if row["query_id"] in seen:
                    raise ValueError(
                        f"{where}: question {row['question'][:60]!r} is there twice, first in "
                        f"{seen[row['query_id']]}; a query must have one role and one row"
                    )
                seen[row["query_id"]] = where
                rows.append(row)
    return rows


def _entry_rows(entry: DatasetConfig, role: str, seed: int, key: str) -> list[dict[str, Any]]:
    loaded = LOADERS[entry.name](entry, seed)
    if entry.limit is None:
        found = list(loaded)
    elif entry.path is None:  # built in: already in a fixed, mixed order
        found = list(itertools.islice(loaded, entry.limit))
    else:
        found = list(loaded)
        random.Random(seed).shuffle(found)
        found = found[: entry.limit]
    if not found:
        raise ValueError(f"{key}: {entry.title} ({entry.split}) has no rows")
    return [
        {
            "query_id": query_id(entry.title, row.question),
            "dataset": entry.title,
            "split": entry.split,
            "role": role,
            "kind": row.kind,
            "question": row.question,
            "reference": row.reference,
        }
        for row in found
    ]


def query_id(dataset: str, question: str) -> str:
    """Stable and unique: the data set's name and 12 hex digits of its question's hash."""
    return f"{dataset}-{hashlib.sha256(question.encode()).hexdigest()[:12]}"
