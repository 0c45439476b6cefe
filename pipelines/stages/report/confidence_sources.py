"""Confidence sources on the same responses: P(True), and what evaluate.confidences names beside it.

How well each tells right from wrong, and what each policy that needs confidences saves by it. Ranks
are those of the source itself. Policies take a confidence for a probability, so they get each
source, P(True) too, by Platt's map, fitted on the calibration queries' responses with an answer.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.config import Config
from pipelines.method import metrics
from pipelines.method.metrics import Array
from pipelines.method.recalibration import P_TRUE, Map, of_source
from pipelines.stages.report.figures import groups, saved
from pipelines.stages.report.measure import known
from pipelines.stages.report.replays import Queries, Replays, with_confidence

_RANKS: Mapping[str, metrics.Metric] = {"auroc": metrics.auroc, "wqd": metrics.wqd}


def figures(config: Config, replays: Mapping[str, Replays]) -> dict[str, Any]:
    """The `sources` of metrics.json: by model the facts of each map; and by group of data sets and
    model each source's figures, P(True)'s first. Empty where evaluate.confidences names none.

    ValueError where one was not recorded.
    """
    if not config.evaluate.confidences:
        return {}
    for model, one in replays.items():
        for name in config.evaluate.confidences:
            if name not in one.test.seen.sources:
                raise ValueError(
                    f"evaluate.confidences: the {model} model's responses were recorded without "
                    f"{name}; have evaluate answer anew, or leave it out"
                )
    config = with_confidence(config)
    maps = {model: _maps(config, one) for model, one in replays.items()}
    by_source = {
        model: {name: one.recalibrated(config, by) for name, by in maps[model].items()}
        for model, one in replays.items()
    }
    return {
        "maps": {model: {name: by.facts for name, by in of.items()} for model, of in maps.items()},
        "datasets": {
            title: {
                model: _figures(config, one, by_source[model], one.of_sets(members))
                for model, one in replays.items()
            }
            for title, members in groups(config).items()
        },
    }


def _maps(config: Config, replays: Replays) -> dict[str, Map]:
    """By source; none without calibration queries to fit them on."""
    if replays.calibration is None:
        return {}
    recorded = replays.calibration.recorded
    said = recorded.answers >= 0
    seen, right = replays.calibration.seen.at(said), recorded.correct[said].astype(np.float64)
    return {name: of_source(name, seen, right) for name in (P_TRUE, *config.evaluate.confidences)}


def _figures(
    config: Config, replays: Replays, by_source: Mapping[str, Replays], queries: Queries
) -> dict[str, Any]:
    """One model's. by_source: its replays by each, where there are maps."""
    seen = replays.test.seen
    correct = replays.test.recorded.correct[queries].astype(np.float64)
    once = metrics.each_once(len(queries))
    weights = metrics.resample(len(queries), config.evaluate.bootstrap, config.seed)
    confidences = {name: seen.sources[name] for name in config.evaluate.confidences}
    confidences = {P_TRUE: seen.confidence} | confidences

    def ranked(rank: metrics.Metric, under: Array) -> dict[str, Array]:
        return {name: rank(c[queries], correct, under) for name, c in confidences.items()}

    found: dict[str, dict[str, Any]] = {
        name: {"ci95": {}, "less_p_true": {}, "samples_saved": {}} for name in confidences
    }
    for metric, rank in _RANKS.items():
        own, resampled = ranked(rank, once), ranked(rank, weights)
        for name, told in found.items():
            told[metric] = known(own[name])
            told["ci95"][metric] = metrics.interval(resampled[name])
            told["less_p_true"][metric] = {
                "value": known(own[name] - own[P_TRUE]),
                "ci95": metrics.interval(resampled[name] - resampled[P_TRUE]),
            }
    for name, one in by_source.items():
        found[name]["samples_saved"] = {
            policy: saved(one, policy, queries, weights) for policy in config.evaluate.policies
        }
    return found
