"""How sure weighted votes are of their leader, of many at once."""

from math import lgamma, log

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_log_gamma = np.vectorize(lgamma, otypes=[np.float64])


def leads(leader: Array, runner_up: Array) -> Array:
    """1 - I_{1/2}(leader + 1, runner_up + 1): P(leader's rate > runner-up's) under a uniform prior.

    leader >= runner_up >= 0, of one shape. By the series of policies/evidence.weights_lead.
    """
    a, b = leader + 1, runner_up + 1
    first = _log_gamma(a + b) - _log_gamma(a + 1) - _log_gamma(b) - (a + b) * log(2)
    term = np.ones_like(first)
    total, k = term, 0
    while np.any(term > 1e-13 * total):
        term = term * (a + b + k) / (2 * (a + 1 + k))
        total, k = total + term, k + 1
    sure: Array = 1 - np.exp(first) * total
    return sure
