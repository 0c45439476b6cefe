"""How sure weighted votes are: P(leader's rate > runner-up's) under a uniform prior.

1 - I_{1/2}(leader + 1, runner_up + 1), leader >= runner_up >= 0, by the series of positive terms of
I_x (DLMF 8.17.7 and 8.17.8), which fall here: with 8 roots of all weight it is right to 1e-13. Of
much weight a binomial's normal approximation is right to 1e-5, and takes no time.
"""

from math import erfc, exp, lgamma, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_MUCH = 1e4  # of all weight

_log_gamma = np.vectorize(lgamma, otypes=[np.float64])
_erfc = np.vectorize(erfc, otypes=[np.float64])


def weights_lead(leader: float, runner_up: float) -> float:
    """Of one query."""
    weight = leader + runner_up
    if weight > _MUCH:
        return 1 - erfc(_standardized(leader, runner_up)) / 2
    a, b = leader + 1, runner_up + 1
    first = lgamma(a + b) - lgamma(a + 1) - lgamma(b) - (a + b) * log(2)
    return 1 - exp(first) * _series(a, b, weight)


def weights_lead_each(leader: Array, runner_up: Array) -> Array:
    """Of many queries; arrays of one shape."""
    much = leader + runner_up > _MUCH
    a, b = np.where(much, 1.0, leader + 1), np.where(much, 1.0, runner_up + 1)
    first = _log_gamma(a + b) - _log_gamma(a + 1) - _log_gamma(b) - (a + b) * log(2)
    lead = 1 - np.exp(first) * _series(a, b, np.max(a + b, initial=2.0))
    lead[much] = 1 - _erfc(_standardized(leader[much], runner_up[much])) / 2
    return lead


def _series(a: Any, b: Any, weight: float) -> Any:
    """Of 1, (a + b) / (2 (a + 1)), ... the sum. weight: the most that there is."""
    term = total = 1.0
    for k in range(48 + int(8 * sqrt(weight))):
        term = term * (a + b + k) / (2 * (a + 1 + k))
        total = total + term
    return total


def _standardized(leader: Any, runner_up: Any) -> Any:
    """In standard deviations of their difference, over the root of 2."""
    return (leader - runner_up) / (2 * (leader + runner_up + 1)) ** 0.5
