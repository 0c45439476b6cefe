"""Rows of one's own files: their references, and the choices of an option."""

from itertools import count

import pytest
from own_files import check, lines, parquet, row

OPTION, MATH = {"kind": "option"}, {"kind": "math"}
CHOICES = {"kind": "option", "choices": "choices"}


def asked(text="q", choices="one|two|three"):
    """A question with its choices after it, as the model is shown them."""
    listed = zip("ABCDEFGHIJ", choices.split("|"), strict=False)
    return "\n".join([text, *(f"({letter}) {choice}" for letter, choice in listed)])


ARC = {"text": ["one", "two", "three"], "label": ["1", "2", "3"]}
ABC = ["one", "two", "three"]

# (name of the file, what it holds, more of its entry, the rows that are read or the line told)
CASES = [
    ("f.jsonl", lines(row(answer="(b)")), OPTION, [("q", "B")]),
    ("f.jsonl", lines(row(answer="yes")), OPTION, "row 1: answer 'yes' is not of kind option"),
    ("f.jsonl", lines(row(answer=["A", "B"])), OPTION, "row 1: answers A, B differ"),
    ("f.jsonl", lines(row(asked(), "C")), OPTION, [(asked(), "C", ABC)]),
    ("f.jsonl", lines(row(asked(), "D")), OPTION, "row 1: answer 'D' is none of the 3 choices"),
    ("f.jsonl", lines(row(asked(), "Two")), OPTION, [(asked(), "B", ABC)]),
    ("f.jsonl", lines(row("q\n1. one\n2. two", 2)), OPTION, [("q\n1. one\n2. two", "B", ABC[:2])]),
    # the choices are not known
    ("f.jsonl", lines(row(answer=7)), OPTION, "row 1: answer '7' may count the choices from 0 or"),
    ("f.jsonl", lines(row(answer="R")), OPTION, [("q", "R")]),
    ("f.jsonl", lines(row(answer="Z")), OPTION, "row 1: answer 'Z' is beyond the letters that are"),
    ("f.jsonl", lines(row("q? 1) one 2) two", 2)), OPTION, "answer '2' may count the choices from"),
    # steps before the choices
    ("f.jsonl", lines(row("1. Mix.\n2. Bake.\nq?\n(A) pie (B) jam", "b")), OPTION,
     [("1. Mix.\n2. Bake.\nq?\n(A) pie (B) jam", "B", ["pie", "jam"])]),
    ("f.jsonl", lines(row("1. Mix.\n2. Bake.\nq", "b")), OPTION,
     [("1. Mix.\n2. Bake.\nq", "B")]),
    ("f.jsonl", lines(row("1. Mix.\n2. Bake.\nq", "b", choices=ABC)), CHOICES,
     [(asked("1. Mix.\n2. Bake.\nq"), "B", ABC)]),
    # two lists
    ("f.jsonl", lines(row(asked(), "A", choices=["x", "y"])), CHOICES,
     r"row 1: the question lists other choices \(one, two, three\) than are given \(x, y\)"),
    ("f.jsonl", lines(row(asked(), "A", choices={"text": ABC, "label": ["B", "A", "C"]})), CHOICES,
     "row 1: choices: those with the labels B, A, C are listed as A, B, C"),
    ("f.jsonl", lines(row(asked(), "two", choices=["ONE", "Two", "three"])), CHOICES,
     [(asked(), "B", ABC)]),
    # labels of the data's own
    ("f.jsonl", lines(row(answer="A", choices={"text": ["x", "y"], "label": ["B", "C"]})), CHOICES,
     r"row 1: answer 'A' is none of the 2 choices \(x, y\)"),
    ("f.jsonl", lines(row(answer="option A", choices={"B": "x", "A": "y"})), CHOICES,
     [(asked(choices="x|y"), "B", ["x", "y"])]),
    ("f.jsonl", lines(row(answer="B", choices={"text": ["x", "y"]})), CHOICES,
     "choices with text and label: expected two lists"),
    ("f.jsonl", lines(row(answer="B", choices={"text": "x", "label": "A"})), CHOICES,
     "choices with text and label: expected two lists"),
    ("f.jsonl", lines(row(answer=["1/2", "0.5"])), MATH,
     "row 1: answers 1/2, 0.5 are several; kind math takes one formula"),
    ("f.jsonl", lines(row(answer=["1/2", " 1/2"])), MATH, [("q", "1/2")]),
    ("f.jsonl", lines(row(asked(), 2)), OPTION,
     "row 1: answer '2' may count the choices from 0 or"),
    ("f.jsonl", lines(row(answer="b", choices=ABC)), CHOICES, [(asked(), "B", ABC)]),
    ("f.jsonl", lines(row("q\n1. one\n2. two", 2, choices=ABC[:2])), CHOICES,
     [("q\n1. one\n2. two", "B", ABC[:2])]),
    ("f.jsonl", lines(row(asked(), "b", choices=ABC)), CHOICES, [(asked(), "B", ABC)]),
    ("f.jsonl", lines(row(answer="two", choices=ABC)), CHOICES, [(asked(), "B", ABC)]),
    ("f.jsonl", lines(row(answer="2", choices=ARC)), CHOICES, [(asked(), "B", ABC)]),
    ("f.jsonl", lines(row(answer="B", choices=dict(zip("ABC", ABC, strict=True)))), CHOICES,
     [(asked(), "B", ABC)]),
    ("f.jsonl",
     lines(row(answer="B", choices=[{"label": "A", "text": "one"}, {"label": "B", "text": 2}])),
     CHOICES, [(asked(choices="one|2"), "B", ["one", "2"])]),
    ("f.jsonl", lines(row(answer="B", choices=["A)one", "B)two"])), CHOICES,
     [(asked(choices="one|two"), "B", ABC[:2])]),
    ("f.parquet", parquet(question=["q"], answer=["2"], choices=[ARC]), CHOICES,
     [(asked(), "B", ABC)]),
    ("f.parquet",
     parquet(question=["q", "r"], answer=["B", "C"],
             choices=[{"A": "one", "B": "two", "C": None}, {"A": "one", "B": "two", "C": "three"}]),
     CHOICES, [(asked(choices="one|two"), "B", ABC[:2]), (asked("r"), "C", ABC)]),
    ("f.csv", 'question,answer,choices\nq,B,"[""one"", ""two"", ""three""]"\n', CHOICES,
     [(asked(), "B", ABC)]),
    ("f.csv", 'question,answer,choices\nq,B,"A) one\nB) two"\n', CHOICES,
     [(asked(choices="one|two"), "B", ABC[:2])]),
    ("f.csv", "question,answer,choices\nq,B,[one\n", CHOICES, "row 1 .*: choices: not JSON"),
    ("f.csv", "question,answer,choices\nq,B,one or two\n", CHOICES, "neither JSON nor a list"),
    ("f.jsonl", lines(row(answer="D", choices=ABC)), CHOICES,
     "answer 'D' is none of the 3 choices"),
    ("f.jsonl", lines(row(answer="four", choices=ABC)), CHOICES, "answer 'four' is none of the 3"),
    ("f.jsonl", lines(row(answer=0, choices=ABC)), CHOICES,
     "answer '0' may count the choices from 0"),
    ("f.jsonl", lines(row(answer="A", choices=["B", "A"])), CHOICES, "names more than one of the"),
    ("f.jsonl", lines(row(answer="x", choices=["x", "x"])), CHOICES, "names more than one of the"),
    ("f.jsonl", lines(row(answer="A")), CHOICES, "there is no field 'choices'"),
    ("f.jsonl", lines(row(answer="A", choices=["one"])), CHOICES, "expected from 2 to 26, not 1"),
    ("f.jsonl", lines(row(answer="A", choices=["x"] * 27)), CHOICES,
     "expected from 2 to 26, not 27"),
    ("f.jsonl", lines(row(answer="A", choices=["one", ""])), CHOICES, "row 1: .*choice 2 is empty"),
    ("f.jsonl", lines(row(answer="A", choices=["one", None])), CHOICES,
     "row 1: .*choice 2 is null"),
    ("f.csv", "question,answer,choices\nq,B," + "[" * 9_999, CHOICES, "choices: not JSON"),
    ("f.jsonl", lines(row(answer="A", choices={"text": ["a", "b"], "label": 5})), CHOICES,
     "row 1: choices with text and label: expected two lists"),
    ("f.jsonl", lines(row(answer="A", choices=5)), CHOICES, "choices: expected a list of texts"),
    ("f.jsonl", lines(row(answer="A", choices={"text": ["a", "b"], "label": ["A"]})), CHOICES,
     "choices: 2 texts have the labels A"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "entry", "expected"), CASES, ids=count())
def test_a_row_is_read_or_refused(told, name, content, entry, expected):
    check(told, name, content, entry, expected)
