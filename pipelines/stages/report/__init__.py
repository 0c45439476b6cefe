"""Stage `report`: policies replayed, metrics with intervals, `metrics.json` and `index.html`.

Thresholds are chosen on the calibration queries (`calibration.json`, which serving reads) and
reported on the test queries. Data sets are listed alone and together: `in_domain` (those that were
trained on) and `out_of_domain`. Each of train.seeds is measured as the first training run is, and
listed beside it. Page and table are made of figures alone, those of `metrics.json` and the losses
of training.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pipelines.config import Config
from pipelines.method.policies import EarlyStopping
from pipelines.running.dag import Result
from pipelines.stages.report import confidence_sources, recalibrated
from pipelines.stages.report.cost import cost
from pipelines.stages.report.figures import figures, groups
from pipelines.stages.report.health import health
from pipelines.stages.report.promises import promises
from pipelines.stages.report.replays import Replays
from pipelines.stages.report.responses import COLUMNS
from pipelines.stages.report.signatures import signatures
from pipelines.storage.location import MANIFEST, Location
from pipelines.storage.schemas import (
    BASE,
    CALIBRATED,
    CALIBRATION_FILE,
    LIVE_FILE,
    LOSSES_FILE,
    METRICS_FILE,
    MODELS,
    of_seed,
)

VERSION = 7  # the headline weighs confidence sources; samples and tokens have intervals


def spec(config: Config) -> dict[str, Any]:
    decided = {"sampling", "group_size"}  # by evaluate
    if not config.evaluate.confidences:  # without this key a report is what it was before it
        decided.add("confidences")
    return {
        "seed": config.seed,
        "evaluate": config.evaluate.model_dump(mode="json", exclude=decided),
        "train_sets": sorted({entry.title for entry in config.data.train}),
    }


def run(config: Config, inputs: Mapping[str, Location], out: Location) -> Result:
    """Measures the responses in the artifacts of `evaluate` and of further training runs; what the
    stages before cost is read from their manifests."""
    from pipelines.stages.report.page import render

    def replayed(evaluate: str, model: str) -> Replays:
        table = inputs[evaluate].read_table(f"{model}-", COLUMNS)
        # By id: rows lie in the order in which they ended, and bootstraps draw by position.
        return Replays.of(config, table.sort_by("query_id").to_pylist())

    replays = {model: replayed("evaluate", model) for model in MODELS}
    repeats = {s: replayed(of_seed("evaluate", s), CALIBRATED) for s in config.train.seeds}
    manifests = {name: (place / MANIFEST).read_json() for name, place in inputs.items()}
    sets, evaluate = groups(config), config.evaluate
    first = next(iter(sets.values()))  # in domain, where there is such a set
    maps = recalibrated.recalibrate(config, replays[BASE], inputs["label"])
    results = figures(config, replays, repeats) | {
        "recalibrated": recalibrated.figures(config, replays, maps),
        "sources": confidence_sources.figures(config, replays),
        "health": health(config, replays),
        "promises": {model: promises(one, sets) for model, one in replays.items()},
        "cost": cost(manifests, replays, first, evaluate.bootstrap, config.seed),
        "live": (inputs["evaluate"] / LIVE_FILE).read_json(),
    }
    results["signatures"] = [asdict(one) for one in signatures(results)]
    (out / METRICS_FILE).write_json(results)
    (out / CALIBRATION_FILE).write_json(calibration(config, replays))
    losses = (inputs["train"] / LOSSES_FILE).read_text().splitlines()
    page = render(results, [json.loads(line) for line in losses], config)
    (out / "index.html").write_text(page)
    return Result(len(sets), "", {"groups": sorted(sets)})


def calibration(config: Config, replays: Mapping[str, Replays]) -> dict[str, Any]:
    """What calibration.json holds: each model's threshold of each policy, and what the calibration
    queries show at the others, what they fitted beside (`line`: to probabilities, of one by the
    confidences of tokens), and what a threshold is promised by."""
    return {
        "model": {
            model: {
                name: {
                    "threshold": choice.threshold,
                    "curve": [asdict(candidate) for candidate in choice.curve],
                    "fitted": dict(choice.fitted),
                    "line": asdict(line) if (line := one.line(name)) else None,
                    "evidence": asdict(one.evidence[name]) if name in one.evidence else None,
                }
                for name, choice in one.chosen.items()
            }
            for model, one in replays.items()
        },
        "fallback": EarlyStopping.fallback,
        "budget": config.evaluate.num_samples,
    }
