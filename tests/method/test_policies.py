"""Each policy on hand-made sequences, and against rules written out by brute force.

Those that take a confidence for evidence are in test_evidence.py.
"""

from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import betainc

from pipelines.method.policies import POLICIES, EarlyStopping, in_order

SEQUENCE = [("a", 0.2), (None, 0.99), ("b", 0.7), ("a", 0.4), ("a", 0.3), ("b", 0.9)]


@pytest.mark.parametrize(
    ("name", "threshold", "answer", "samples"),
    [
        ("best_of_n", 0, "b", 6),
        ("self_consistency", 0, "a", 6),
        ("sc_conf", 0, "b", 6),
        ("early_stopping", 0.6, "b", 3),
        ("early_stopping", 0.95, "b", 6),  # never: the larger sum of confidences, 1.6 of 2.5
        ("early_stopping_best", 0.95, "b", 6),  # and not the unparsed one
        ("early_stopping_vote", 0.95, "a", 6),
        ("early_stopping_last", 0.95, "b", 6),
        ("asc", 0.6, "a", 4),  # two votes of three: one without an answer is none
        ("asc_conf", 0.75, "b", 3),
        ("esc", 2, "a", 6),  # windows (a, None), (b, a), (a, b) never agree: the majority
        ("esc_sliding", 2, "a", 5),  # its fourth and fifth
        ("asc_beta", 0.95, "a", 6),
    ],
)
def test_by_hand(name, threshold, answer, samples):
    run = in_order(POLICIES[name].make(threshold), SEQUENCE)
    assert (run.answers[-1], run.samples[-1]) == (answer, samples)


def test_budget_cuts_a_run_short():
    run = in_order(EarlyStopping(0.6), SEQUENCE)
    assert run.samples == [1, 2, 3, 3, 3, 3]
    assert run.answers == ["a", "a", "b", "b", "b", "b"]


def test_esc_stops_at_a_window_of_equal_answers():
    run = in_order(POLICIES["esc"].make(2), [("a", 0), ("b", 0), ("b", 0), ("b", 0), ("a", 0)])
    assert (run.answers[-1], run.samples[-1]) == ("b", 4)  # windows stand end to end


def test_ties_go_to_the_answer_seen_first():
    for name in ("self_consistency", "sc_conf", "best_of_n"):
        run = in_order(POLICIES[name].make(0), [("x", 0.5), ("y", 0.5)])
        assert run.answers[-1] == "x"


def test_nothing_parsed_is_no_answer():
    for family in POLICIES.values():
        run = in_order(family.make(1.0), [(None, 1.0)] * 3)
        assert (run.answers[-1], run.samples[-1]) == (None, 3)


def test_share_thresholds_survive_floating_point():
    votes = [("a", 0.0)] * 0 + [("b", 0.0)] + [("a", 0.0)] * 19  # 19 of 20 is 0.95
    run = in_order(POLICIES["asc"].make(0.95), votes)
    assert (run.answers[-1], run.samples[-1]) == ("a", 20)


def brute(name, threshold, samples, budget):
    """The table of method names, restated without state."""
    seen = []
    for answer, c in samples[:budget]:
        seen.append((answer, c))
        parsed = [(a, x) for a, x in seen if a is not None]
        votes, weight = Counter(), defaultdict(float)
        for a, x in parsed:
            votes[a] += 1
            weight[a] += x
        if name.startswith("early_stopping") and answer is not None and c >= threshold:
            return answer, len(seen)
        if name in ("asc", "asc_conf", "asc_beta") and len(parsed) >= 2:
            shares = votes if name != "asc_conf" else weight
            total, top = sum(shares.values()), max(shares.values())
            if name == "asc_beta":
                second = ([0, *sorted(votes.values())])[-2]
                stop = betainc(top + 1, second + 1, 0.5, 1, regularized=True) >= threshold
            else:
                stop = total > 0 and top / total >= threshold - 1e-9
            if stop:
                return max(shares, key=shares.__getitem__), len(seen)
        ends = name == "esc_sliding" or (name == "esc" and len(seen) % int(threshold) == 0)
        if ends and len(seen) >= threshold:
            window = [a for a, _ in seen[-int(threshold) :]]
            if window[0] is not None and len(set(window)) == 1:
                return window[0], len(seen)
    parsed = [(a, x) for a, x in seen if a is not None]
    if not parsed:
        return None, len(seen)
    votes, weight = Counter(), defaultdict(float)
    for a, x in parsed:
        votes[a] += 1
        weight[a] += x
    if name == "early_stopping_last":
        return parsed[-1][0], len(seen)
    if name in ("best_of_n", "early_stopping_best"):
        return max(parsed, key=lambda pair: pair[1])[0], len(seen)
    shares = weight if name in ("sc_conf", "asc_conf", "early_stopping") else votes
    return max(shares, key=shares.__getitem__), len(seen)


@given(
    name=st.sampled_from([name for name in POLICIES if name not in ("cges", "reasc", "cisc")]),
    samples=st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c", None]), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.8, 1.0])
        ),
        min_size=1,
        max_size=16,
    ),
    threshold=st.sampled_from([0.3, 0.5, 0.6, 0.8, 0.95]),
    window=st.integers(1, 4),
)
def test_against_brute_force_at_every_budget(name, samples, threshold, window):
    value = window if POLICIES[name].threshold == "window" else threshold
    run = in_order(POLICIES[name].make(value), samples)
    for budget in range(1, len(samples) + 1):
        expected = brute(name, value, samples, budget)
        assert (run.answers[budget - 1], run.samples[budget - 1]) == expected
