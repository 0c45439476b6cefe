"""Replay of many orders at once: against the tallies of one, and all orders of few samples."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipelines.method.policies import POLICIES, GivingUp, in_order
from pipelines.method.replay import (
    Recorded,
    as_recorded,
    best_of_n,
    in_orders,
    orders_of,
    replay,
)

THRESHOLDS = {
    "none": [0.0],
    "confidence": [0.0, 0.5, 0.7, 1.0],
    "share": [0.5, 0.6, 2 / 3, 0.95],
    "window": [1, 2, 3],
}
EVERY = [
    (name, threshold)
    for name, family in POLICIES.items()
    for threshold in THRESHOLDS[family.threshold]
]
# At which none of them stops.
NEVER = {"none": 0.0, "confidence": np.inf, "share": np.inf, "window": 7}
FITTED = {"temperature": 0.2, "mean": 0.4, "deviation": 0.3}


def made(of):
    """(name, threshold), and what it gives up at, if anything."""
    name, threshold, *limits = of
    fitted = {key: FITTED[key] for key in POLICIES[name].fitted}
    policy = POLICIES[name].make(threshold, **fitted)
    return GivingUp(policy, *limits) if limits else policy


GIVING_UP = [
    (*of, after, below)
    for of in EVERY[:: len(EVERY) // 8]
    for after, below in [(1, 1.0), (2, 1.0), (3, 0.6)]
]


@st.composite
def recorded(draw, samples=6):
    """Few answers and few confidences, so that ties, zeros and samples without an answer abound."""
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, samples)))
    answers = draw(arrays.arrays(np.int64, shape, elements=st.integers(-1, 2)))
    c = draw(arrays.arrays(np.float64, shape, elements=st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0])))
    right = draw(st.integers(0, 2))
    return Recorded(answers, c, answers == right)


def by_tallies(policy, one, order):
    """(right, samples used) [queries, budgets] of a policy's tallies in one order."""
    right, used = [], []
    for answers, c, correct in zip(*one, strict=True):
        names = [None if a < 0 else f"answer {a}" for a in answers]
        verdict = {None: False} | dict(zip(names, correct & (answers >= 0), strict=True))
        run = in_order(policy, [(names[i], c[i]) for i in order])
        right.append([verdict[answer] for answer in run.answers])
        used.append(run.samples)
    return np.array(right), np.array(used)


@settings(max_examples=500)
@given(recorded(), st.integers(0, 99), st.sampled_from(EVERY + GIVING_UP))
def test_an_order_ends_as_the_tallies_do(one, seed, of):
    policy = made(of)
    order = np.random.default_rng(seed).permutation(one.answers.shape[1])
    (found,) = in_orders([policy], one, order[None])
    right, used = by_tallies(policy, one, order)
    np.testing.assert_array_equal(found.right, right)
    np.testing.assert_array_equal(found.samples, used)


@settings(max_examples=60)
@given(recorded(samples=4), st.sampled_from(EVERY))
def test_the_mean_over_all_orders_is_theirs(one, of):
    policy = made(of)
    order = np.array(list(permutations(range(one.answers.shape[1]))))
    (found,) = in_orders([policy], one, order)
    each = [by_tallies(policy, one, row) for row in order]
    right, used = (np.mean(side, axis=0) for side in zip(*each, strict=True))
    np.testing.assert_allclose(found.right, right, atol=1e-12)
    np.testing.assert_allclose(found.samples, used, atol=1e-12)
    if of[0] == "best_of_n":
        np.testing.assert_allclose(best_of_n(one).right, right, atol=1e-12)


class Second:
    """Stops at the second sample, and takes its answer; the last one's where it is not stopped."""

    def start(self):
        return Second()

    def __init__(self):
        self.seen = []

    def add(self, answer, confidence):
        self.seen.append(answer)
        return len(self.seen) == 2

    def answer(self):
        return self.seen[-1]


def test_a_policy_of_ones_own_is_replayed_by_its_tally():
    one = Recorded(np.array([[0, 1, -1]]), np.full((1, 3), 0.5), np.array([[True, False, False]]))
    (found,) = in_orders([Second()], one, np.array([[0, 1, 2], [1, 0, 2], [1, 2, 0]]))
    np.testing.assert_allclose(found.right, [[1 / 3, 1 / 3, 1 / 3]])
    np.testing.assert_allclose(found.samples, [[1, 2, 2]])


@settings(max_examples=300)
@given(recorded(), st.sampled_from([*EVERY, *GIVING_UP, None]))
def test_a_run_as_recorded_is_its_tallys(one, of):
    policy = made(of) if of else Second()
    (found,) = as_recorded([policy], one)
    never = made((*of[:1], NEVER[POLICIES[of[0]].threshold])) if of else None
    for query, (answers, c, correct) in enumerate(zip(*one, strict=True)):
        names = [None if a < 0 else f"answer {a}" for a in answers]
        verdict = {None: False} | dict(zip(names, correct & (answers >= 0), strict=True))
        samples = list(zip(names, c, strict=True))
        tally = policy.start()
        used = next((n for n, sample in enumerate(samples, 1) if tally.add(*sample)), None)
        assert found.stopped[query] == (used is not None)
        assert found.samples[query] == (used or len(samples))
        assert found.right[query] == verdict[tally.answer()]
        if of is None:
            assert found.right_after is None  # what it would have gone on to is not known
        elif of[0] != "reasc":  # whose threshold is not all that stops it
            expected = [verdict[answer] for answer in in_order(never, samples).answers]
            assert found.right_after[:, query].tolist() == expected


@pytest.mark.parametrize(("samples", "orders"), [(1, 1), (5, 1), (16, 100), (64, 100)])
def test_orders_have_each_sample_in_each_place_equally_often(samples, orders):
    found = orders_of(samples, orders, seed=1)
    assert len(found) >= orders
    for place in found.T:
        assert set(np.bincount(place, minlength=samples)) == {len(found) // samples}


def test_a_seed_gives_the_same_figures_however_many_queries_there_are():
    rng = np.random.default_rng(0)
    answers = rng.integers(-1, 4, (40, 8))
    one = Recorded(answers, rng.random((40, 8)), answers == 1)
    first = one.of(slice(3))
    policies = [POLICIES[name].make(threshold) for name, threshold in EVERY]
    for whole, part in zip(
        replay(policies, one, 20, 7), replay(policies, first, 20, 7), strict=True
    ):
        np.testing.assert_array_equal(whole.right[:3], part.right)
        np.testing.assert_array_equal(whole.samples[:3], part.samples)


@pytest.mark.parametrize("name", ["self_consistency", "early_stopping_best", "esc_sliding"])
def test_figures_vary_less_than_over_independent_orders(name):
    """Over seeds: whatever a policy looks at, counts, the largest, or runs of equal answers."""
    rng = np.random.default_rng(3)
    queries, samples = 20, 32
    answers = rng.integers(0, 4, (queries, samples))
    one = Recorded(answers, rng.random((queries, samples)), answers == 0)
    policy = [POLICIES[name].make({"early_stopping_best": 0.9, "esc_sliding": 4}.get(name, 0))]

    def spread(draw):
        found = [in_orders(policy, one, draw(seed))[0].right for seed in range(20)]
        return np.std(found, axis=0).mean()

    def apart(seed):
        every = np.tile(np.arange(samples), (samples, 1))
        return np.random.default_rng(seed).permuted(every, axis=1)

    assert spread(lambda seed: orders_of(samples, samples, seed)) < spread(apart)
