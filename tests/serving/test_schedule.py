"""How many samples have been started by the time that some were used."""

import random
from itertools import product

import pytest

from pipelines.method.policies import POLICIES
from pipelines.serving.schedule import soonest, started


@pytest.mark.parametrize(
    ("schedule", "budget", "by_used"),
    [
        ("all", 3, [3, 3, 3]),
        ("sequential", 3, [1, 2, 3]),
        ("waves", 1, [1]),
        ("waves", 9, [1, 3, 5, 7, 9, 9, 9, 9, 9]),
        ((2, 3), 9, [2, 2, 5, 5, 5, 8, 8, 8, 9]),
        ((8,), 5, [5, 5, 5, 5, 5]),
    ],
)
def test_samples_that_were_started(schedule, budget, by_used):
    assert [started(schedule, used, budget, lambda: 1) for used in range(budget)] == by_used


def test_waves_draw_together_what_the_policy_needs_before_it_can_stop():
    assert started("waves", 0, 16, lambda: 5) == 5
    assert started("waves", 2, 16, lambda: 5) == 7
    assert started("waves", 8, 16, lambda: 2) == 16


THRESHOLDS = {"none": [0.0], "window": [2, 3], "share": [0.5, 0.7, 0.95], "confidence": [0.2, 1.0]}
CASES = [(name, one) for name, family in POLICIES.items() for one in THRESHOLDS[family.threshold]]


@pytest.mark.parametrize(("name", "threshold"), CASES)
def test_no_policy_stops_sooner(name, threshold):
    """Against every way to go on for three samples, of answers seen and new, sure and not."""
    left, draw = 4, random.Random(0)
    for _ in range(20):
        policy = POLICIES[name].make(threshold)
        seen = [(draw.choice(["a", "b", None]), draw.random()) for _ in range(draw.randrange(6))]

        def stops_at(more, policy=policy, seen=seen):
            tally = policy.start()
            for sample in seen:
                if tally.add(*sample):
                    return 0
            return next((i for i, one in enumerate(more, 1) if tally.add(*one)), left)

        if stops_at([]) == 0:
            continue
        tally = policy.start()
        for sample in seen:
            tally.add(*sample)
        ways = product(product(["a", "b", "c", None], [0.0, 0.5, 1.0]), repeat=left - 1)
        assert soonest(tally, [answer for answer, _ in seen], left) == min(map(stops_at, ways))


@pytest.mark.parametrize("name", ["self_consistency", "sc_conf", "best_of_n"])
def test_what_never_stops_takes_all_that_is_left(name):
    assert soonest(POLICIES[name].make(0.0).start(), [], 16) == 16


def test_looking_ahead_of_what_narrow_calibration_confidences_fitted():
    """A sample that is surer than any of them: its weight is bounded."""
    tally = POLICIES["reasc"].make(1.1, mean=1e-5, deviation=1e-5).start()
    assert soonest(tally, [], 16) == 2


def test_looking_ahead_leaves_the_tally_as_it_was():
    tally = POLICIES["asc"].make(0.6).start()
    tally.add("a", 1.0)
    tally.add("b", 1.0)
    soonest(tally, ["a", "b"], 8)
    assert (tally.add("b", 1.0), tally.answer()) == (True, "b")
