"""Stage `report`: policies replayed, metrics with intervals, `metrics.json` and `index.html`.

Thresholds are chosen on the calibration queries and reported on the test queries. Data sets are
listed alone and together: `in_domain` (those that were trained on) and `out_of_domain`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.config import Config
from pipelines.method.metrics import Array
from pipelines.running.dag import Result
from pipelines.stages.report.cost import IN_DOMAIN, OUT_OF_DOMAIN, cost, samples_saved
from pipelines.stages.report.measure import arrays, measure
from pipelines.storage.location import Location
from pipelines.storage.schemas import LIVE_FILE, LOSSES_FILE, METRICS_FILE, MODELS


def spec(config: Config) -> dict[str, Any]:
    return {
        "seed": config.seed,
        "evaluate": config.evaluate.model_dump(mode="json", exclude={"sampling"}),
        "train_sets": sorted({entry.title for entry in config.data.train}),
    }


def run(config: Config, inputs: Mapping[str, Location], out: Location) -> Result:
    from pipelines.stages.report.page import render

    columns = ["query_id", "dataset", "role", "kind", "reference", "samples"]
    rows = {
        # By id: rows lie in the order in which they ended, and bootstraps draw by position.
        model: inputs["evaluate"].read_table(f"{model}-", columns).sort_by("query_id").to_pylist()
        for model in MODELS
    }
    trained = {entry.title for entry in config.data.train}
    tested = list(dict.fromkeys(entry.title for entry in config.data.eval))
    together = {IN_DOMAIN: trained & set(tested), OUT_OF_DOMAIN: set(tested) - trained}
    groups = {name: members for name, members in together.items() if members}
    groups |= {title: {title} for title in tested}
    calibration = {
        model: [row for row in rows[model] if row["role"] == "calibration"] for model in MODELS
    }
    datasets: dict[str, Any] = {}
    for title, members in groups.items():
        datasets[title] = {}
        for model in MODELS:
            test = [r for r in rows[model] if r["role"] == "eval" and r["dataset"] in members]
            datasets[title][model] = measure(config, test, calibration[model])
    results = {
        "datasets": datasets,
        "cost": cost(config, inputs, datasets),
        "live": (inputs["evaluate"] / LIVE_FILE).read_json(),
        "samples_saved": {title: samples_saved(datasets[title]) for title in datasets},
    }
    (out / METRICS_FILE).write_json(results)
    losses = (inputs["train"] / LOSSES_FILE).read_text().splitlines()
    page = render(
        results,
        {t: {m: _arrays_of(rows[m], members) for m in MODELS} for t, members in groups.items()},
        [json.loads(line) for line in losses],
        config,
    )
    (out / "index.html").write_text(page)
    return Result(len(groups), "", {"groups": sorted(groups)})


def _arrays_of(rows: Sequence[dict[str, Any]], members: set[str]) -> tuple[Array, Array]:
    chosen = [row for row in rows if row["role"] == "eval" and row["dataset"] in members]
    confidence, correct = arrays(chosen)
    return np.concatenate(confidence), np.concatenate(correct)
