"""SSC by hand and against the definition written out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.method.consistency import self_consistency, soft_self_consistency


def test_by_hand():
    labels = soft_self_consistency(["a", "b", "a", None], [0.9, 0.3, 0.3, 0.99])
    assert labels == pytest.approx([0.8, 0.2, 0.8, None])


def test_no_confidence_no_label():
    assert soft_self_consistency(["a", "b"], [0.0, 0.0]) == [None, None]
    assert soft_self_consistency([None, None], [0.5, 0.5]) == [None, None]
    assert soft_self_consistency([], []) == []


def test_zero_is_an_answer():
    assert soft_self_consistency(["0", "0"], [0.5, 0.5]) == [1.0, 1.0]


def test_votes():
    assert self_consistency(["a", "b", "a", None]) == pytest.approx([2 / 3, 1 / 3, 2 / 3, None])


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c", None]), st.floats(0, 1)), min_size=1, max_size=40
    )
)
def test_definition(samples):
    answers, c = [a for a, _ in samples], [x for _, x in samples]
    total = sum(x for a, x in samples if a is not None)
    for i, label in enumerate(soft_self_consistency(answers, c)):
        if answers[i] is None or total <= 0:
            assert label is None
        else:
            same = sum(x for a, x in samples if a == answers[i])
            assert label == pytest.approx(min(same / total, 1.0))
