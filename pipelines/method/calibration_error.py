"""How far confidence is from the truth: ECE in bins and, without bins, the KS calibration error.

Both are the size of a vector of gaps that is a mean over queries: of correctness less confidence,
in each of ten bins (ECE: the sum of the absolute gaps), or cumulated up to each confidence (KS: the
largest one; Gupta et al. 2021, arXiv 2006.12800). Noise in the gaps never cancels in their size, so
a figure is too high by about what resampling adds to it once more. That much is taken off, down to
the lower end of the interval (`debiased`; Kumar, Liang and Ma 2019, arXiv 1909.10155, resample bins
where we resample queries).

A percentile interval starts above a small true value for the same reason. Here the lower end is the
least true size under which the plain figure is not in the upper 2.5%: the resampled noise is added
to the gaps, shrunk to that size in the way that leaves noise the most room. The upper end is the
percentile one, which errs upwards. So the interval covers: see tests/method/test_calibration_error.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipelines.method.metrics import BINS, Array, bin_of, mean

_POINTS = 200  # confidences up to which KS cumulates, at most; quantiles where there are more


@dataclass(frozen=True)
class Estimate:
    """plain: as it is usually reported. resampled: the plain figure of each resample."""

    plain: float
    debiased: float
    ci95: tuple[float, float]  # of the true value
    resampled: Array


def ece(confidence: Array, correct: Array, weights: Array) -> Estimate:
    """Expected calibration error: bins' |accuracy - mean confidence|, weighed by their size.

    confidence, correct: [queries, responses]; weights: [resamples, queries], as metrics.resample's.
    """
    return _estimate(_in_bins(confidence, correct), weights, _sum, _shrink_sum)


def ks(confidence: Array, correct: Array, weights: Array) -> Estimate:
    """KS calibration error: the most by which claimed and actual share of correct responses differ
    among those up to any one confidence. Shapes as in `ece`."""
    points = np.unique(confidence)
    if len(points) > _POINTS:
        # Of the confidences, the last one included: a sum has to end somewhere.
        shares = np.arange(1, _POINTS + 1) / _POINTS
        points = np.unique(np.quantile(confidence, shares, method="higher"))
    index = np.minimum(np.searchsorted(points, confidence), len(points) - 1)
    gaps = _by_query(index, correct - confidence, len(points)).cumsum(1)
    return _estimate(gaps, weights, lambda g: np.abs(g).max(-1), lambda g, t: np.clip(g, -t, t))


def difference(before: Estimate, after: Estimate) -> tuple[float, list[float]]:
    """after - before, debiased, and its 95% interval, of two models under the same weights.

    The interval is made of both models' own and the correlation of their resamples (MOVER: Zou and
    Donner 2008, Statistics in Medicine 27): percentiles of the difference would have both biases.
    """
    value = after.debiased - before.debiased
    spread = before.resampled.std() * after.resampled.std()
    shared = before.resampled - before.resampled.mean(), after.resampled - after.resampled.mean()
    correlation = float(np.mean(shared[0] * shared[1]) / spread) if spread else 0.0

    def reach(one: float, other: float) -> float:
        return float(np.sqrt(max(0.0, one**2 + other**2 - 2 * correlation * one * other)))

    below = reach(after.debiased - after.ci95[0], before.ci95[1] - before.debiased)
    above = reach(after.ci95[1] - after.debiased, before.debiased - before.ci95[0])
    return value, [value - below, value + above]


def _in_bins(confidence: Array, correct: Array) -> Array:
    return _by_query(bin_of(confidence), correct - confidence, BINS)


def _sum(gaps: Array) -> Array:
    total: Array = np.abs(gaps).sum(-1)
    return total


def _by_query(index: np.ndarray, values: Array, size: int) -> Array:
    """[queries, size]: sums of a query's values by index, over its responses."""
    queries, responses = values.shape
    place = index + size * np.arange(queries)[:, None]
    sums = np.bincount(place.ravel(), weights=values.ravel(), minlength=queries * size)
    return sums.reshape(queries, size) / responses


def _estimate(
    by_query: Array,
    weights: Array,
    size: Callable[[Array], Array],
    shrink: Callable[[Array, float], Array],
) -> Estimate:
    queries = len(by_query)
    gaps = by_query.mean(0)
    # Resampling spreads less than the data did, by a factor that shows where queries are few.
    noise = (mean(by_query, weights) - gaps) * np.sqrt(queries / max(1, queries - 1))
    plain, resampled = float(size(gaps)), size(gaps + noise)

    def too_high(true: float) -> bool:
        return bool(np.quantile(size(shrink(gaps, true) + noise), 0.975) < plain)

    low, high = 0.0, plain
    for _ in range(20 if too_high(0.0) else 0):
        middle = (low + high) / 2
        low, high = (middle, high) if too_high(middle) else (low, middle)
    debiased = max(low, 2 * plain - float(resampled.mean()))
    return Estimate(plain, debiased, (low, float(np.quantile(resampled, 0.975))), resampled)


def _shrink_sum(gaps: Array, total: float) -> Array:
    """The nearest vector whose absolute values sum to at most total: all come down by as much."""
    sizes = -np.sort(-np.abs(gaps))
    cuts = (np.cumsum(sizes) - total) / np.arange(1, len(sizes) + 1)
    cut = max(0.0, cuts.max())
    return np.sign(gaps) * np.maximum(np.abs(gaps) - cut, 0)
