"""Extraction and equality of answers, with the pitfalls seen in public code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.method.answers import canonical, extract, is_correct


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("18", "18"),
        ("18.0", "18"),
        ("The total is 1,234.50 dollars", "1234.5"),
        ("$5", "5"),
        ("-3", "-3"),
        ("The answer is -3.", "-3"),
        ("5-3", "3"),  # the last operand, not minus three
        ("5 - 3 = 2", "2"),
        ("0", "0"),  # not lost as falsy
        ("7 + 5 = 12.", "12"),
        ("3/4", "0.75"),
        ("1/3", "1/3"),
        (".5", "0.5"),
        ("Answer: 12 because 7 + 5", "12"),
        ("**Answer:** 42 apples of 50", "42"),
        ("\\boxed{17} and 3 more", "17"),
        ("Step 1: 3. The final answer is: 9", "9"),
        ("<think>maybe 4? no 7</think>It is 5.", "5"),
        ("nothing here", None),
        ("", None),
        ("x2 and y3", None),
        ("10, 20, 30", "30"),
        ("3/0", None),
    ],
)
def test_number(text, expected):
    assert extract(text, "number") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Answer: B", "B"),
        ("**Answer:** B", "B"),
        ("Answer: (A)", "A"),
        ("The answer is (C).", "C"),
        ("Answer: A train", None),  # an article, not an option
        ("Answer: A", "A"),
        ("Answer: A.", "A"),
        ("Answer: B because of it", "B"),
        ("Answer: Apple", None),
        ("(A)", "A"),
        ("B) the second", "B"),
        ("E", "E"),
        ("I think it is a train", None),
        ("Answer: **D**", "D"),
    ],
)
def test_option(text, expected):
    assert extract(text, "option") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The capital of Japan is Tokyo.", "tokyo"),
        ("The capital of Japan is Tokyo, which is large.", "tokyo"),
        ("Tokyo is the capital of Japan.", "tokyo"),
        ("Paris", "paris"),
        ("**Paris**", "paris"),
        ("The capital is **Brasília**.", "brasilia"),
        ("Answer: Porto-Novo", "porto novo"),
        ("The capital of Chad is N'Djamena.", "n djamena"),
        ("The capital is Washington, D.C.", "washington"),
        ("The chemical symbol of gold is Au (aurum).", "au"),
        ("The Bahamas", "bahamas"),
        ("  \n", None),
        ("...", None),
    ],
)
def test_text(text, expected):
    assert extract(text, "text") == expected


def test_unparsed_is_never_correct():
    assert not is_correct(None, "", "text")
    assert not is_correct(None, "nothing", "number")


def test_spellings_and_forms_are_equal():
    assert is_correct("kiev", "Kyiv|Kiev", "text")
    assert is_correct(extract("It is 18.00", "number"), "18", "number")
    assert is_correct("0", "0", "number")
    assert not is_correct("1", "0", "number")
    assert canonical("(b)", "option") == "B"


@given(st.integers(-(10**9), 10**9))
def test_integers_survive(value):
    assert extract(f"The answer is {value}.", "number") == str(value)
    assert extract(f"The answer is {value:,}.0", "number") == str(value)


@given(st.text(max_size=200), st.sampled_from(["number", "option", "text"]))
def test_any_text_is_read_without_error_and_canonically(text, kind):
    answer = extract(text, kind)
    assert answer is None or canonical(answer, kind) == answer
