"""Confidences without fine-tuning: maps from what a response already says to its SSC label.

What one tries before LoRA, from the same labels. Three maps of the base model's P(True), c:
temperature, sigmoid(logit(c) / T) (Guo et al. 2017, arXiv 1706.04599); platt, sigmoid(a logit(c) +
b) (Platt 1999), both of least cross entropy; isotonic, the non-decreasing map of least squares
(Zadrozny and Elkan 2002). And ridge: a ridge regression on features of a single response, then
isotonic on its predictions for other queries, as Zollo et al. 2026 (arXiv 2604.19444) distil
self-consistency. Their features are an embedding of the response; these (FEATURES) are recorded
anyway and cost nothing. Agreement is none of them: who knows it has drawn all samples.

Of another source of confidence, which is no probability (token_confidences.py), Platt's map makes
one: it is linear in the source itself, where for P(True) it is in the logit.

A map is fitted on responses [responses] and takes responses of any shape.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.method.metrics import Array
from pipelines.method.token_confidences import P_TRUE, SOURCES

# Logits of P(True), logarithms of p(Yes) + p(No), of the tokens of response and prompt, and whether
# the response was cut at max_tokens.
FEATURES = ("confidence", "mass", "tokens", "prompt_tokens", "cut")
_LEAST = 1e-6  # of a probability, before its logit or logarithm is taken
_ALPHA = 1.0  # of ridge, on standardized features: scikit-learn's default
_COLDEST, _HOTTEST = 0.01, 100.0  # temperatures; without bounds, hopeless confidences have none


class Seen(NamedTuple):
    """What a map sees of responses."""

    confidence: Array  # [...]: P(True)
    features: Array  # [..., FEATURES]
    sources: Mapping[str, Array] = {}  # [...] each: other confidences, the larger the surer

    @staticmethod
    def of(
        confidence: ArrayLike,
        mass: ArrayLike,
        tokens: ArrayLike,
        prompt_tokens: ArrayLike,
        cut: ArrayLike,
    ) -> "Seen":
        """Of arrays of one shape: p(Yes) + p(No) is the mass; a cut response hit max_tokens."""
        c = np.asarray(confidence, dtype=np.float64)
        columns = (
            logit(c),
            np.log(np.maximum(mass, _LEAST)),
            np.log(np.maximum(tokens, 1)),
            np.log(np.maximum(prompt_tokens, 1)),
            np.asarray(cut, dtype=np.float64),
        )
        return Seen(c, np.stack(columns, axis=-1))

    def at(self, responses: NDArray[np.bool_]) -> "Seen":
        return Seen(
            self.confidence[responses],
            self.features[responses],
            {name: values[responses] for name, values in self.sources.items()},
        )


@dataclass(frozen=True)
class Line:
    """Platt's map of a source of confidence: linear, then a probability, in single precision. So a
    threshold that is one of them is met by it again, whatever of its like are computed at once."""

    slope: float
    offset: float

    def __call__(self, x: Array) -> Array:
        found: Array = sigmoid(self.slope * x + self.offset).astype(np.float32).astype(np.float64)
        return found

    def of(self, source: str, value: float) -> float:
        """Of a value as it was recorded: the larger the surer, or the less."""
        return float(self(np.array([SOURCES[source].surer * value]))[0])


class Map(NamedTuple):
    """A fitted map. facts: its parameters, for people."""

    recalibrate: Callable[[Seen], Array]  # confidences in [0, 1], in the shape of the responses
    facts: dict[str, float]


Fit = Callable[[Seen, Array, NDArray[np.int64]], Map]


def logit(p: Array) -> Array:
    inside = np.clip(p, _LEAST, 1 - _LEAST)
    found: Array = np.log(inside) - np.log1p(-inside)
    return found


def sigmoid(x: Array) -> Array:
    found: Array = np.exp(-np.logaddexp(0.0, -x))
    return found


def temperature(confidence: Array, target: Array) -> float:
    """The T of least cross entropy between sigmoid(logit(c) / T) and the labels in [0, 1]."""
    (slope,) = _logistic(logit(confidence)[:, None], target)
    return float(1 / np.clip(slope, 1 / _HOTTEST, 1 / _COLDEST))


def platt(confidence: Array, target: Array) -> tuple[float, float]:
    """Slope and offset of least cross entropy between sigmoid(a logit(c) + b) and the labels.

    Labels are drawn in from 0 and 1 as Platt does, where a label counts as that much of a positive
    and the rest of a negative: all equal ones have a finite map, too.
    """
    line = _line(logit(confidence), target)
    return line.slope, line.offset


def _line(x: Array, target: Array) -> Line:
    positive = float(target.sum())
    most = (positive + 1) / (positive + 2)
    least = 1 / (len(target) - positive + 2)
    slope, offset = _logistic(
        np.stack([x, np.ones_like(x)], axis=1), least + target * (most - least)
    )
    return Line(float(slope), float(offset))


@dataclass(frozen=True)
class Isotonic:
    """Non-decreasing; linear between the x that it was fitted on, flat beyond them."""

    x: Array  # ascending
    y: Array

    @staticmethod
    def fit(x: Array, target: Array) -> "Isotonic":
        """Of least squares, by pooling adjacent violators (Ayer et al. 1955)."""
        known, place, counts = np.unique(x, return_inverse=True, return_counts=True)
        totals = np.bincount(place, weights=target)
        pools: list[tuple[float, float, int]] = []  # sum, weight and number of x
        for total, weight in zip(totals.tolist(), counts.tolist(), strict=True):
            pool = (total, float(weight), 1)
            while pools and pools[-1][0] * pool[1] >= pool[0] * pools[-1][1]:
                pool = tuple(map(sum, zip(pools.pop(), pool, strict=True)))  # type: ignore[assignment]
            pools.append(pool)
        sums, weights, sizes = map(np.array, zip(*pools, strict=True))
        return Isotonic(known, np.repeat(sums / weights, sizes))

    def __call__(self, x: Array) -> Array:
        return np.interp(x, self.x, self.y)


@dataclass(frozen=True)
class Ridge:
    """A linear map of standardized features."""

    mean: Array
    scale: Array
    weights: Array
    offset: float

    @staticmethod
    def fit(features: Array, target: Array) -> "Ridge":
        """Of least squared errors plus _ALPHA times the squared weights; the offset is free."""
        mean = features.mean(0)
        # A feature that never changes says nothing; the deviation of equal numbers is seldom 0.
        scale = np.where(features.max(0) > features.min(0), features.std(0), 1.0)
        x = (features - mean) / scale
        offset = float(target.mean())
        gram = x.T @ x + _ALPHA * np.eye(x.shape[1])
        return Ridge(mean, scale, np.linalg.solve(gram, x.T @ (target - offset)), offset)

    def __call__(self, features: Array) -> Array:
        found: Array = (features - self.mean) / self.scale @ self.weights + self.offset
        return found


def line_of(source: str, seen: Seen, target: Array) -> Line:
    """Platt's map of P_TRUE's logit, or of one of Seen.sources. target: labels in [0, 1]."""
    return _line(_linear(source, seen), target)


def by_line(source: str, line: Line) -> Map:
    """The map of a source's fitted line."""
    return Map(lambda new: line(_linear(source, new)), asdict(line))


def _linear(source: str, seen: Seen) -> Array:
    """What a line is of."""
    return logit(seen.confidence) if source == P_TRUE else seen.sources[source]


def _temperature(seen: Seen, target: Array, query: NDArray[np.int64]) -> Map:
    t = temperature(seen.confidence, target)
    return Map(lambda new: sigmoid(logit(new.confidence) / t), {"temperature": t})


def _platt(seen: Seen, target: Array, query: NDArray[np.int64]) -> Map:
    return by_line(P_TRUE, line_of(P_TRUE, seen, target))


def _isotonic(seen: Seen, target: Array, query: NDArray[np.int64]) -> Map:
    fitted = Isotonic.fit(seen.confidence, target)
    return Map(lambda new: fitted(new.confidence), {"levels": float(len(np.unique(fitted.y)))})


def _ridge(seen: Seen, target: Array, query: NDArray[np.int64]) -> Map:
    """Of queries with even numbers the regression, of the others its isotonic map."""
    first = query % 2 == 0
    ridge = Ridge.fit(seen.features[first], target[first])
    fitted = Isotonic.fit(ridge(seen.features[~first]), target[~first])
    facts = dict(zip(FEATURES, ridge.weights.tolist(), strict=True))
    return Map(lambda new: fitted(ridge(new.features)), facts | {"offset": ridge.offset})


# fit(seen, target, query): responses with a label in [0, 1], of at least two queries, by number.
FITS: Mapping[str, Fit] = {
    "temperature": _temperature,
    "platt": _platt,
    "isotonic": _isotonic,
    "ridge": _ridge,
}


def _logistic(design: Array, target: Array) -> Array:
    """Coefficients [columns] of least cross entropy, by Newton steps that are halved until they
    help. design: [responses, columns]; target: in [0, 1]."""

    def loss(coefficients: Array) -> float:
        z = design @ coefficients
        return float((np.logaddexp(0.0, z) - target * z).sum())

    coefficients = np.zeros(design.shape[1])
    now = loss(coefficients)
    for _ in range(100):
        p = sigmoid(design @ coefficients)
        hessian = (design * (p * (1 - p))[:, None]).T @ design
        step = np.linalg.lstsq(hessian, design.T @ (p - target), rcond=None)[0]
        while (then := loss(coefficients - step)) > now and np.abs(step).max() > 1e-12:
            step = step / 2
        if then > now or np.abs(step).max() <= 1e-12:
            break
        coefficients, now = coefficients - step, then
    return coefficients
