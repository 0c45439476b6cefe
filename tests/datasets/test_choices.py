"""Choices as questions list them, and letters for references."""

import string

import pytest
from growth import growth
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.datasets.choices import Choices, choices_of, listed, of_field, shown, unlisted
from pipelines.method.answers import extract

BBH = "Which is right?\nOptions:\n(A) 01/11/1961\n(B) 02/12/1961"


@pytest.mark.parametrize(
    ("question", "choices"),
    [
        ("Which?\n(A) one\n(B) two", ("one", "two")),
        ("Which?\nA) one\nB) two\nC) three", ("one", "two", "three")),
        ("Which?\nA. one\nB. two", ("one", "two")),
        ("Which?\n  a. one\n  b. two", ("one", "two")),
        ("Which?\n[A] one\n[B] two", ("one", "two")),
        ("Which?\n- A: one\n- B: two", ("one", "two")),
        # numbers: steps, unless a heading says that they are choices
        ("Which?\n1. one\n2. two", None),
        ("Which?\nOptions:\n1. one\n2. two", ("one", "two")),
        ("Which? Choices: 1) one 2) two", ("one", "two")),
        ("Which? Choices: 1) one; 2) two", ("one", "two")),
        ("Which?\nOPTIONS:\n- 1) one\n\n- 2) two", ("one", "two")),
        ("Choices:\n1. x\n2. y\n(A) one\n(B) two", ("one", "two")),
        ("A)21\nB)21.5", ("21", "21.5")),
        # on one line, from its beginning or after a question mark
        ("Which?\n(A) one (B) two", ("one", "two")),
        ("Which? (A) one (B) two\n(C) three", ("one", "two", "three")),
        ("Which? Options: A. one, B. two, C. three", ("one", "two", "three")),
        ("Which? (A) one, two (B) three; (C) four", ("one, two", "three;", "four")),
        ("Which? (A) one, (B) two, three", ("one", "two, three")),
        ("Which? A) one? B) two", ("one?", "two")),
        ("Read.\n1. Mix.\n2. Bake.\nWhat is it?\n(A) cake (B) pie", ("cake", "pie")),
        ("Read.\nA. Mix.\nB. Bake.\nWhat is it?\n(A) cake (B) pie", ("cake", "pie")),
        ("Which?\n(A) one? (A) not (B) this\n(B) two", ("one? (A) not (B) this", "two")),
        (BBH, ("01/11/1961", "02/12/1961")),
        ("Which? Options: (A) one (B) two", ("one", "two")),
        ("Which?\nChoices: A. one B. two\nAnswer with a letter.", ("one", "two")),
        (
            "Which?\n(A) one,\n    and more\n(B) two\nAnswer with a letter.",
            ("one, and more", "two"),
        ),
        ("Which?\nA.\none\nB.\ntwo\n", ("one", "two")),
        # statements before choices, and a list before the one that counts
        ("1. Ice floats.\n2. Iron floats.\nTrue are\nA. 1 alone\nB. both", ("1 alone", "both")),
        ("(A) no\n(B) yes\nNow:\n(A) one\n(B) two\n(C) three", ("one", "two", "three")),
        ("Which?\nA. 3.14\nB. 2.72", ("3.14", "2.72")),
        # texts that begin as labels do
        ("Which?\n(A) 1: 1\n(B) 2: 1\n(C) 3: 1", ("1: 1", "2: 1", "3: 1")),
        ("Which?\n(A) A. one\n(B) B. two", ("A. one", "B. two")),
        # no lists
        ("What is the capital of Peru?", None),
        ("Which?\n(A) one", None),
        ("Which?\n(B) one\n(C) two", None),
        ("Which?\n(A) one\n(C) two", None),
        ("3.5 is more than\n1.5 and 2.5", None),
        ("A. Smith met\nMr. B. Jones", None),
        ("(A) and (B) are on one line", None),
        ("Which?\nA. one\nB.", None),
        ("Options: none", None),
        ("\n".join(f"{n}. step" for n in range(1, 28)), None),
        ("", None),
    ],
)
def test_choices_of_a_question(question, choices):
    assert choices_of(question) == choices


def test_numbers_count_where_the_reference_is_one():
    assert listed("Which?\n1. one\n2. two", numbered=True) == Choices(("one", "two"), ("1", "2"))
    twelve = "\n".join(f"{n}. x{n}" for n in range(1, 13))
    assert listed(twelve, numbered=True).texts == tuple(f"x{n}" for n in range(1, 13))
    assert listed("1. Mix.\n2. Bake.\n(A) cake\n(B) pie", numbered=True).labels == ("A", "B")
    assert shown("Which?\n1. one\n2. two", ("one", "two")) == "Which?\n1. one\n2. two"
    assert shown("1. Mix.\n2. Bake.", ("x", "y")) == "1. Mix.\n2. Bake.\n(A) x\n(B) y"


CLEAN = st.characters(codec="utf-8", exclude_characters="\0")
TEXTS = st.text(CLEAN, max_size=20).map(lambda text: " ".join(text.split()))


@given(st.text(max_size=40), st.lists(TEXTS.filter(bool), min_size=2, max_size=26))
def test_a_question_shows_its_choices_once(stem, texts):
    """What was shown is read again, by the service from what the data set made."""
    assume(choices_of(stem) is None)
    own = of_field(texts).texts
    once = shown(stem, own)
    assert choices_of(once) == own
    assert shown(once, own) == once


@given(
    st.lists(TEXTS.filter(bool), min_size=2, max_size=5),
    st.sampled_from(["{1}", "{0}. {1}", "({0}) {1}", "{0}) ({0}) {1}", "x? {0}. {1}", "-{1}"]),
    st.sampled_from(["ABCDE", "12345", "abcde"]),
    st.booleans(),
)
def test_a_field_is_read_the_same_again(texts, written, labels, with_labels):
    texts = [written.format(*one) for one in zip(labels, texts, strict=False)]
    value = {"text": texts, "label": list(labels[: len(texts)])} if with_labels else texts
    once = of_field(value).texts
    if with_labels:
        assert once == tuple(texts)
    else:
        assert of_field(list(once)).texts == once


def test_a_question_with_another_list_is_not_shown_two():
    question = "Which?\n(A) cake (B) pie"
    assert shown(question, ("cake", "pie")) == question
    with pytest.raises(ValueError, match=r"the question lists other choices \(cake, pie\)"):
        shown(question, ("ice", "fire"))
    with pytest.raises(ValueError, match="the question lists other choices"):
        shown("Which?\nOptions:\n1. cake\n2. pie", ("ice", "fire"))


@pytest.mark.parametrize(
    ("labels", "reference", "letter"),
    [
        ((), "B", "B"),
        ((), "b", "B"),
        ((), "(B)", "B"),
        ((), "Ｂ", "B"),
        ((), "Water", "B"),
        ((), "12", "C"),
        (("1", "2", "3"), "2", "B"),
        (("1", "2", "3"), "(2)", "B"),
        (("1", "2", "3"), "B", "B"),
        (("0", "1", "2"), "2", "C"),
        (("A", "B", "C"), "C", "C"),
        ((), "option B", "B"),
        ((), "Answer: (B).", "B"),
        (("A", "B", "C"), "Option B", "B"),
        # labels in another order, or from another letter on
        (("B", "A", "C"), "A", "B"),
        (("B", "A", "C"), "option A", "B"),
        (("B", "A", "C"), "(a)", "B"),
        (("B", "C", "D"), "D", "C"),
        (("B", "C", "D"), "water", "B"),
        (("10", "20", "30"), "B", "B"),
        (("1", "2", "3"), "option 2", "B"),
    ],
)
def test_the_letter_of_a_reference(labels, reference, letter):
    assert Choices(("ice", "water", "12"), labels).letter(reference) == letter


@pytest.mark.parametrize(
    ("choices", "reference", "says"),
    [
        (Choices(("ice", "water"), ()), "C", "is none of the 2 choices"),
        (Choices(("ice", "water"), ()), "steam", "is none of the 2 choices"),
        (Choices(("ice", "water"), ("A", "B")), "1", "may count the choices from 0 or from 1"),
        (Choices(("1", "2"), ()), "2", "may count the choices from 0 or from 1"),
        (Choices(("1", "2"), ()), "3", "is none of the 2 choices"),
        (Choices(("x", "y"), ("B", "C")), "A", "is none of the 2 choices"),
        (Choices(("x", "y"), ("B", "C")), "option A", "is none of the 2 choices"),
        (Choices(("x", "y"), ("2", "3")), "1", "is none of the 2 choices"),
        (Choices(("O", "A", "B"), ()), "A", "names more than one"),
        (Choices(("4", "2"), ("1", "2")), "2", None),
        (Choices(("2", "4"), ("1", "2")), "2", "names more than one"),
    ],
)
def test_a_reference_that_is_no_one_choice(choices, reference, says):
    if says is None:
        assert choices.letter(reference) == "B"
        return
    with pytest.raises(ValueError, match=says):
        choices.letter(reference)


def test_fields_in_the_forms_of_published_sets():
    arc = {"text": ["ice", "water"], "label": ["1", "2"]}
    assert of_field(arc) == Choices(("ice", "water"), ("1", "2"))
    pairs = [{"label": "A", "text": "ice"}, {"label": "B", "text": "water"}]
    assert of_field(pairs) == Choices(("ice", "water"), ("A", "B"))
    assert of_field({"A": "ice", "B": "water"}) == Choices(("ice", "water"), ("A", "B"))
    assert of_field(["A)ice", "B)water"]) == Choices(("ice", "water"), ("A", "B"))
    some = {"A": "ice", "B": "water", "C": None, "D": " "}  # those that there are
    assert of_field(some) == Choices(("ice", "water"), ("A", "B"))
    assert of_field(["ice", "water"]) == Choices(("ice", "water"), ())
    assert of_field([" ice ", " cold "]) == Choices(("ice", "cold"), ())
    assert of_field('["ice", "water"]') == Choices(("ice", "water"), ())
    assert of_field("A. ice\nB. water") == Choices(("ice", "water"), ("A", "B"))
    assert of_field("1. ice\n2. water") == Choices(("ice", "water"), ("1", "2"))
    # where labels are given, texts are as they are; so are those that labels alone tell apart
    for labels in (("A", "B"), ("1", "2")):
        both = ["(A) and (B)", "(B) alone"]
        assert of_field({"text": both, "label": list(labels)}) == Choices(tuple(both), labels)
    assert of_field(["1: 1", "2: 1"]) == Choices(("1: 1", "2: 1"), ())
    assert of_field('["1.10", 1.10]') == Choices(("1.10", "1.10"), ())


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"text": ["x", "y"]}, "text and label: expected two lists"),
        ({"text": ["x", "y"], "label": 5}, "text and label: expected two lists"),
        ({"text": "x", "label": "A"}, "text and label: expected two lists"),
        ({"text": ["A. x", "B. y"], "label": ["B", "A"]}, "labels B, A are listed as A, B"),
        ('{"A": "x", "A": "y"}', "choices: not JSON .key 'A' is there twice"),
        (["x"], "expected from 2 to 26, not 1"),
    ],
)
def test_a_field_that_is_no_choices(value, says):
    with pytest.raises(ValueError, match=says):
        of_field(value)


def test_a_letter_without_known_choices_is_one_that_answers_are_read_as():
    for letter in string.ascii_uppercase:
        if extract(f"The answer is {letter}.", "option") == letter:
            assert unlisted(f"({letter.lower()})") == letter
        else:
            assert letter > "R"
            with pytest.raises(ValueError, match="beyond the letters"):
                unlisted(letter)
    for number in ("1", "7", "(2)", "option 3", "0", "12"):
        with pytest.raises(ValueError, match="may count the choices from 0 or from 1"):
            unlisted(number)


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        (
            lambda n: "\n" * 4 * n + "A. one\n" * n + "B. two\n" + "(" * 4 * n,
            lambda n: ("one", "two"),
        ),
        (lambda n: "? " * 4 * n + "? (A) one (B) two " * n, lambda n: ("one", "two")),
        (lambda n: "?" + " " * 4 * n + "Options: " * n, lambda n: None),
        (
            lambda n: "A. " * n + "one\n" + "B. " * n + "two",
            lambda n: ("A. " * (n - 1) + "one", "B. " * (n - 1) + "two"),
        ),
    ],
    ids=["lines", "inline", "headings", "labels"],
)
def test_a_text_takes_no_longer_than_its_length(text, choices):
    assert choices_of(text(5_000)) == choices(5_000)
    read = {n: text(n) for n in (625, 10_000)}
    assert growth(lambda n: choices_of(read[n]), 625, 16) < 64
