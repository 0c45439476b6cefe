"""Figures that tell how a run may have failed, by group of data sets: what signatures.py reads."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.config import Config
from pipelines.method import metrics
from pipelines.method.consistency import soft_self_consistency
from pipelines.method.metrics import Array
from pipelines.method.replay import Recorded
from pipelines.stages.report.figures import groups
from pipelines.stages.report.measure import known
from pipelines.stages.report.replays import STOPPING, Queries, Replays
from pipelines.storage.schemas import BASE, CALIBRATED

BEST = "best_of_n"
CONSENSUS = 0.75  # of a query's samples with one answer


def health(config: Config, replays: Mapping[str, Replays]) -> dict[str, Any]:
    """The `health` of metrics.json."""
    calibrated = replays[CALIBRATED]
    found: dict[str, Any] = {}
    for title, members in groups(config).items():
        queries = calibrated.of_sets(members)
        weights = metrics.resample(len(queries), config.evaluate.bootstrap, config.seed)
        of = {model: one.test.recorded.of(queries) for model, one in replays.items()}
        found[title] = {
            "cut": {model: int(one.test.cut[queries].sum()) for model, one in replays.items()},
            "spread": {model: _spread(one.confidence) for model, one in of.items()},
            "consensus": _consensus(of[CALIBRATED]),
            "ssc": _ssc(of[BASE], weights),
            "early_stopping_less_best_of_n": _against_best(calibrated, queries, weights),
        }
    learned = calibrated.calibration
    return {
        "calibration_queries": len(learned.recorded.answers) if learned else 0,
        "datasets": found,
    }


def _spread(confidence: Array) -> float:
    """From the 5% to the 95% quantile."""
    least, most = np.quantile(confidence, [0.05, 0.95])
    return float(most - least)


def _consensus(recorded: Recorded) -> dict[str, Any]:
    """Queries whose samples agree, by CONSENSUS, and how many of these agree on a wrong answer."""
    agreed = wrong = 0
    for answers, correct in zip(recorded.answers, recorded.correct, strict=True):
        votes = np.bincount(answers[answers >= 0], minlength=1)
        if votes.max() >= CONSENSUS * len(answers):
            agreed += 1
            wrong += not correct[answers == votes.argmax()].any()
    return {"queries": agreed, "wrong": wrong}


def _ssc(recorded: Recorded, weights: Array) -> dict[str, Any]:
    """How well SSC, made of these responses, tells right from wrong, beside their P(True); a
    response without an answer is the least sure in both."""
    parsed = recorded.answers >= 0
    said = np.where(parsed, recorded.confidence, -1.0)
    target = np.array([_labels(*one) for one in zip(recorded.answers, said, strict=True)])
    correct = recorded.correct.astype(np.float64)
    once = metrics.each_once(len(correct))

    def gain(under: Array) -> Array:
        return metrics.auroc(target, correct, under) - metrics.auroc(said, correct, under)

    value = float(gain(once)[0])
    return {
        "auroc": known(metrics.auroc(target, correct, once)),
        "p_true_auroc": known(metrics.auroc(said, correct, once)),
        "difference": {
            "value": None if np.isnan(value) else value,
            "ci95": metrics.interval(gain(weights)),
        },
    }


def _labels(answers: Sequence[int], confidence: Sequence[float]) -> list[float]:
    names = [None if one < 0 else str(one) for one in answers]
    found = soft_self_consistency(names, confidence)
    return [-1.0 if one is None else one for one in found]


def _against_best(replays: Replays, queries: Queries, weights: Array) -> list[dict[str, Any]]:
    """Accuracy of early stopping less that of best-of-N under budgets of up to a quarter of all
    samples, paired; none where either was not replayed."""
    if not {STOPPING, BEST} <= set(replays.chosen) or (final := replays.final(STOPPING)) is None:
        return []
    gain = (final.right - replays.replayed[BEST][None].right)[queries]
    most = min(gain.shape[1], max(2, gain.shape[1] // 4))
    resampled = metrics.mean(gain, weights)
    return [
        {
            "budget": budget,
            "value": float(gain[:, budget - 1].mean()),
            "ci95": metrics.interval(resampled[:, budget - 1]),
        }
        for budget in range(2, most + 1)
    ]
