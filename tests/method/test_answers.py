"""Extraction and equality of answers: what models and people write, by public reports.

data/answers.jsonl has a case a line: what is checked, the input, what it should be, and the report
it is after (repository and number, or file; or a review of our own). Where a reading can be
argued, `note` says why.
data/misreadings.jsonl has what is denied, doubted, listed or said by the way, and the readings that
are allowed of it: mostly none.
"""

import json
import time
from decimal import Decimal
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import ROOT

from pipelines.datasets import capitals, elements
from pipelines.method.answers import canonical, extract, is_correct, references
from pipelines.method.formulas import Classes

CASES = [json.loads(line) for line in (ROOT / "tests" / "data" / "answers.jsonl").open()]
MISREADINGS = [json.loads(line) for line in (ROOT / "tests/data/misreadings.jsonl").open()]
KINDS = ("number", "option", "text")


def read(case, text):
    return extract(text, case["kind"], case.get("finish_reason", "stop"), case.get("choices"))


def marked(cases):
    """Formulas are compared in processes of their own."""
    for case in cases:
        marks = pytest.mark.process if case["kind"] == "math" else ()
        yield pytest.param(case, id=case["id"], marks=marks)


@pytest.mark.parametrize("case", marked(CASES))
def test_public_report(case):
    given_, kind, expected = case["input"], case["kind"], case["expected"]
    if case["check"] == "extract":
        assert read(case, given_) == expected
    elif case["check"] == "canonical":
        assert canonical(given_, kind) == expected
    elif case["check"] == "is_correct":
        assert is_correct(read(case, given_), case["reference"], kind) is expected
    else:
        assert case["check"] == "same"
        answers = [read(case, one) for one in given_]
        if kind == "math":
            classes = Classes()
            answers = [classes.of(one) for one in answers]
        assert (None not in answers and len(set(answers)) == 1) is expected


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("The total is 1,234.50 dollars", "number", "1234.5"),
        ("5-3", "number", "3"),  # the last operand, not minus three
        ("3/0", "number", None),
        (".5", "number", "0.5"),
        ("x2 and y3", "number", None),
        ("nothing here", "number", None),
        ("9" * 5000, "number", None),
        ("Answer: 1e999999999", "number", None),
        ("Answer: A train", "option", None),  # an article, not an option
        ("I think it is a train", "option", None),
        ("Answer: Apple", "option", None),
        ("The capital of Japan is Tokyo, which is large.", "text", "tokyo"),
        ("Tokyo is the capital of Japan.", "text", "tokyo"),
        ("The capital is **Brasília**.", "text", "brasilia"),
        ("The capital of Chad is N'Djamena.", "text", "n djamena"),
        ("The capital is Washington, D.C.", "text", "washington dc"),
        ("The chemical symbol of gold is Au (aurum).", "text", "au"),
        ("The Bahamas", "text", "bahamas"),
        ("...", "text", None),
        ("  \n", "text", None),
    ],
)
def test_pitfall(text, kind, expected):
    assert extract(text, kind) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_response_that_was_cut_and_states_nothing_has_no_vote(kind):
    cut = {
        "number": "There are 6 boxes of 4 pens. Now we take 2",
        "option": "Let us look at each.\n(A) is too",
        "text": "The capital of Australia is Sydn",
    }[kind]
    assert extract(cut, kind, "length") is None
    assert extract(f"{cut}\nAnswer: B", "option", "length") == "B"


def test_a_sentence_that_ends_before_the_cut_counts():
    said = "The capital of Australia is Canberra. It lies in"
    assert extract(said, "text", "length") == "canberra"


def test_a_name_is_read_before_what_it_names():
    words = elements.ELEMENTS.split()
    symbols = zip(words[::2], words[1::2], strict=True)
    said = [
        *((one, f"{one} is the capital of {of}.") for of, one in _spelled(capitals.table())),
        *((one, f"{one} is the chemical symbol of {of}.") for of, one in symbols),
    ]
    read = [(one, extract(sentence, "text")) for one, sentence in said]
    assert [(one, answer) for one, answer in read if not is_correct(answer, one, "text")] == []


def _spelled(table):
    return [(of, one) for of, names in table.items() for one in names.split("|")]


def test_letters_go_as_far_as_the_choices():
    assert extract("Answer: E", "option", choices=["one", "two", "three", "four", "five"]) == "E"
    assert extract("Answer: E", "option", choices=["one", "two", "three", "four"]) is None
    assert extract("Answer: (R)", "option") == "R"


def test_a_choice_counts_by_its_text_and_by_its_place():
    choices = ["iron", "a train", "lead"]
    assert extract("It must be lead.", "option", choices=choices) == "C"
    assert extract("Answer: A train", "option", choices=choices) == "B"
    assert extract("Answer: 2", "option", choices=choices) == "B"
    assert extract("Answer: 2", "option", choices=["2", "4"]) == "A"  # the text comes first


def test_unparsed_is_never_correct():
    assert not is_correct(None, "", "text")
    assert not is_correct(None, "nothing", "number")


def test_spellings_and_forms_are_equal():
    assert is_correct("kiev", "Kyiv|Kiev", "text")
    assert is_correct(extract("It is 18.00", "number"), "18", "number")
    assert is_correct("0", "0", "number")
    assert not is_correct("1", "0", "number")


@pytest.mark.parametrize(
    ("reference", "kind", "one_by_one"),
    [
        ("Kyiv|Kiev", "text", ["Kyiv", "Kiev"]),
        ("2␟-2.0", "number", ["2", "-2.0"]),
        (r"1/2␟\frac{1}{2}", "math", ["1/2", r"\frac{1}{2}"]),
        # what separates those of one kind is a sign like others in another
        ("|x|", "math", ["|x|"]),
        (r"\{x | x > 1\}␟x||y", "math", [r"\{x | x > 1\}", "x||y"]),
        ("|-4| is\n#### 4", "number", ["|-4| is\n#### 4"]),
        ("a␟b", "text", ["a␟b"]),
        ("B", "option", ["B"]),
    ],
)
def test_an_answer_is_right_that_is_any_of_several_references(reference, kind, one_by_one):
    assert references(reference, kind) == one_by_one
    for one in one_by_one:
        assert is_correct(canonical(one, kind), reference, kind)


def test_an_answer_is_wrong_that_is_none_of_several_references():
    assert not is_correct("1", "2␟-2", "number")
    assert not is_correct("2", "2␟-2", "text")


@given(st.integers(-(10**9), 10**9))
def test_integers_survive(value):
    assert extract(f"The answer is {value}.", "number") == str(value)
    assert extract(f"The answer is {value:,}.0", "number") == str(value)


@given(st.fractions(max_denominator=999))
def test_fractions_survive_in_every_notation(value):
    above, below = abs(value.numerator), value.denominator
    sign = "-" if value < 0 else ""
    forms = [f"Answer: {sign}{above}/{below}", rf"\boxed{{{sign}\frac{{{above}}}{{{below}}}}}"]
    read = {extract(form, "number") for form in forms}
    assert len(read) == 1
    assert Fraction(read.pop()) == value


@given(st.floats(1e-200, 1e15) | st.floats(-1e15, -1e-200) | st.just(0.0))
def test_decimals_and_exponents_are_the_same_number(value):
    exact = Decimal(repr(value))
    read = {canonical(f"{exact:f}", "number"), canonical(f"{exact:e}", "number")}
    assert len(read) == 1
    assert Fraction(read.pop()) == Fraction(exact)


# What sets rules off, in any order.
ODD = st.text(alphabet="aAbB01 -+.#/,%&½ÉßŁ'()|*_\n$\\{}=IthexyR.JC:답", max_size=12)


@given(st.text(max_size=200) | ODD, st.sampled_from(KINDS))
def test_any_text_is_read_without_error_and_canonically(text, kind):
    answer = extract(text, kind)
    assert answer is None or canonical(answer, kind) == answer


@given(st.lists(ODD, min_size=3, max_size=3), st.sampled_from(KINDS))
def test_being_correct_is_an_equivalence(texts, kind):
    answers = [a for a in (extract(text, kind) for text in texts) if a is not None and "|" not in a]
    for answer in answers:
        assert is_correct(answer, answer, kind)
    for one, other in combinations(answers, 2):
        assert is_correct(one, other, kind) == is_correct(other, one, kind) == (one == other)


HOSTILE = st.sampled_from(
    [
        "\n", " ", "answer", "the answer is ", "\\boxed{", "{", "}", "\\frac", "1", "1,", "1 000 ",
        "½", "-", "(", "<think>", "</think>", "#### ", "A ", "(A) ", "A.", "**", "'", " is ",
        "not ", "the ", "is the answer ", "wait, it is ", "so C ", "St. ", ".", ", a",
        "\nQuestion: ", "答案是", "% ", "million ", "USA (", "cannot be ", "option ", "I choose ",
        "x = ", "é", "क", "Option A: ", "\nOption B", "2 out of 3 ", "probability is ",
        "So, ", "No. ", "conclusion is not ",
    ]
)  # fmt: skip


@settings(max_examples=20)
@given(st.lists(HOSTILE, min_size=1, max_size=3), st.sampled_from(KINDS))
def test_a_hostile_text_takes_no_longer_than_its_length(parts, kind):
    text = "".join(parts)
    text *= 100_000 // len(text)

    def seconds():
        start = time.process_time()
        extract(text, kind)
        return time.process_time() - start

    # By its length some hundredths; by the square, ten billion steps.
    assert min(seconds() for _ in range(3)) < 2


@pytest.mark.parametrize("case", MISREADINGS, ids=lambda case: case["input"][:40])
def test_no_vote_for_what_is_not_stated(case):
    if case["check"] == "canonical":
        assert canonical(case["input"], case["kind"]) in case["allowed"]
    else:
        assert read(case, case["input"]) in case["allowed"]


@given(st.integers(2, 10**6), st.integers(2, 10**6))
def test_two_numbers_are_none(one, other):
    for form in (
        "({}, {})",
        "{} or {}",
        "{} and {}",
        "{} : {}",
        "{} + {}",
        "[{}; {}]",
        "{{{}, {}}}",
    ):
        assert canonical(form.format(one, other), "number") is None
        assert extract(f"Answer: {form.format(one, other)}", "number") is None


@given(st.integers(2, 10**6))
def test_a_denied_number_is_none(value):
    for form in ("The answer is not {}.", "The answer isn't {}.", "It cannot be {}.", "x ≠ {}"):
        assert extract(form.format(value), "number") is None


def test_the_cases_have_sources():
    assert len({case["id"] for case in CASES}) == len(CASES)
    assert all(case["source"] for case in CASES)
