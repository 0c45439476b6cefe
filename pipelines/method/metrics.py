"""Calibration, ranking and policy metrics (arXiv 2503.00031, section 4.2); numpy in, floats out."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BINS = 10


def _bin_of(confidence: Array, bins: int) -> NDArray[np.int64]:
    """Equal-width bins, the last one closed: confidence 1.0 belongs to it."""
    return np.minimum((confidence * bins).astype(np.int64), bins - 1)


def ece(confidence: Array, correct: Array, bins: int = BINS) -> float | None:
    """Expected calibration error: bins' |accuracy - mean confidence|, weighed by their size."""
    if len(confidence) == 0:
        return None
    index = _bin_of(confidence, bins)
    gap = np.bincount(index, weights=correct - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(confidence))


def auroc(confidence: Array, correct: Array) -> float | None:
    """P(a correct response is more confident than a wrong one), ties half; None for one class."""
    positive = correct > 0.5
    n_pos, n_neg = int(positive.sum()), int((~positive).sum())
    if n_pos == 0 or n_neg == 0:
        return None
    _, inverse, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # mean rank of each tie
    return float((ranks[positive].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg))


def brier(confidence: Array, correct: Array) -> float | None:
    """Mean squared difference of confidence and correctness."""
    return float(np.mean((confidence - correct) ** 2)) if len(confidence) else None


def reliability(
    confidence: Array, correct: Array, bins: int = BINS
) -> list[tuple[float, float, int]]:
    """(mean confidence, accuracy, count) of each non-empty bin: the reliability curve."""
    index = _bin_of(confidence, bins)
    return [
        (
            float(confidence[index == b].mean()),
            float(correct[index == b].mean()),
            int((index == b).sum()),
        )
        for b in range(bins)
        if (index == b).any()
    ]


Statistic = Callable[[Array, Array], float | None]


def bootstrap_by_query(
    statistic: Statistic,
    confidence: Sequence[Array],
    correct: Sequence[Array],
    resamples: int,
    seed: int,
) -> tuple[float, float] | None:
    """A 95% percentile interval of a statistic, resampling queries with all their responses.

    confidence, correct: one array a query. None where the statistic is undefined.
    """
    if not confidence or statistic(np.concatenate(confidence), np.concatenate(correct)) is None:
        return None
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        drawn = rng.integers(0, len(confidence), len(confidence))
        value = statistic(
            np.concatenate([confidence[i] for i in drawn]),
            np.concatenate([correct[i] for i in drawn]),
        )
        if value is not None:
            values.append(value)
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def bootstrap_means(values: Array, resamples: int, seed: int) -> Array:
    """95% percentile intervals of column means, resampling rows (queries).

    values: [queries, columns]. Returns [columns, 2].
    """
    rng = np.random.default_rng(seed)
    queries = values.shape[0]
    weights = rng.multinomial(queries, np.full(queries, 1 / queries), size=resamples) / queries
    return np.percentile(weights @ values, [2.5, 97.5], axis=0).T


def samples_for(accuracy: float, curve: Sequence[tuple[float, float]]) -> float | None:
    """Fewest mean samples at which a policy's curve reaches an accuracy; None where it never does.

    curve: (mean samples, accuracy) points; linear between neighbours.
    """
    points = sorted(curve)
    best: float | None = None
    for (x0, y0), (x1, y1) in zip([points[0], *points], points, strict=False):
        if y1 >= accuracy:
            reached = (
                x1 if y0 >= accuracy or y1 == y0 else x0 + (accuracy - y0) / (y1 - y0) * (x1 - x0)
            )
            best = reached if y0 < accuracy else x0
            break
    return best
