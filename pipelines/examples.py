"""Stage `examples`: labeled responses -> training examples (arXiv 2503.00031, section 4.1).

Calibration examples are drawn evenly from the bins of SSC, generation examples from the
responses with SSC > eta. Queries of the role train are all that was labeled, so a query is
never split. One file, in the order in which training reads it: the same for every worker.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.config import Config
from pipelines.consistency import training_targets
from pipelines.dag import Result
from pipelines.models import fetch
from pipelines.prompts import Prompts
from pipelines.schemas import EXAMPLES, EXAMPLES_FILE
from pipelines.storage import Location


def spec(config: Config) -> dict[str, Any]:
    return {"seed": config.seed, "examples": config.examples.model_dump(mode="json")}


def run(config: Config, inputs: Mapping[str, Location], out: Location) -> Result:
    columns = ["query_id", "dataset", "prompt_ids", "samples", "response_ids"]
    table = inputs["label"].read_table(columns=columns)
    turn_ids = Prompts.load(fetch(config.model.source), config.confidence.question).turn_ids
    labels = sorted(table.to_pylist(), key=lambda row: row["query_id"])
    candidates = responses(labels, config.examples.target)
    chosen = choose(
        np.array([one["target"] for one in candidates], dtype=np.float64),
        total=config.examples.total,
        generation_ratio=config.examples.generation_ratio,
        eta=config.examples.eta,
        bin_width=config.examples.bin_width,
        seed=config.seed,
    )
    if not chosen:
        raise ValueError(
            "no response has a label to train on: no answer was found in any, or all confidences "
            "are 0; look at the label artifact's samples, and at data.train.*.kind"
        )
    rows = [candidates[i] | {"task": task, "turn_ids": turn_ids} for i, task in chosen]
    pq.write_table(
        pa.Table.from_pylist(rows, schema=EXAMPLES),
        (out / EXAMPLES_FILE).path,
        filesystem=out.filesystem,
        row_group_size=1024,
    )
    tasks = [task for _, task in chosen]
    metrics = {
        "candidates": len(candidates),
        "calibration": tasks.count("calibration"),
        "generation": tasks.count("generation"),
        "queries": len({row["query_id"] for row in rows}),
    }
    return Result(len(rows), str(EXAMPLES), metrics)


def responses(labels: list[dict[str, Any]], target: str = "ssc") -> list[dict[str, Any]]:
    """Every response of the label artifact that has a target, as an example without its task."""
    found = []
    for row in labels:
        samples = row["samples"]
        targets = training_targets(
            [sample["answer"] for sample in samples],
            [sample["p_true"] for sample in samples],
            target,
        )
        for sample, ids, value in zip(samples, row["response_ids"], targets, strict=True):
            if value is not None and ids:
                found.append(
                    {
                        "example_id": f"{row['query_id']}-{sample['index']}",
                        "query_id": row["query_id"],
                        "dataset": row["dataset"],
                        "prompt_ids": row["prompt_ids"],
                        "response_ids": ids,
                        "target": value,
                    }
                )
    return found


def choose(
    targets: np.ndarray,
    *,
    total: int,
    generation_ratio: float,
    eta: float,
    bin_width: float,
    seed: int,
) -> list[tuple[int, str]]:
    """(index, task) of the chosen responses, in training order; seeded, without replacement.

    targets: SSC of each candidate. Generation examples come first, from those above eta; then
    calibration examples, evenly from the non-empty bins of what is left. Where a bin runs out,
    the others give more; where all do, there are fewer than `total`.
    """
    rng = np.random.default_rng(seed)
    above = rng.permutation(np.flatnonzero(targets > eta))
    generation = above[: round(total * generation_ratio)]
    rest = np.setdiff1d(np.arange(len(targets)), generation)
    bins: dict[int, list[int]] = defaultdict(list)
    last = round(1 / bin_width) - 1
    for index in rng.permutation(rest):
        # A target on a bin's edge (0.15 / 0.05 is 2.9999...) belongs to the bin above.
        bins[min(int(targets[index] / bin_width + 1e-6), last)].append(int(index))
    calibration: list[int] = []
    wanted = min(total - round(total * generation_ratio), len(rest))
    while len(calibration) < wanted:
        for name in sorted(bins):
            if bins[name] and len(calibration) < wanted:
                calibration.append(bins[name].pop())
    tasks = [(int(i), "generation") for i in generation] + [(i, "calibration") for i in calibration]
    return [tasks[i] for i in rng.permutation(len(tasks))]
