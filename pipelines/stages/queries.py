"""Stages `queries` and `held_out`: data sets into queries, a Parquet file for each role.

Roles are `train` (stage `queries`: labeled and trained on), `calibration` and `eval` (stage
`held_out`: thresholds are chosen on the one, and results reported on the other). Ids are hashes
of data set and question, so they stay the same however the config around them changes.
"""

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.config import Config, DatasetConfig
from pipelines.datasets import LOADERS
from pipelines.method.answers import canonical
from pipelines.method.formulas import parses
from pipelines.method.prompts import Prompts
from pipelines.running.dag import Result
from pipelines.storage.location import Location
from pipelines.storage.models import fetch, files_hash, tokenizer_here
from pipelines.storage.schemas import QUERIES
from pipelines.storage.text import short

ROLES = ("train", "calibration", "eval")  # a role is a key of the config's data


def spec(config: Config, roles: Sequence[str]) -> dict[str, Any]:
    return {
        "data": {
            role: [entry.model_dump(mode="json") for entry in _entries(config, role)]
            for role in roles
        },
        "seed": config.seed,
        "model": config.model.model_dump(mode="json"),
        "model_files": files_hash(config.model.source),
    }


def check(config: Config) -> None:
    """Reads every data set; ValueError with one line where one is missing, empty or malformed.

    A question that alone is longer than the context is told here too, where the tokenizer is on
    this machine: transformers, which `run` renders whole prompts with, takes seconds to import.
    """
    rows = read(config)
    if (tokenizer := tokenizer_here(config.model.source)) is not None:
        encoded = tokenizer.encode_batch([row["question"] for row in rows])
        lengths = [len(one.ids) for one in encoded]
        _check_lengths(config, rows, lengths, lambda most: config.engine.max_model_len - most)


def run(
    config: Config, inputs: Mapping[str, Location], out: Location, roles: Sequence[str]
) -> Result:
    """Writes the queries of some roles, each to a file of its own."""
    rows = [row for row in read(config) if row["role"] in roles]
    _check_formulas([row for row in rows if row["kind"] == "math"])
    model = config.model
    prompts = Prompts.load(fetch(model.source), config.confidence.question, model.chat)
    for row in rows:
        row["prompt"] = prompts.sampling_text(row["question"])
        row["prompt_ids"] = prompts.sampling_ids(row["question"])
    lengths = [len(row["prompt_ids"]) for row in rows]
    _check_lengths(config, rows, lengths, partial(prompts.room, config.engine.max_model_len))
    for role in roles:
        table = pa.Table.from_pylist([row for row in rows if row["role"] == role], schema=QUERIES)
        pq.write_table(table, (out / f"{role}.parquet").path, filesystem=out.filesystem)
    counts = {role: sum(row["role"] == role for row in rows) for role in roles}
    return Result(len(rows), str(QUERIES), {"queries": counts})


def _check_formulas(rows: list[dict[str, Any]]) -> None:
    """Not part of `check`: SymPy takes some milliseconds a reference."""
    references = [row["reference"] for row in rows]
    with ThreadPoolExecutor() as threads:  # which wait for formulas' processes
        readable = threads.map(lambda one: parses(canonical(one, "math") or ""), references)
    wrong = [row for row, is_read in zip(rows, readable, strict=True) if not is_read]
    if wrong:
        shown = ", ".join(f"{row['query_id']} ({short(row['reference'])!r})" for row in wrong[:5])
        raise ValueError(
            f"{len(wrong)} references of kind math cannot be read as formulas, so no answer would "
            f"be right: {shown}{', ...' if len(wrong) > 5 else ''}; leave these rows out"
        )


def _check_lengths(
    config: Config,
    rows: list[dict[str, Any]],
    lengths: list[int],
    room_beside: Callable[[int], int],
) -> None:
    """room_beside: of a response of so many tokens, how many a prompt may have."""
    for key, most, labeled in (
        ("sampling.max_tokens", config.sampling.max_tokens, True),
        ("evaluate.sampling.max_tokens", config.answering.max_tokens, False),
    ):
        room = room_beside(most)
        long = [
            f"{row['query_id']} ({n})"
            for row, n in zip(rows, lengths, strict=True)
            if n > room and (row["role"] == "train") == labeled
        ]
        if long:
            raise ValueError(
                f"{len(long)} prompts have more than the {room} tokens that engine.max_model_len "
                f"leaves after {key} and the confidence turn: {', '.join(long[:5])}"
                f"{', ...' if len(long) > 5 else ''}; raise engine.max_model_len"
            )


def read(config: Config) -> list[dict[str, Any]]:
    """The rows of all data sets, unrendered; ValueError names the entry, the file or the row."""
    rows: list[dict[str, Any]] = []
    seen: dict[str, str] = {}
    for role in ROLES:
        for number, entry in enumerate(_entries(config, role)):
            key = f"data.{role}.{number}"
            if entry.name not in LOADERS:
                raise ValueError(f"{key}.name: {entry.name!r} is none of {', '.join(LOADERS)}")
            for row in _entry_rows(entry, role, config.seed, key):
                where = f"{key} ({entry.title}, {entry.split})"
                if row["question"] in seen:
                    raise ValueError(
                        f"{where}: question {short(row['question'])!r} is there twice, first in "
                        f"{seen[row['question']]}; a query must have one role and one row"
                    )
                seen[row["question"]] = where
                rows.append(row)
    return rows


def _entries(config: Config, role: str) -> tuple[DatasetConfig, ...]:
    entries: tuple[DatasetConfig, ...] = getattr(config.data, role)
    return entries


def _entry_rows(entry: DatasetConfig, role: str, seed: int, key: str) -> list[dict[str, Any]]:
    try:
        found = list(itertools.islice(LOADERS[entry.name](entry, seed), entry.limit))
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    if not found:
        raise ValueError(f"{key}: {entry.title} ({entry.split}) has no rows")
    return [
        {
            "query_id": query_id(entry.title, row.question),
            "dataset": entry.title,
            "split": entry.split,
            "role": role,
            "kind": row.kind,
            "choices": row.choices,
            "question": row.question,
            "reference": row.reference,
        }
        for row in found
    ]


def query_id(dataset: str, question: str) -> str:
    """Stable and unique: the data set's name and 12 hex digits of its question's hash."""
    return f"{dataset}-{hashlib.sha256(question.encode()).hexdigest()[:12]}"
