"""The M of metrics.json: one model's responses measured, and every policy replayed from them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.config import Config
from pipelines.method import metrics
from pipelines.method.answers import is_correct
from pipelines.method.metrics import Array
from pipelines.method.policies import POLICIES, in_order

STATISTICS: dict[str, metrics.Statistic] = {
    "accuracy": lambda confidence, correct: float(correct.mean()) if len(correct) else None,
    "ece": metrics.ece,
    "auroc": metrics.auroc,
    "brier": metrics.brier,
}


def measure(
    config: Config, test: Sequence[dict[str, Any]], calibration: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """The M of metrics.json for one model on some queries.

    Per-response figures use the responses with an answer or without: one without is wrong.
    """
    confidence, correct = arrays(test)
    evaluate = config.evaluate
    everything = np.concatenate(confidence), np.concatenate(correct)
    intervals = {
        name: metrics.bootstrap_by_query(
            statistic, confidence, correct, evaluate.bootstrap, config.seed
        )
        for name, statistic in STATISTICS.items()
    }
    return {
        "queries": len(test),
        "responses": len(everything[0]),
        **{name: statistic(*everything) for name, statistic in STATISTICS.items()},
        "unparsed": sum(s["answer"] is None for row in test for s in row["samples"]),
        "ci95": intervals,
        "policies": {
            name: _policy_curve(config, name, test, calibration) for name in evaluate.policies
        },
    }


def arrays(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Array], list[Array]]:
    """(confidence, correctness) of the responses of each query."""
    confidence = [np.array([s["p_true"] for s in row["samples"]], dtype=np.float64) for row in rows]
    correct = [
        np.array(
            [is_correct(s["answer"], row["reference"], row["kind"]) for s in row["samples"]],
            dtype=np.float64,
        )
        for row in rows
    ]
    return confidence, correct


def _policy_curve(
    config: Config,
    name: str,
    test: Sequence[dict[str, Any]],
    calibration: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Every (threshold, budget) of a policy; `chosen` marks what the calibration queries pick."""
    family = POLICIES[name]
    evaluate = config.evaluate
    grid: Sequence[float | None] = {
        "none": (None,),
        "share": evaluate.thresholds,
        "window": evaluate.windows,
    }[family.threshold]
    best: tuple[float, float] | None = None
    chosen: float | None = None
    for threshold in grid if family.threshold != "none" and calibration else ():
        right, used = _replay_all(name, threshold, calibration)
        # The most accurate at the full budget; of equals, the one with the fewest samples.
        score = (float(right[:, -1].mean()), -float(used[:, -1].mean()))
        if best is None or score > best:
            best, chosen = score, threshold
    points = []
    for threshold in grid:
        right, used = _replay_all(name, threshold, test)
        intervals = metrics.bootstrap_means(right, evaluate.bootstrap, config.seed)
        points += [
            {
                "budget": budget,
                "threshold": threshold,
                "avg_samples": float(used[:, budget - 1].mean()),
                "accuracy": float(right[:, budget - 1].mean()),
                "ci95": [float(intervals[budget - 1, 0]), float(intervals[budget - 1, 1])],
                "chosen": threshold == chosen,
            }
            for budget in range(1, right.shape[1] + 1)
        ]
    return points


def _replay_all(
    name: str, threshold: float | None, rows: Sequence[dict[str, Any]]
) -> tuple[Array, Array]:
    """(correct, samples used), [queries, budgets] each; a query without an answer is wrong."""
    policy = POLICIES[name].make(threshold if threshold is not None else 0.0)
    right, used = [], []
    for row in rows:
        run_of = in_order(policy, [(s["answer"], s["p_true"]) for s in row["samples"]])
        verdict = {
            answer: is_correct(answer, row["reference"], row["kind"])
            for answer in set(run_of.answers)
        }
        right.append([verdict[answer] for answer in run_of.answers])
        used.append(run_of.samples)
    return np.array(right, dtype=np.float64), np.array(used, dtype=np.float64)
