"""Stages `queries` and `held_out`: data sets into queries, a Parquet file for each role.

Roles are `train` (stage `queries`: labeled and trained on), `calibration` and `eval` (stage
`held_out`: thresholds are chosen on the one, and results reported on the other). Ids are hashes
of data set and question, so they stay the same however the config around them changes. Rows
stream: of each 16 bytes are kept, to know a question again.
"""

import itertools
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.config import Config
from pipelines.datasets import BUILT_IN
from pipelines.datasets.entries import ROLES, Entry, Reading, entries, is_read, named, read
from pipelines.datasets.entries import check as check_entry
from pipelines.datasets.found import Found
from pipelines.datasets.published import SETS
from pipelines.datasets.sources import digest
from pipelines.method.prompts import Prompts
from pipelines.running.dag import Result
from pipelines.storage.location import Location
from pipelines.storage.models import fetch, files_hash, tokenizer_here
from pipelines.storage.schemas import QUERIES
from pipelines.storage.text import short

Query = dict[str, Any]  # a row of schemas.QUERIES
_ROWS_AT_ONCE = 1_000
_SHOWN = 5  # of rows that are wrong, in a message
_ADDED = {"answer_base", "prompt", "system"}  # keys that do not count where they are not set
_FILES_VERSION = 6  # of how files are read and published sets are asked
VERSION = 3  # a limit is in a seeded order, and a sum stands once, in one split


def spec(config: Config, roles: Sequence[str]) -> dict[str, Any]:
    return {
        "data": {role: [_spec(entry) for entry in entries(config, [role])] for role in roles},
        "seed": config.seed,
        "model": config.model.model_dump(mode="json"),
        "model_files": files_hash(config.model.source),
    }


def _spec(entry: Entry) -> dict[str, Any]:
    keys = entry.config.model_dump(mode="json")
    name = entry.config.name
    files = name in {"jsonl", *SETS}
    of_files: dict[str, Any] = {"version": _FILES_VERSION} if files else {}
    of_set = SETS[name].spec(entry.config.split) if name in SETS else {}
    if files and entry.config.path is not None:
        with named(entry):
            of_files["files"] = digest(entry.config.path)
    return {k: v for k, v in keys.items() if k not in _ADDED or v is not None} | of_files | of_set


def check(config: Config) -> None:
    """Reads every data set; ValueError with one line where one is missing, empty or malformed.

    A question that alone is longer than the context is told here too, where the tokenizer is on
    this machine: transformers, which `run` renders whole prompts with, takes seconds to import.
    """
    tokenizer = tokenizer_here(config.model.source)
    fits = _Lengths(config, lambda most: config.engine.max_model_len - most)
    for rows in batches(read(config)):
        if tokenizer is not None:
            encoded = tokenizer.encode_batch([row["question"] for row in rows])
            fits.add(rows, [len(one.ids) for one in encoded])
    fits.check()


def check_named(config: Config) -> None:
    """Of `check` what takes neither files nor a network: what entries name, and the rows of those
    that come with this code."""
    reading = Reading(config)
    for entry in entries(config):
        check_entry(entry)
        if entry.config.name in BUILT_IN:
            deque(reading.rows(entry), maxlen=0)


def run(
    config: Config, inputs: Mapping[str, Location], out: Location, roles: Sequence[str]
) -> Result:
    """Writes the queries of some roles, each to a file of its own; tells what is left out, and what
    they share with the roles before them, which are read too."""
    model = config.model
    prompts = Prompts.load(fetch(model.source), config.confidence.question, model.chat)
    fits = _Lengths(config, partial(prompts.room, config.engine.max_model_len))
    reading, wrong = Reading(config), _Wrong()
    counts, longest = dict.fromkeys(roles, 0), dict.fromkeys(roles, 0)
    shortest = dict.fromkeys(roles, sys.maxsize)
    for role in ROLES[: ROLES.index(roles[-1]) + 1]:
        if role not in roles:
            for entry in entries(config, [role]):
                deque(reading.rows(entry), maxlen=0)
            continue
        place = out / f"{role}.parquet"
        with pq.ParquetWriter(place.path, QUERIES, filesystem=place.filesystem) as writer:
            for entry in entries(config, [role]):
                for rows in batches(reading.rows(entry)):
                    rows = _readable(rows, entry, reading.found[entry.key], wrong)
                    for row in rows:
                        row["prompt"] = prompts.sampling_text(row["question"], row["system"])
                        row["prompt_ids"] = prompts.sampling_ids(row["question"], row["system"])
                    lengths = [len(row["prompt_ids"]) for row in rows]
                    fits.add(rows, lengths)
                    longest[role] = max([longest[role], *lengths])
                    shortest[role] = min([shortest[role], *lengths])
                    writer.write_table(pa.Table.from_pylist(rows, schema=QUERIES))
                    counts[role] += len(rows)
    if wrong:
        raise ValueError(
            f"{wrong.count} references of kind math cannot be read as formulas, so no answer would "
            f"be right: {wrong}; leave these rows out"
        )
    fits.check()
    if "train" in roles and shortest["train"] >= config.train.max_length:
        raise ValueError(
            f"train.max_length ({config.train.max_length}): no example would fit, for the shortest "
            f"prompt alone has {shortest['train']} tokens; raise it"
        )
    told = [entry for entry in entries(config, roles) if notes(reading.found[entry.key])]
    for entry in told:
        for note in notes(reading.found[entry.key]):
            print(f"{entry.where}: {note}", flush=True)
    return Result(
        sum(counts.values()),
        str(QUERIES),
        {
            "queries": counts,
            "longest_prompt": longest,  # in tokens
            "told": {entry.key: notes(reading.found[entry.key]) for entry in told},
        },
    )


def notes(found: Found) -> list[str]:
    """What is told of an entry, a line each."""
    lines = []
    if found.refused:
        lines.append(f"{found.refused:,} rows of its files are refused: {found.reasons[0]}")
    if found.twice:
        lines.append(f"{found.twice:,} rows of its files ask what was asked before: left out")
    return lines + found.overlaps


def batches(rows: Iterable[Query]) -> Iterator[list[Query]]:
    """Rows, so many at once; the last ones are fewer."""
    left = iter(rows)
    while batch := list(itertools.islice(left, _ROWS_AT_ONCE)):
        yield batch


@dataclass
class _Wrong:
    """Rows that are wrong in one way: how many, and the first of them."""

    count: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, one: str) -> None:
        self.count += 1
        if len(self.shown) < _SHOWN:
            self.shown.append(one)

    def __bool__(self) -> bool:
        return self.count > 0

    def __str__(self) -> str:
        return ", ".join(self.shown) + (", ..." if self.count > len(self.shown) else "")


def _readable(rows: list[Query], entry: Entry, found: Found, wrong: _Wrong) -> list[Query]:
    """Rows without those whose reference is no formula, though it should be: a published set's are
    refused, others are wrong. Not part of `check`: SymPy takes some milliseconds a reference."""
    if all(row["kind"] != "math" for row in rows):
        return rows
    with ThreadPoolExecutor() as threads:  # which wait for formulas' processes
        are_read = list(threads.map(is_read, rows))
    for row, read_it in zip(rows, are_read, strict=True):
        if read_it:
            continue
        told = f"{row['query_id']} ({short(row['reference'])!r})"
        if entry.config.name in SETS:
            found.rows -= 1
            found.refuse(f"the reference of {told} cannot be read as a formula")
        else:
            wrong.add(told)
    return list(itertools.compress(rows, are_read))


class _Lengths:
    """Of prompts, against what the context leaves. room_beside: of a response of so many tokens,
    how many a prompt may have."""

    def __init__(self, config: Config, room_beside: Callable[[int], int]):
        self._rules = [
            (key, room_beside(most), labeled, _Wrong())
            for key, most, labeled in (
                ("sampling.max_tokens", config.sampling.max_tokens, True),
                ("evaluate.sampling.max_tokens", config.answering.max_tokens, False),
            )
        ]

    def add(self, rows: Sequence[Query], lengths: Sequence[int]) -> None:
        for _, room, labeled, long in self._rules:
            for row, n in zip(rows, lengths, strict=True):
                if n > room and (row["role"] == "train") == labeled:
                    long.add(f"{row['query_id']} ({n})")

    def check(self) -> None:
        for key, room, _, long in self._rules:
            if long:
                raise ValueError(
                    f"{long.count} prompts have more than the {room} tokens that "
                    f"engine.max_model_len leaves after {key} and the confidence turn: {long}; "
                    "raise engine.max_model_len"
                )
