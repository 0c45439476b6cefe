"""Confidence sources on the same responses: P(True), and what evaluate.confidences names beside it.

How well each tells right from wrong, and what each policy that needs confidences saves by it. Ranks
are those of the source itself. Policies take a confidence for a probability, so they get each
source, P(True) too, by Platt's map, fitted on the calibration queries' responses with an answer.

Each source of the base model is held against the calibrated model's P(True), too: what it has to
beat, for a source takes neither a score nor fine-tuning. Which one the report opens with is chosen
on the calibration queries. Their Brier scores are not compared: Platt's map knows references.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.config import Config
from pipelines.method import metrics
from pipelines.method.metrics import Array
from pipelines.method.recalibration import Map, by_line
from pipelines.method.token_confidences import P_TRUE
from pipelines.stages.report.figures import groups, saved, saves_more
from pipelines.stages.report.measure import known
from pipelines.stages.report.replays import Queries, Replays, with_confidence
from pipelines.stages.report.responses import Responses
from pipelines.storage.schemas import BASE, CALIBRATED

_RANKS: Mapping[str, metrics.Metric] = {"auroc": metrics.auroc, "wqd": metrics.wqd}


def figures(config: Config, replays: Mapping[str, Replays]) -> dict[str, Any]:
    """The `sources` of metrics.json: by model the facts of each map; and by group of data sets and
    model each source's figures, P(True)'s first; of the base model's `calibrated_less`, the
    calibrated model's by its P(True) less those, paired. best: the source of the base model of the
    largest AUROC on the calibration queries; None without these, or where they are all right or all
    wrong. Empty where evaluate.confidences names none.

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
    datasets = {}
    for title, members in groups(config).items():
        queries = replays[BASE].of_sets(members)
        datasets[title] = {
            model: _figures(config, one, by_source[model], queries)
            for model, one in replays.items()
        }
        for name, less in _calibrated_less(config, replays, by_source[BASE], queries).items():
            datasets[title][BASE][name]["calibrated_less"] = less
    auroc = _calibration_auroc(config, replays[BASE])
    return {
        "maps": {model: {name: by.facts for name, by in of.items()} for model, of in maps.items()},
        "calibration_auroc": auroc,
        "best": max(auroc, key=auroc.__getitem__) if auroc else None,
        "datasets": datasets,
    }


def _maps(config: Config, replays: Replays) -> dict[str, Map]:
    """By source; none without calibration queries to fit them on."""
    if (responses := replays.calibration) is None:
        return {}
    sources = (P_TRUE, *config.evaluate.confidences)
    return {name: by_line(name, responses.line_of(name)) for name in sources}


def _calibration_auroc(config: Config, base: Replays) -> dict[str, float]:
    """Of the base model's sources; none where it is undefined."""
    if base.calibration is None:
        return {}
    sources, correct = base.calibration.seen.sources, base.calibration.recorded.correct
    once = metrics.each_once(len(correct))
    found = {
        name: known(metrics.auroc(sources[name], correct.astype(np.float64), once))
        for name in config.evaluate.confidences
    }
    return {name: one for name, one in found.items() if one is not None}


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


def _calibrated_less(
    config: Config,
    replays: Mapping[str, Replays],
    by_source: Mapping[str, Replays],
    queries: Queries,
) -> dict[str, dict[str, Any]]:
    """By source of the base model. by_source: its replays by each, where there are maps."""
    weights = metrics.resample(len(queries), config.evaluate.bootstrap, config.seed)
    once = metrics.each_once(len(queries))
    base, calibrated = (replays[model].test for model in (BASE, CALIBRATED))

    def ranked(rank: metrics.Metric, of: Responses, confidence: Array, under: Array) -> Array:
        return rank(confidence[queries], of.recorded.correct[queries].astype(np.float64), under)

    def less(rank: metrics.Metric, source: Array, under: Array) -> Array:
        tuned = ranked(rank, calibrated, calibrated.seen.confidence, under)
        return tuned - ranked(rank, base, source, under)

    found: dict[str, dict[str, Any]] = {}
    for name in config.evaluate.confidences:
        source = base.seen.sources[name]
        found[name] = {"saved": {}} | {
            metric: {
                "value": known(less(rank, source, once)),
                "ci95": metrics.interval(less(rank, source, weights)),
            }
            for metric, rank in _RANKS.items()
        }
        if name in by_source:
            one, tuned = by_source[name], replays[CALIBRATED]
            found[name]["saved"] = {
                policy: saves_more(tuned, one, policy, queries, weights)
                for policy in config.evaluate.policies
            }
    return found
