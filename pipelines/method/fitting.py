"""Parameters of policies that calibration queries set, beside the threshold.

A policy that has any names them in PolicyFamily.fitted, and has its line in FITS.
"""

from collections.abc import Callable, Mapping

import numpy as np

from pipelines.method.policies import ConfidenceInformedSC, split
from pipelines.method.replay import Recorded, replay

# T of CISC. The paper's grid has 80 from 1e-4 to 1e4, for confidences of any scale; of P(True) all
# under these choose the most confident sample, and all over them the majority.
TEMPERATURES = tuple(float(t) for t in np.logspace(-3, 1, 21))


LEAST_DEVIATION = 0.01  # of P(True): what is less, is noise


def _temperature(recorded: Recorded, orders: int, seed: int) -> dict[str, float]:
    """Of CISC: the most accurate over all budgets, for one budget alone of a few dozen queries has
    many equals; of these the largest, which is nearest to the majority."""
    tried = [ConfidenceInformedSC(temperature) for temperature in TEMPERATURES]
    right = np.array([one.right.mean() for one in replay(tried, recorded, orders, seed)])
    best = np.flatnonzero(right >= right.max() - 1e-12)[-1]
    return {"temperature": TEMPERATURES[best]}


def _spread(recorded: Recorded, orders: int, seed: int) -> dict[str, float]:
    """Of ReASC: mean and standard deviation of confidence, of responses with an answer."""
    said = recorded.confidence[recorded.answers >= 0]
    if not said.size or said.min() == said.max():
        return {"mean": float(said.max(initial=0)), "deviation": 1.0}
    return {"mean": float(said.mean()), "deviation": max(LEAST_DEVIATION, float(said.std()))}


FITS: Mapping[str, Callable[[Recorded, int, int], dict[str, float]]] = {
    "cisc": _temperature,
    "reasc": _spread,
}


def fit(name: str, recorded: Recorded, orders: int, seed: int) -> dict[str, float]:
    """A policy's parameters by name, of the calibration queries; none for most policies.

    recorded: with the confidences that it needs. orders, seed: as replay takes them.
    """
    policy, _ = split(name)
    return FITS[policy](recorded, orders, seed) if policy in FITS else {}
