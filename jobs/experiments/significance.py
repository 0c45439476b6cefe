"""How sure differences are: training seeds beside queries, and many differences at once.

Two runs of one recipe differ by their seeds, which no resampling of queries shows, and two or three
seeds are too few to resample. So their noise has the reach of Student's t, and the reaches over
queries and over seeds add by their squares (MOVER: Zou and Donner 2008, Statistics in Medicine 27).
The noise of one seed in one variant is pooled over the variants of a table, as the residuals of
variants by seeds (Dunnett 1955, Journal of the American Statistical Association 50, who compares
several with one); a variant that is noisier than that has its own.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np

LEVEL = 0.05
_NORMAL = NormalDist()
_HALVINGS = 50


@dataclass(frozen=True)
class SeedNoise:
    """variance: of a difference of means over training runs; freedom: degrees, of its estimate."""

    variance: float
    freedom: int


def seed_noise(
    after: Sequence[float], before: Sequence[float], several: Sequence[Sequence[float]]
) -> SeedNoise | None:
    """Of mean(after) - mean(before), figures of training runs; None where neither has several.

    As many runs of both are paired by their seeds, else independent. several: the figures of all
    variants of the table; those with as many runs as `before` are pooled.
    """
    if len(after) == len(before) > 1:
        figures = np.array([runs for runs in several if len(runs) == len(before)])
        variants, seeds = figures.shape
        freedom = (variants - 1) * (seeds - 1)
        rest = figures - figures.mean(0) - figures.mean(1, keepdims=True) + figures.mean()
        pooled = 2 * float((rest**2).sum()) / freedom
        own = float(np.var(np.subtract(after, before), ddof=1))
        return SeedNoise(max(pooled, own) / seeds, freedom)
    several = [runs for runs in (after, before) if len(runs) > 1]
    if not several:
        return None
    variance = sum(float(np.var(runs, ddof=1)) / len(runs) for runs in several)
    return SeedNoise(variance, min(len(runs) for runs in several) - 1)


def interval(value: float, ends: Sequence[float], noise: SeedNoise | None) -> list[float]:
    """ends: the 95% interval over queries; returns the one over queries and seeds."""
    if noise is None:
        return list(ends)
    seeds = quantile(LEVEL, noise.freedom) * math.sqrt(noise.variance)
    low, high = (math.hypot(end - value, seeds) for end in ends)
    return [value - low, value + high]


def p_value(value: float, ends: Sequence[float], noise: SeedNoise | None) -> float:
    """The level at which the interval would end at 0; ends: as in `interval`."""
    if value == 0:
        return 1.0
    reach = max(0.0, value - ends[0] if value > 0 else ends[1] - value)
    queries = reach / -_NORMAL.inv_cdf(LEVEL / 2)
    if noise is None or noise.variance == 0:
        return math.erfc(abs(value) / queries / math.sqrt(2)) if queries else 0.0
    seeds = math.sqrt(noise.variance)

    def reaches_zero(t: float) -> bool:
        level = two_sided(t, noise.freedom)
        z = -_NORMAL.inv_cdf(level / 2) if level else math.inf
        return math.hypot(z * queries, t * seeds) >= abs(value)

    return two_sided(_least(reaches_zero), noise.freedom)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted, so that of all that are at most a level, one is false no more often than that
    (Holm 1979, Scandinavian Journal of Statistics 6)."""
    adjusted, most = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        most = max(most, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = most
    return adjusted


@cache
def quantile(level: float, freedom: int) -> float:
    """The t that is passed, on either side, with probability `level`."""
    return _least(lambda t: two_sided(t, freedom) <= level)


def two_sided(t: float, freedom: int) -> float:
    """P(|T| >= t) of Student's t: I_x(freedom / 2, 1 / 2), x = freedom / (freedom + t^2)."""
    x = freedom / (freedom + t * t)
    if x < 0.5:
        return _incomplete_beta(x, freedom / 2, 0.5)
    return 1 - _incomplete_beta(1 - x, 0.5, freedom / 2)


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b), x <= 1/2, by its series of positive terms (DLMF 8.17.7 and 8.17.8)."""
    if x == 0:
        return 0.0
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    first = math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta) / a
    term = total = 1.0
    k = 0
    while term > total * 1e-16:
        term *= (a + b + k) / (a + 1 + k) * x
        total, k = total + term, k + 1
    return first * total


def _least(holds: Callable[[float], bool]) -> float:
    """The least t >= 0 from which on it holds."""
    low, high = 0.0, 1.0
    while not holds(high):
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
