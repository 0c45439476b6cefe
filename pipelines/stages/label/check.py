"""The end of the stage: every query is labeled exactly once, what that cost, what it says."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.engine.mass import near_zero
from pipelines.engine.sampling import totals
from pipelines.engine.signs import Signs
from pipelines.running.dag import Result
from pipelines.stages.label.streaming import CHECKPOINT, PENDING
from pipelines.storage.location import Location
from pipelines.storage.schemas import LABELS


def labeled_before(out: Location) -> int:
    """Rows that an earlier run of the stage has finished.

    By the records: a file of labels without one may be half written, and Ray Data deletes it.
    """
    records = out / CHECKPOINT
    return records.count_rows([name for name in records.names() if PENDING not in name])


def finish(source: Location, out: Location) -> Result:
    """Checks that every query is labeled exactly once, and sums up what that cost; tells where the
    samples say that the config is wrong."""
    wanted, labeled = _Ids(), _Ids()
    with source.filesystem.open_input_file(source.path) as file:
        for batch in pq.ParquetFile(file).iter_batches(columns=["query_id"]):
            wanted.add(batch["query_id"])

    def counters() -> Iterator[pa.StructArray]:
        for batch in out.batches(["query_id", "counters"]):
            labeled.add(batch["query_id"])
            yield batch["counters"]

    spent = totals(counters())
    if labeled != wanted:
        raise RuntimeError(
            f"{out.uri}: its {labeled.count} rows are not the {wanted.count} queries, each once; "
            "delete the directory and run again"
        )
    # Also of the few that no engine had enough of.
    if wrong := near_zero(spent["mass"], int(spent["scored_responses"])):
        raise ValueError(wrong)
    return Result(labeled.count, str(LABELS), {**spent, **_signs(out)}, CHECKPOINT)


def _signs(labels: Location) -> dict[str, Any]:
    """Figures of each data set's samples, and what they say of the config, which is printed too."""
    signs: defaultdict[str, Signs] = defaultdict(Signs)
    for batch in labels.batches(["dataset", "kind", "reference", "samples"]):
        for row in batch.to_pylist():
            signs[row["dataset"]].add(row)
    warnings = [f"{name}: {line}" for name, one in signs.items() for line in one.warnings]
    for line in warnings:
        print(f"label: warning: {line}", flush=True)
    return {"signs": {name: one.figures for name, one in signs.items()}, "warnings": warnings}


@dataclass
class _Ids:
    """Any number of ids, of which only how many and the sum of their 128-bit hashes are kept.

    So two collections compare as equal if each id is in both as often, in whatever order.
    """

    count: int = 0
    hashes: int = 0

    def add(self, ids: pa.StringArray) -> None:
        self.count += len(ids)
        for one in ids.to_pylist():
            digest = hashlib.blake2b(one.encode(), digest_size=16).digest()
            self.hashes += int.from_bytes(digest, "big")
