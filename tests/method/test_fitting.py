"""Parameters that calibration queries set."""

import numpy as np
import pytest

from pipelines.method.fitting import FITS, TEMPERATURES, fit
from pipelines.method.policies import POLICIES, ConfidenceInformedSC
from pipelines.method.replay import Recorded, replay


def simulated(informative, queries=60, samples=8):
    """Answers of which the right one is rarer than a wrong one in half of the queries."""
    rng = np.random.default_rng(0)
    correct = rng.random((queries, samples)) < np.where(np.arange(queries) % 2, 0.35, 0.6)[:, None]
    noise = rng.random(correct.shape)
    confidence = np.clip(0.3 + 0.3 * correct + 0.2 * noise, 0, 1) if informative else noise
    return Recorded(np.where(correct, 0, 1), confidence, correct)


def test_a_policy_names_what_is_fitted():
    for name, family in POLICIES.items():
        assert set(fit(name, simulated(True), 8, 0)) == set(family.fitted)
        assert bool(family.fitted) == (name in FITS)


def test_where_confidence_tells_right_from_wrong_it_decides():
    one = simulated(informative=True)
    found = fit("cisc", one, 16, 0)["temperature"]
    right = [
        float(replay([ConfidenceInformedSC(t)], one, 16, 0)[0].right.mean()) for t in TEMPERATURES
    ]
    assert right[TEMPERATURES.index(found)] == pytest.approx(max(right))
    assert found < 1 < TEMPERATURES[-1]


def test_of_temperatures_that_are_as_good_the_one_nearest_to_the_majority():
    """One sample a query: its answer, whatever the weight."""
    one = Recorded(np.array([[0], [0]]), np.array([[0.2], [0.9]]), np.array([[True], [False]]))
    assert fit("cisc", one, 4, 0) == {"temperature": 10.0}


def test_the_spread_is_of_responses_with_an_answer():
    answers = np.array([[0, -1, 1], [0, 0, -1]])
    c = np.array([[0.2, 0.9, 0.4], [0.6, 0.8, 0.1]])
    found = fit("reasc", Recorded(answers, c, answers == 0), 4, 0)
    assert found == pytest.approx({"mean": 0.5, "deviation": np.std([0.2, 0.4, 0.6, 0.8])})


def test_a_spread_that_is_noise_is_none():
    c = 0.7 + np.random.default_rng(0).normal(0, 1e-5, (4, 8))
    found = fit("reasc", Recorded(np.zeros(c.shape, int), c, c > 0), 4, 0)
    assert found == pytest.approx({"mean": 0.7, "deviation": 0.01}, abs=1e-4)


@pytest.mark.parametrize("answers", [-1, 0])
def test_confidences_without_a_spread_are_all_average(answers):
    same = np.full((2, 3), answers)
    one = Recorded(same, np.full((2, 3), 0.7), same == 0)
    found = fit("reasc", one, 4, 0)
    assert found["deviation"] == 1.0
    policy = POLICIES["reasc"].make(1.0, **found)
    assert policy.weight(0.7) == pytest.approx(1.0 if answers == 0 else np.exp(0.7 * 0.7))
