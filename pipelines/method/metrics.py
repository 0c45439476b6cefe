"""What responses are worth: accuracy, ranking, squared error, and the bootstrap over queries.

confidence, correct: [queries, responses] each (arXiv 2503.00031, section 4.2). weights: [resamples,
queries], how often a query is drawn. A metric has a figure for each row of weights, NaN where it is
undefined; so one piece of code gives the figure itself (`each_once`) and its bootstrap, and two
models' figures under the same weights are paired.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Metric = Callable[[Array, Array, Array], Array]

BINS = 10
_AT_ONCE = 4_000_000  # weights of responses that auroc holds at a time


def each_once(queries: int) -> Array:
    """The weights of the figure itself."""
    return np.ones((1, queries))


def resample(queries: int, resamples: int, seed: int) -> Array:
    """Weights of as many queries drawn with replacement, a row a resample."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(queries, np.full(queries, 1 / queries), size=resamples)
    return drawn.astype(np.float64)


def interval(values: Array) -> list[float] | None:
    """The 95% percentile interval of resampled figures; None where all of them are undefined."""
    defined = values[~np.isnan(values)]
    return [float(end) for end in np.percentile(defined, [2.5, 97.5])] if len(defined) else None


def mean(values: Array, weights: Array) -> Array:
    """Weighted means over queries. values: [queries, ...]. Returns [resamples, ...]."""
    return (weights @ values) / weights.sum(1).reshape(-1, *[1] * (values.ndim - 1))


def accuracy(confidence: Array, correct: Array, weights: Array) -> Array:
    """Share of correct responses."""
    return mean(correct.mean(1), weights)


def brier(confidence: Array, correct: Array, weights: Array) -> Array:
    """Mean squared difference of confidence and correctness."""
    return mean(((confidence - correct) ** 2).mean(1), weights)


def auroc(confidence: Array, correct: Array, weights: Array) -> Array:
    """P(a correct response is more confident than a wrong one), ties half."""
    order = np.argsort(confidence, axis=None)
    query, ranked = order // confidence.shape[1], confidence.ravel()[order]
    right = correct.ravel()[order]
    tied = np.flatnonzero(np.r_[True, ranked[1:] > ranked[:-1]])  # where equal ones begin
    found = []
    for part in np.array_split(weights, -(-len(weights) * len(order) // _AT_ONCE)):
        weight = part[:, query]
        positive = np.add.reduceat(weight * right, tied, axis=1)
        negative = np.add.reduceat(weight * (1 - right), tied, axis=1)
        below = np.cumsum(negative, axis=1) - negative / 2
        pairs = positive.sum(1) * negative.sum(1)
        won = (positive * below).sum(1)
        found.append(np.divide(won, pairs, out=np.full(len(part), np.nan), where=pairs > 0))
    return np.concatenate(found)


def wqd(confidence: Array, correct: Array, weights: Array) -> Array:
    """Within-question discrimination (Taubenfeld et al. 2025, arXiv 2502.06233): of all pairs of a
    correct and a wrong response to one query, in how many the correct one is more confident.

    Ties half, as in auroc. A response without an answer is a wrong one, as everywhere here; in the
    public code it is in no pair.
    """
    won, pairs = np.empty((2, len(confidence)))
    for query, (c, right) in enumerate(zip(confidence, correct.astype(bool), strict=True)):
        above = c[right][:, None] - c[~right]
        won[query], pairs[query] = (np.sign(above) + 1).sum() / 2, above.size
    total = weights @ pairs
    return np.divide(weights @ won, total, out=np.full(len(weights), np.nan), where=total > 0)


def bin_of(confidence: Array) -> NDArray[np.int64]:
    """Equal-width bins, the last one closed: confidence 1.0 belongs to it."""
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def reliability(confidence: Array, correct: Array) -> list[tuple[float, float, int]]:
    """(mean confidence, accuracy, count) of each non-empty bin: the reliability curve."""
    index = bin_of(confidence)
    return [
        (float(confidence[inside].mean()), float(correct[inside].mean()), int(inside.sum()))
        for inside in (index == b for b in range(BINS))
        if inside.any()
    ]
