"""What each policy spends a query, what the calibration cost, and after how many queries it pays.

In tokens that a model computes: prompts, responses, and scores where a policy needs them. The
calibration cost the label stage, training, and the calibrated model's responses to the calibration
queries, on which thresholds are chosen; the export computes nothing, and the test queries only
measure. A trained token counts twice: a backward pass through frozen weights costs about another
forward. A policy that needs confidences, on the calibrated model, is compared with self-consistency
(SC) on the base model, at one accuracy (method/savings.py). One that needs none would run as well
on the base model: calibration pays for nothing there.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.method import metrics
from pipelines.method.metrics import Array
from pipelines.method.policies import NAMED
from pipelines.method.savings import Curve, at_equal_accuracy, repaid_after
from pipelines.stages.report.replays import SC, STOPPING, Replays
from pipelines.stages.report.responses import COMPUTED
from pipelines.storage.schemas import MODELS


def calibration_tokens(
    manifests: Mapping[str, Mapping[str, Any]], calibrated: Replays
) -> dict[str, float]:
    """Tokens that the calibration cost, by what for. manifests: of the stages, by name."""
    label, train = (manifests[name]["metrics"] for name in ("label", "train"))
    return {
        "label": sum(label[key] for key in COMPUTED),
        "train": 2 * train["tokens"],
        "calibration responses": calibrated.calibration.tokens if calibrated.calibration else 0.0,
    }


def cost(
    manifests: Mapping[str, Mapping[str, Any]],
    replays: Mapping[str, Replays],
    datasets: set[str],
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """The `cost` of metrics.json. manifests: of the stages, by name; datasets: whose test queries
    the policies' costs are of."""
    of = {name: manifest["metrics"] for name, manifest in manifests.items()}
    base, calibrated = (replays[model] for model in MODELS)
    spent = sum(calibration_tokens(manifests, calibrated).values())
    queries = base.of_sets(datasets)
    weights = metrics.resample(len(queries), resamples, seed)
    sc = base.token_curve(SC, base.replayed[SC][None], queries)
    policies = {
        name: {"scored": NAMED[name].scored}
        | _break_even(
            spent if NAMED[name].scored else None,
            sc,
            calibrated.token_curve(name, final, queries),
            weights,
        )
        for name in calibrated.chosen
        if (final := calibrated.final(name)) is not None
    }
    return {
        "seconds": {name: manifest["seconds"] for name, manifest in manifests.items()},
        "label": of["label"],
        "train": {key: of["train"][key] for key in ("steps", "examples", "tokens")},
        "evaluate": {model: of["evaluate"][model] for model in MODELS},
        "tokens_spent": spent,
        "sc_tokens_a_query": float(sc.spent[:, -1].mean()),
        "policies": policies,
        "break_even_queries": policies.get(STOPPING, {}).get("break_even_queries"),
        "break_even_ci95": policies.get(STOPPING, {}).get("ci95"),
    }


def _break_even(spent: float | None, sc: Curve, policy: Curve, weights: Array) -> dict[str, Any]:
    """None for a number of queries that never comes, for the policy saves nothing. spent: on the
    calibration; None where the policy needs none."""
    once = at_equal_accuracy(sc, policy, metrics.each_once(len(sc.right)))
    resampled = at_equal_accuracy(sc, policy, weights)
    least, most = np.percentile(resampled.by_sc - resampled.by_policy, [2.5, 97.5])
    return {
        "tokens_a_query": float(policy.spent[:, -1].mean()),  # at the full budget
        "accuracy": float(once.accuracy[0]),
        "sc_tokens": float(once.by_sc[0]),
        "sc_tokens_ci95": metrics.interval(resampled.by_sc),
        "tokens": float(once.by_policy[0]),
        "tokens_ci95": metrics.interval(resampled.by_policy),
        "break_even_queries": _queries(spent, float(once.by_sc[0] - once.by_policy[0])),
        "ci95": [_queries(spent, float(most)), _queries(spent, float(least))],
    }


def _queries(spent: float | None, saved: float) -> int | None:
    after = np.inf if spent is None else repaid_after(spent, saved)
    return int(after) if np.isfinite(after) else None
