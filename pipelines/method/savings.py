"""What a policy saves against self-consistency (SC) at one accuracy, not at one budget.

Both curves, mean accuracy against what was spent on the way to it, are read at the same accuracy:
half a point under SC's own at the full budget or, where that is less, under the policy's best. Half
a point, for curves flatten: their last samples buy nothing, and noise would decide whether they are
billed.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.method.metrics import Array, mean

SLACK = 0.005


@dataclass(frozen=True)
class Curve:
    """A policy over budgets. right, spent: [queries, budgets]; spent in samples or in tokens."""

    right: Array
    spent: Array


@dataclass(frozen=True)
class EqualAccuracy:
    """The accuracy, and what SC and the policy spend a query to reach it; a figure a resample."""

    accuracy: Array
    by_sc: Array
    by_policy: Array

    @property
    def saved(self) -> Array:
        """The share of SC's spending that the policy saves; below 0 where it spends more."""
        return 1 - self.by_policy / self.by_sc


def at_equal_accuracy(
    sc: Curve, policy: Curve, weights: Array, beside: Curve | None = None
) -> EqualAccuracy:
    """Reads both curves, of the same queries, at one accuracy. weights: as metrics.resample's.

    beside: another policy's, with whose savings these are compared: at an accuracy that it reaches.
    """
    sc_right, policy_right = mean(sc.right, weights), mean(policy.right, weights)
    best = np.minimum(sc_right[:, -1], policy_right.max(1))
    if beside is not None:
        best = np.minimum(best, mean(beside.right, weights).max(1))
    accuracy = np.maximum(best - SLACK, 0.0)
    return EqualAccuracy(
        accuracy,
        spent_to_reach(accuracy, mean(sc.spent, weights), sc_right),
        spent_to_reach(accuracy, mean(policy.spent, weights), policy_right),
    )


def spent_to_reach(accuracy: Array, spent: Array, reached: Array) -> Array:
    """What a curve spends where it first reaches an accuracy; NaN where it never does.

    accuracy: [curves]; spent, reached: [curves, budgets]. Linear between neighbouring budgets; of a
    curve that is there from its first budget, what that one spends.
    """
    there = reached >= accuracy[:, None]
    curve, last = np.arange(len(there)), there.argmax(1)
    before = np.maximum(last - 1, 0)
    step = reached[curve, last] - reached[curve, before]
    missing = accuracy - reached[curve, before]
    share = np.divide(missing, step, out=np.zeros_like(step), where=step > 0)
    found = spent[curve, before] + share * (spent[curve, last] - spent[curve, before])
    return np.where(there.any(1), found, np.nan)


def repaid_after(spent: float, saved: float) -> float:
    """Queries after which what was spent is saved, at so much a query; infinite where nothing is,
    and 0 where the saving is infinite."""
    return float(np.ceil(spent / saved)) if saved > 0 else np.inf
