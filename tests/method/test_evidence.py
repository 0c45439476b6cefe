"""CGES, ReASC and CISC: by hand, and against their formulas written out in exact arithmetic."""

from collections import defaultdict
from fractions import Fraction
from math import comb, erf, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import betainc, mpf
from mpmath import exp as mp_exp

from pipelines.method.beta import weights_lead, weights_lead_each
from pipelines.method.policies import (
    POLICIES,
    ConfidenceGuided,
    ConfidenceInformedSC,
    GivingUp,
    ReliabilityAware,
    Voting,
    in_order,
)
from pipelines.method.replay import Recorded, as_recorded

SAMPLES = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", None]), st.sampled_from([0.05, 0.25, 0.5, 0.8])),
    min_size=1,
    max_size=12,
)


def first_of_most(weights, apart=1e-9):
    """weights: in the order in which answers were seen."""
    return next((a for a, w in weights.items() if w >= max(weights.values()) - apart), None)


def posterior(samples):
    """Products of likelihoods, over the answers seen and one for all others."""
    seen = list(dict.fromkeys(a for a, _ in samples if a is not None))
    likelihood = {}
    for right in [*seen, "another"]:
        product = Fraction(1)
        for answer, c in samples:
            if answer is not None:
                exact = Fraction(c).limit_denominator(100)
                product *= exact if answer == right else (1 - exact) / len(seen)
        likelihood[right] = product
    total = sum(likelihood.values())
    return {answer: one / total for answer, one in likelihood.items()}


def test_a_posterior_by_hand():
    """.8 * .4/2, .6 * .2/2 and .2/2 * .4/2 are 2/3, 1/4 and 1/12 of their sum."""
    samples = [("a", 0.8), ("b", 0.6)]
    assert posterior(samples) == {
        "a": Fraction(2, 3), "b": Fraction(1, 4), "another": Fraction(1, 12),
    }  # fmt: skip
    for threshold, used in ((2 / 3, [1, 1]), (0.81, [1, 2])):
        # After the first alone it is .8 against .2.
        assert in_order(ConfidenceGuided(threshold), samples).samples == used
    assert in_order(ConfidenceGuided(2 / 3), [("a", 0.6), ("a", 0.5), ("b", 0.1)]).samples[-1] == 3


@given(SAMPLES, st.sampled_from([0.0, 0.5, 0.7, 0.9, 0.99]))
def test_cges_stops_at_the_mass_of_an_answer_that_was_seen(samples, threshold):
    run = in_order(ConfidenceGuided(threshold), samples)
    for budget in range(1, len(samples) + 1):
        for used in range(1, budget + 1):
            mass = posterior(samples[:used])
            mass.pop("another")
            if mass and max(mass.values()) >= threshold - 1e-9:
                break
        assert (run.answers[budget - 1], run.samples[budget - 1]) == (first_of_most(mass), used)


@pytest.mark.parametrize("c", [0.0, 1.0])
def test_no_single_sample_settles_it_for_good(c):
    certain = [("a", c), *[("b", 0.9 if c else 0.1)] * 12]
    assert in_order(ConfidenceGuided(1.0), certain).answers[-1] == ("b" if c else "a")


def reliability(samples, policy):
    """(stops, answer) after all of the samples: its Beta criterion, by mpmath."""
    weights = defaultdict(lambda: mpf(0))
    for answer, c in samples:
        if answer is not None:
            weights[answer] += max(1, mp_exp(mpf("0.7") * (c - policy.mean) / policy.deviation))
    if len(samples) == 1:
        answer, c = samples[0]
        return answer is not None and c >= policy.threshold, first_of_most(weights)
    first, second = sorted([*weights.values(), 0, 0])[:-3:-1]
    sure = betainc(first + 1, second + 1, 0.5, 1, regularized=True)
    return sure >= 0.95, first_of_most(weights)


@given(SAMPLES, st.sampled_from([0.3, 0.8, 1.0]))
def test_reasc_stops_at_one_sure_sample_or_where_weights_are_enough(samples, threshold):
    policy = ReliabilityAware(threshold, mean=0.4, deviation=0.2)
    run = in_order(policy, samples)
    for budget in range(1, len(samples) + 1):
        for used in range(1, budget + 1):
            stops, answer = reliability(samples[:used], policy)
            if stops:
                break
        assert (run.answers[budget - 1], run.samples[budget - 1]) == (answer, used)


def test_surer_votes_are_enough_sooner():
    """Four votes of weight 1 leave (1/2)^5; of two standard deviations more, two are enough."""
    assert in_order(ReliabilityAware(1.0, 0.5, 0.1), [("a", 0.5)] * 9).samples[-1] == 4
    assert in_order(ReliabilityAware(1.0, 0.5, 0.1), [("a", 0.7)] * 9).samples[-1] == 2


def test_a_leads_probability_for_any_weights():
    rng = np.random.default_rng(0)
    total = rng.uniform(0, 600, 200)
    second = total * rng.uniform(0, 0.5, 200)
    expected = [
        float(betainc(a + 1, b + 1, 0.5, 1, regularized=True))
        for a, b in zip(total - second, second, strict=True)
    ]
    np.testing.assert_allclose(weights_lead_each(total - second, second), expected, atol=1e-11)
    one_by_one = list(map(weights_lead, total - second, second))
    np.testing.assert_allclose(one_by_one, expected, atol=1e-11)


def test_of_much_weight_the_lead_takes_no_longer():
    """A normal approximation, where the series is long; and hardly a step to it."""
    lead = np.array([5.02e5, 5e8, 3e10, 1e30])
    second = np.array([5e5, 5e8, 1.0, 1e30])
    expected = [0.5 + 0.5 * erf(2e3 / sqrt(2 * 1.002e6)), 0.5, 1.0, 0.5]
    np.testing.assert_allclose(weights_lead_each(lead, second), expected, atol=1e-6)
    np.testing.assert_allclose(list(map(weights_lead, lead, second)), expected, atol=1e-6)
    for a, b in ((5040, 4950), (5060, 4950)):
        votes = sum(comb(a + b + 1, k) for k in range(a + 1)) / 2 ** (a + b + 1)
        assert weights_lead(a, b) == pytest.approx(votes, abs=1e-5)


@pytest.mark.parametrize(("mean", "deviation"), [(1e-5, 1e-5), (0.5, 4e-4), (0.01, 5e-4)])
def test_reasc_bears_calibration_confidences_that_were_all_the_same(mean, deviation):
    """Its weights are bounded, in a tally and in a replay alike."""
    policy = ReliabilityAware(1.1, mean=mean, deviation=deviation)
    rows = ["abbaab", "abbbbb", "aaaaaa"]
    c = [[0.9, 0.9, 0.9, 0.9, 0.9, 1.0], [1.0, 0.0, 0.4, 1e-5, 0.0, 0.3], [0.0] * 6]
    answers = np.array([["ab".index(one) for one in row] for row in rows])
    with np.errstate(all="raise", under="ignore"):
        (found,) = as_recorded([policy], Recorded(answers, np.array(c), answers == 0))
    runs = [
        in_order(policy, list(zip(row, own, strict=True))) for row, own in zip(rows, c, strict=True)
    ]
    assert found.samples.tolist() == [run.samples[-1] for run in runs]
    assert found.right.tolist() == [run.answers[-1] == "a" for run in runs]


@given(SAMPLES, st.sampled_from([1e-3, 0.1, 1.0, 10.0]))
def test_cisc_weighs_votes_by_a_softmax(samples, temperature):
    """In many digits: exp(.8 / .001) is past floating point."""
    run = in_order(ConfidenceInformedSC(temperature), samples)
    for budget in range(1, len(samples) + 1):
        parsed = [(a, c) for a, c in samples[:budget] if a is not None]
        total = sum(mp_exp(mpf(c) / mpf(temperature)) for _, c in parsed)
        weights = defaultdict(lambda: mpf(0))
        for a, c in parsed:
            weights[a] += mp_exp(mpf(c) / mpf(temperature)) / total
        assert run.answers[budget - 1] == first_of_most(weights)
    assert run.samples == list(range(1, len(samples) + 1))


def test_cisc_lies_between_the_majority_and_the_surest_sample():
    samples = [("a", 0.5), ("b", 0.2), ("b", 0.25), ("b", 0.3)]
    ends = {t: in_order(ConfidenceInformedSC(t), samples).answers[-1] for t in (0.01, 100.0)}
    assert ends == {0.01: "a", 100.0: "b"}


@pytest.mark.parametrize(
    ("answers", "samples"),
    [
        ("abcd", 4),  # one of four agrees with the leader
        ("abca", 6),  # two of four are half, which is not below it
        ("abc-", 4),
        ("----", 4),
    ],
)
def test_giving_up_where_too_few_agree(answers, samples):
    run = [(None if a == "-" else a, 0.5) for a in answers] + [("z", 0.5)] * 2
    for policy in (Voting(by_confidence=False), POLICIES["early_stopping"].make(0.9)):
        tally = GivingUp(policy, after=4, below=0.5).start()
        used = next((n for n, one in enumerate(run, 1) if tally.add(*one)), len(run))
        assert (used, tally.gave_up) == (samples, samples == 4)
        expected = in_order(policy, run[:used]).answers[-1]
        assert tally.answer() == expected


def test_what_stops_before_or_at_that_sample_gives_nothing_up():
    samples = [("a", 0.1), ("b", 0.2), ("c", 0.3), ("d", 0.95)]
    tally = GivingUp(POLICIES["early_stopping"].make(0.9), after=4, below=1.0).start()
    assert [tally.add(*one) for one in samples] == [False, False, False, True]
    assert not tally.gave_up
    assert tally.answer() == "d"
