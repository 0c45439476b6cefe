"""The M of metrics.json, one model's figures on some queries, and the differences of two models."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.method import calibration_error, metrics
from pipelines.method.calibration_error import Estimate
from pipelines.method.metrics import Array
from pipelines.method.replay import Recorded
from pipelines.method.savings import Curve

METRICS: Mapping[str, metrics.Metric] = {
    "accuracy": metrics.accuracy,
    "auroc": metrics.auroc,
    "wqd": metrics.wqd,
    "brier": metrics.brier,
}
# Plain under their names, and with the bias taken off; both estimate what the interval is of.
ERRORS = {"ece": calibration_error.ece, "ks": calibration_error.ks}
_HISTOGRAM_BINS = 20


@dataclass(frozen=True)
class Measured:
    """Of one model's responses. resampled: each metric under each row of the weights."""

    figures: dict[str, float | None]
    ci95: dict[str, list[float] | None]
    resampled: dict[str, Array]
    errors: dict[str, Estimate]


def measure(recorded: Recorded, weights: Array) -> Measured:
    """Per-response figures; one without an answer is wrong. weights: [resamples, queries]."""
    confidence, correct = recorded.confidence, recorded.correct.astype(np.float64)
    once = metrics.each_once(len(confidence))
    figures = {name: known(metric(confidence, correct, once)) for name, metric in METRICS.items()}
    resampled = {name: metric(confidence, correct, weights) for name, metric in METRICS.items()}
    ci95 = {name: metrics.interval(values) for name, values in resampled.items()}
    errors = {name: error(confidence, correct, weights) for name, error in ERRORS.items()}
    for name, error in errors.items():
        figures |= {name: error.plain, f"{name}_debiased": error.debiased}
        ci95 |= {name: list(error.ci95), f"{name}_debiased": list(error.ci95)}
    return Measured(figures, ci95, resampled, errors)


def as_json(recorded: Recorded, measured: Measured) -> dict[str, Any]:
    """M, but for its policies."""
    confidence, correct = recorded.confidence, recorded.correct.astype(np.float64)
    return {
        "queries": len(confidence),
        "responses": confidence.size,
        **measured.figures,
        "unparsed": int((recorded.answers < 0).sum()),
        "ci95": measured.ci95,
        "reliability": metrics.reliability(confidence, correct),
        "histogram": {
            name: np.histogram(confidence[correct == right], _HISTOGRAM_BINS, (0, 1))[0].tolist()
            for name, right in (("correct", 1), ("wrong", 0))
        },
    }


def differences(before: Measured, after: Measured) -> dict[str, Any]:
    """after - before of each figure, with its interval: both under the same resampled queries."""
    found: dict[str, Any] = {}
    for name in METRICS:
        value, ci95 = None, metrics.interval(after.resampled[name] - before.resampled[name])
        first, second = before.figures[name], after.figures[name]
        if first is not None and second is not None:
            value = second - first
        found[name] = {"value": value, "ci95": ci95}
    for name in ERRORS:
        was, now = before.errors[name], after.errors[name]
        debiased, ends = calibration_error.difference(was, now)
        found[name] = {"value": now.plain - was.plain, "ci95": ends}
        found[f"{name}_debiased"] = {"value": debiased, "ci95": ends}
    return found


def points(curve: Curve, threshold: float | None, chosen: bool, weights: Array) -> list[Any]:
    """A policy at one threshold, over its budgets. curve: in samples."""
    low, high = np.percentile(metrics.mean(curve.right, weights), [2.5, 97.5], axis=0)
    return [
        {
            "budget": number + 1,
            "threshold": threshold,
            "avg_samples": float(curve.spent[:, number].mean()),
            "accuracy": float(curve.right[:, number].mean()),
            "ci95": [float(low[number]), float(high[number])],
            "chosen": chosen,
        }
        for number in range(curve.right.shape[1])
    ]


def known(figure: Array) -> float | None:
    """One figure; None where it is undefined."""
    return None if np.isnan(figure[0]) else float(figure[0])
