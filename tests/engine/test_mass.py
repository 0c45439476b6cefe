"""When the mass of Yes and No is near zero, it is told, once, of enough responses."""

import math

import pytest

from pipelines.engine.mass import LEAST, RESPONSES, MassCheck, near_zero


def told(masses, responses_a_query=8):
    """What a check tells after each of so many queries, whose responses have these masses."""
    check = MassCheck()
    queries = (
        {"scored_responses": responses_a_query, "mass": responses_a_query * mass} for mass in masses
    )
    return [check.add(query) for query in queries]


def test_a_mass_near_zero_is_told_once_of_enough_responses():
    lines = told([1e-8] * (3 * RESPONSES // 8))
    (line,) = [one for one in lines if one]
    assert lines.index(line) == RESPONSES // 8 - 1
    assert "\n" not in line
    assert "1.0e-08" in line
    assert f"{RESPONSES} responses" in line
    assert "chat template of model.source" in line
    assert line.endswith("confidence.question")  # what mends it is another run's by itself


def test_some_odd_queries_do_not_matter():
    assert not any(told([1e-8] * (RESPONSES // 8 - 1) + [0.5] + [1e-8] * 100))


def test_few_responses_tell_nothing():
    assert not any(told([1e-8] * (RESPONSES // 8 - 1)))


@pytest.mark.parametrize("mean", [0.0, 5e-4, LEAST * 0.99, math.nan])
def test_what_is_near_zero(mean):
    assert "P(True) is noise" in near_zero(mean, 3)
    assert near_zero(mean, 0) is None  # nothing was scored


@pytest.mark.parametrize("mean", [LEAST, 0.24, 1.0])
def test_what_is_not(mean):
    assert near_zero(mean, 3) is None
