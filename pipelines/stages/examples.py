"""Stage `examples`: labeled responses -> training examples (arXiv 2503.00031, section 4.1).

method/draw.py says which, with which loss. Queries of the role train are all that was labeled, so
a query is never split. One file, in the order in which training reads it: the same for every
worker.

The labels are read twice, a few queries at a time: for the targets of all responses, and for the
tokens of those that were chosen. So memory holds the examples, and some bytes a response.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.config import Config
from pipelines.method.consistency import training_targets
from pipelines.method.draw import draw
from pipelines.method.prompts import Prompts
from pipelines.running.dag import Result
from pipelines.storage.location import Location
from pipelines.storage.models import fetch
from pipelines.storage.schemas import EXAMPLES, EXAMPLES_FILE

VERSION = 2  # two pools; an example's task decides its loss, it may weigh, and ends are trained


def spec(config: Config) -> dict[str, Any]:
    spec = {"seed": config.seed, "examples": config.examples.model_dump(mode="json")}
    # Of other targets alone: the examples of ssc are as they were before.
    return spec if config.examples.target == "ssc" else spec | {"drawn_by": "ssc"}


def run(config: Config, inputs: Mapping[str, Location], out: Location) -> Result:
    """Draws examples of the responses in the artifact of `label`.

    ValueError where no response has a label, and where none is above eta and no other is drawn.
    """
    label, settings = inputs["label"], config.examples
    model = config.model
    turn_ids = Prompts.load(fetch(model.source), config.confidence.question, model.chat).turn_ids
    numbers, ssc, targets, sets = candidates(label, settings.target)
    if not len(numbers):
        raise ValueError(
            "no response has a label to train on: no answer was found in any, or all confidences "
            "are 0; look at the label artifact's samples, and at data.train.*.kind"
        )
    drawn = draw(  # by SSC, so that another target changes the targets alone
        ssc,
        sets,
        total=settings.total,
        generation_ratio=settings.generation_ratio,
        eta=settings.eta,
        bin_width=settings.bin_width,
        way=settings.draw,
        loss=settings.loss,
        quotas=settings.quotas,
        seed=config.seed,
    )
    if not len(drawn.candidate):
        raise ValueError(
            f"examples.eta ({settings.eta}): no response has a label above it, and with "
            f"examples.generation_ratio ({settings.generation_ratio}) no other is drawn; lower one"
        )
    found = responses(label, numbers[drawn.candidate])
    rows = len(found)
    own = {
        "example_id": pc.binary_join_element_wise(found["example_id"], pa.array(drawn.pool), "-"),
        "task": pa.array(drawn.task),
        "turn_ids": pa.array([turn_ids] * rows, pa.list_(pa.int32())),
        "target": pa.array(targets[drawn.candidate], pa.float32()),
        "weight": pa.array(drawn.weight, pa.float32()),
    }
    columns = dict(zip(found.column_names, found.columns, strict=True))
    table = pa.table(columns | own, schema=EXAMPLES)
    place = (out / EXAMPLES_FILE).path
    pq.write_table(table, place, filesystem=out.filesystem, row_group_size=1024)
    metrics = {
        "candidates": len(numbers),
        "calibration": drawn.pool.count("calibration"),
        "generation": drawn.pool.count("generation"),
        "queries": len(pc.unique(table["query_id"])),
    }
    return Result(rows, str(EXAMPLES), metrics)


def candidates(label: Location, target: str) -> tuple[np.ndarray, ...]:
    """Numbers, SSC, targets and data sets [candidates] of the responses to choose from, by query
    id.

    A number counts all responses of the artifact in the order in which they are read; that of a
    data set, the data sets by name. Responses without SSC or without a token are no candidates,
    whatever the target is (config examples.target).
    """
    queries: list[str] = []
    datasets: list[str] = []
    sizes: list[int] = []  # responses of each query
    kinds = ("ssc",) if target == "ssc" else ("ssc", target)
    found: list[np.ndarray] = []  # [kinds, responses]; NaN of no candidate
    for batch in label.batches(["query_id", "dataset", "samples", "response_ids"]):
        queries += batch["query_id"].to_pylist()
        datasets += batch["dataset"].to_pylist()
        samples = batch["samples"].flatten()
        answers, confidences = (samples.field(n).to_pylist() for n in ("answer", "p_true"))
        here: list[list[float | None]] = [[] for _ in kinds]
        for size in pc.list_value_length(batch["samples"]).to_pylist():
            own = slice(len(here[0]), len(here[0]) + size)
            for values, kind in zip(here, kinds, strict=True):
                values += training_targets(answers[own], confidences[own], kind)
            sizes.append(size)
        empty = pc.list_value_length(batch["response_ids"].flatten()).to_numpy() == 0
        found.append(np.where(empty, np.nan, np.array(here, dtype=np.float64)))
    ssc, *other = np.concatenate(found, axis=1)
    targets = other[0] if other else ssc
    rank, sets = (np.unique(one, return_inverse=True)[1] for one in (queries, datasets))
    by_query = np.argsort(np.repeat(rank, sizes), kind="stable")
    numbers = by_query[~np.isnan(ssc[by_query])]
    return numbers, ssc[numbers], targets[numbers], np.repeat(sets, sizes)[numbers]


def responses(label: Location, numbers: np.ndarray) -> pa.Table:
    """The responses with these numbers, in their order: what an example has of its response."""
    order = np.argsort(numbers)
    ascending = numbers[order]
    parts, read = [], 0
    for batch in label.batches(["query_id", "dataset", "prompt_ids", "samples", "response_ids"]):
        samples = batch["samples"].flatten()
        first, last = np.searchsorted(ascending, [read, read + len(samples)])
        here = pa.array(ascending[first:last] - read)
        read += len(samples)
        sizes = pc.list_value_length(batch["samples"]).to_numpy()
        row = pa.array(np.repeat(np.arange(len(batch)), sizes)).take(here)
        query_id = batch["query_id"].take(row)
        index = samples.field("index").take(here).cast(pa.string())
        parts.append(
            pa.table(
                {
                    "example_id": pc.binary_join_element_wise(query_id, index, "-"),
                    "query_id": query_id,
                    "dataset": batch["dataset"].take(row),
                    "prompt_ids": batch["prompt_ids"].take(row),
                    "response_ids": batch["response_ids"].flatten().take(here),
                    "ended": pc.equal(samples.field("finish_reason").take(here), "stop"),
                }
            )
        )
    return pa.concat_tables(parts).take(np.argsort(order))
