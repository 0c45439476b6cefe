"""A policy's threshold, chosen on calibration queries, never on those that results are reported on.

The cheapest that is as accurate as self-consistency (SC) at the full budget, within one standard
error of the paired difference. Of a few dozen queries that error is nearly a tenth, and a threshold
that is so much worse would be no bargain: so a hundredth is the most.

The choice is cheaper than the most accurate threshold, not steadier: over resamples of two dozen
queries it moves as much or more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipelines.method.policies import NAMED
from pipelines.method.replay import Array, Recorded, Replayed

QUANTILES = 20
MOST_WORSE = 0.01
SHARES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)  # of votes, or of confidence


@dataclass(frozen=True)
class Candidate:
    """A threshold on the calibration queries, at the full budget."""

    threshold: float
    accuracy: float
    avg_samples: float


class Chosen(NamedTuple):
    """as_accurate: whether it is as accurate as SC on the calibration queries (choose)."""

    threshold: float
    as_accurate: bool


def candidates(name: str, recorded: Recorded, windows: Sequence[int]) -> list[float]:
    """Thresholds to choose from, ascending; none for a policy without one.

    Of a confidence: quantiles of the samples' that have an answer, so that they lie where this
    model's confidences do.
    """
    match NAMED[name].threshold:
        case "none":
            return []
        case "share":
            return list(SHARES)
        case "window":
            return [float(window) for window in sorted(windows)]
        case "confidence":
            said = recorded.confidence[recorded.answers >= 0]
            if not said.size:
                return [1.0]
            at = np.quantile(said, np.linspace(0, 1, QUANTILES + 1), method="higher")
            return [float(one) for one in np.unique(at)]


def measured(thresholds: Sequence[float], replayed: Sequence[Replayed]) -> list[Candidate]:
    """Each threshold with what it comes to at the full budget. replayed: at each of them."""
    return [
        Candidate(threshold, float(one.right[:, -1].mean()), float(one.samples[:, -1].mean()))
        for threshold, one in zip(thresholds, replayed, strict=True)
    ]


def choose(thresholds: Sequence[float], replayed: Sequence[Replayed], sc: Replayed) -> Chosen:
    """The threshold with the fewest samples of those that are as accurate as SC; where none is, the
    most accurate.

    As accurate: up to one standard error of the difference over queries, and MOST_WORSE. replayed:
    the policy at each threshold on the calibration queries; sc: self-consistency on them. Of equals
    the one with fewer samples, then the larger.
    """
    worse = np.stack([sc.right[:, -1] - one.right[:, -1] for one in replayed])
    samples = np.array([one.samples[:, -1].mean() for one in replayed])
    good = worse.mean(1) <= np.minimum(_standard_error(worse), MOST_WORSE) + 1e-12
    order = np.lexsort([-np.array(thresholds), samples, np.where(good, 0.0, worse.mean(1)), ~good])
    first = int(order[0])
    return Chosen(thresholds[first], bool(good[first]))


def _standard_error(values: Array) -> Array:
    """Of row means; 0 of single values."""
    queries = values.shape[1]
    if queries < 2:
        return np.zeros(len(values))
    errors: Array = values.std(axis=1, ddof=1) / np.sqrt(queries)
    return errors
