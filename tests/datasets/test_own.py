"""Rows of one's own files: their references, and the choices of an option."""

import re
from itertools import count
from pathlib import Path

import pyarrow as pa
import pytest
from own_files import BASE, check, is_refused, lines, parquet, row

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
    # an answer that is a label and the text after it
    ("f.jsonl", lines(row(answer="B) two", choices=["A) one", "B) two"])), CHOICES,
     [(asked(choices="one|two"), "B", ABC[:2])]),
    ("f.jsonl", lines(row(answer="1. A) one", choices=["1. A) one", "2. B) two"])), CHOICES,
     [(asked(choices="one|two"), "A", ABC[:2])]),
    ("f.jsonl", lines(row(asked(), "(b) Two")), OPTION, [(asked(), "B", ABC)]),
    ("f.jsonl", lines(row(answer="B: two", choices={"A": "one", "B": "two"})), CHOICES,
     [(asked(choices="one|two"), "B", ABC[:2])]),
    ("f.jsonl", lines(row(answer="2) two", choices=ABC)), CHOICES, [(asked(), "B", ABC)]),
    ("f.jsonl", lines(row(answer="A) two", choices=ABC)), CHOICES, "two' names more than one of"),
    ("f.jsonl", lines(row(answer="A. Lee", choices=["A. Lee", "D. May"])), CHOICES,
     [(asked(choices="A. Lee|D. May"), "A", ["A. Lee", "D. May"])]),
    # labels that texts begin with, in another order or from another letter on
    ("f.jsonl", lines(row(answer="A", choices=["B) one", "A) two"])), CHOICES,
     r"row 1: answer 'A' names more than one of the choices \(B\) one, A\) two\) by place, label"),
    ("f.jsonl", lines(row(answer="C", choices=["B. one", "C. two", "D. three"])), CHOICES,
     "row 1: answer 'C' names more than one of the choices"),
    ("f.jsonl", lines(row(answer="C", choices=["B. one", "C. two"])), CHOICES,
     [(asked(choices="B. one|C. two"), "B", ["B. one", "C. two"])]),
    ("f.jsonl", lines(row(answer="A) two", choices=["B) one", "A) two"])), CHOICES,
     [(asked(choices="B) one|A) two"), "B", ["B) one", "A) two"])]),
    # texts that begin as labels do, and are none
    ("f.jsonl", lines(row(answer="1: 2", choices=["1: 2", "2: 3"])), CHOICES,
     [(asked(choices="1: 2|2: 3"), "A", ["1: 2", "2: 3"])]),
    ("f.jsonl", lines(row(answer=2, choices=["1: 2", "2: 3"])), CHOICES,
     [(asked(choices="1: 2|2: 3"), "B", ["1: 2", "2: 3"])]),
    ("f.jsonl", lines(row(answer=1, choices=["0) one", "1) two"])), CHOICES,
     [(asked(choices="0) one|1) two"), "B", ["0) one", "1) two"])]),
    ("f.jsonl", lines(row(answer=1, choices=["3) one", "4) two"])), CHOICES,
     "row 1: answer '1' may count the choices from 0 or from 1; say which by answer_base$"),
    ("f.jsonl", lines(row(answer="B", choices=["A) and so on", "B) only two"])), CHOICES,
     [(asked(choices="and so on|only two"), "B", ["and so on", "only two"])]),
    ("f.jsonl", lines(row(answer="A", choices=["(A) and (B)", "(B) alone"])), CHOICES,
     [(asked(choices="(A) and (B)|(B) alone"), "A", ["(A) and (B)", "(B) alone"])]),
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


# answers that count the choices
FROM_0, FROM_1 = CHOICES | {"answer_base": 0}, CHOICES | {"answer_base": 1}
NONE_0 = "row 1: answer '{}' is none of the 3 choices, counted from 0"
CASES += [
    ("f.jsonl", lines(row(answer=0, choices=ABC)), FROM_0, [(asked(), "A", ABC)]),
    ("f.jsonl", lines(row(answer=2, choices=ABC)), FROM_0, [(asked(), "C", ABC)]),
    ("f.jsonl", lines(row(answer=2, choices=ABC)), FROM_1, [(asked(), "B", ABC)]),
    ("f.csv", 'question,answer,choices\nq,1,"[""one"", ""two"", ""three""]"\n', FROM_0,
     [(asked(), "B", ABC)]),
    ("f.parquet", parquet(question=["q"], answer=[1], choices=[ABC]), FROM_0,
     [(asked(), "B", ABC)]),
    ("f.jsonl", lines(row(answer=1, A="one", B="two", C="three")),
     {"kind": "option", "choices": ["A", "B", "C"], "answer_base": 0}, [(asked(), "B", ABC)]),
    ("f.jsonl", lines(row(asked(), 1)), OPTION | {"answer_base": 0}, [(asked(), "B", ABC)]),
    ("f.jsonl", lines(row(answer=1)), OPTION | {"answer_base": 0}, [("q", "B")]),
    ("f.jsonl", lines(row(answer=18)), OPTION | {"answer_base": 0}, "answer '18' is beyond the"),
    ("f.jsonl", lines(row(answer="two", choices=ABC)), FROM_0, [(asked(), "B", ABC)]),
    ("f.jsonl", lines(row(answer="C", choices=ABC)), FROM_0, [(asked(), "C", ABC)]),
    ("f.jsonl", lines(row(answer=3, choices=ABC)), FROM_0, NONE_0.format(3)),
    # what stands for no answer
    ("f.jsonl", lines(row(answer=-1, choices=ABC)), FROM_0, "answer '-1' is none of the 3 choices"),
    ("f.jsonl", lines(row(answer="−1", choices=ABC)), FROM_0, "'−1' is none of the 3 choices"),
    ("f.jsonl", lines(row(answer=-1, choices=ARC)), CHOICES, "'-1' is none of the 3 choices"),
    ("f.jsonl", lines(row(answer=-1)), OPTION | {"answer_base": 0}, "'-1' is not of kind option"),
    ("f.jsonl", lines(row(answer=1000, choices=ABC)), FROM_0, NONE_0.format(1000)),
    ("f.jsonl", lines(row(answer=0, choices=ABC)), FROM_1,
     "row 1: answer '0' is none of the 3 choices, counted from 1"),
    # beside texts and labels that are numbers
    ("f.jsonl", lines(row(answer=2, choices=[2, 4, 8])), FROM_0,
     [(asked(choices="2|4|8"), "C", ["2", "4", "8"])]),
    ("f.jsonl", lines(row(answer="2", choices=ARC)), FROM_1, [(asked(), "B", ABC)]),
    ("f.jsonl", lines(row(answer="2", choices=ARC)), FROM_0,
     "row 1: answer '2' names more than one of the choices"),
    ("f.jsonl", lines(row("q\n1. one\n2. two", 1)), OPTION | {"answer_base": 0},
     "row 1: answer '1' names more than one of the choices"),
]  # fmt: skip

SEVERAL = {"kind": "option", "choices": ["A", "B", "C"]}
ASKED = {"prompt": "{question}\nContext: {context}"}
BEFORE = {"prompt": "{context}\n{question}"}
CASES += [
    # choices with a field each
    ("f.jsonl", lines(row(answer="B", A="one", B="two", C="three")), SEVERAL,
     [(asked(), "B", ABC)]),
    ("f.jsonl", lines(row(answer="two", A="one", B="two", C=None)), SEVERAL,
     [(asked(choices="one|two"), "B", ABC[:2])]),
    ("f.csv", "question,A,B,C,answer\nq,one,two,,A\n", SEVERAL,
     [(asked(choices="one|two"), "A", ABC[:2])]),
    ("f.parquet", parquet(question=["q"], answer=["C"], A=["one"], B=["two"], C=["three"]),
     SEVERAL, [(asked(), "C", ABC)]),
    ("f.jsonl", lines(row(answer="option2", option1="x", option2="y")),
     {"kind": "option", "choices": ["option1", "option2"]},
     [(asked(choices="x|y"), "B", ["x", "y"])]),
    ("f.jsonl", lines(row(answer="B", A="one", B="two")), SEVERAL,
     r"row 1: there is no field 'C' \(fields: question, answer, A, B\)"),
    ("f.jsonl",
     lines(row(answer="B", A="one", B="two"), row("r", "C", A="one", B="two", C="three")),
     SEVERAL, [(asked(choices="one|two"), "B", ABC[:2]), (asked("r"), "C", ABC)]),
    ("f.jsonl", lines(row(answer="A", A="one"), row("r", "C", A="one", B="two", C="three")),
     SEVERAL, "row 1: choices: expected from 2 to 26, not 1"),
    ("f.jsonl", lines(row(answer="A", A="one", B="two"), row("r", A="one", c="three")), SEVERAL,
     "row 1: there is no field 'C'"),
    ("f.jsonl", lines(row(answer="x", opt1="x", opt2="y")),
     {"kind": "option", "choices": ["opt1", "opt_2"]},
     r"row 1: there is no field 'opt_2' .*; did you mean opt2\?"),
    ("f.jsonl", lines(row(answer="C", A="one", B="two", C="")), SEVERAL,
     "row 1: answer 'C' is none of the 2 choices"),
    ("f.jsonl", lines(row(answer="A", A=["one"], B="two", C="x")), SEVERAL,
     "row 1: choice 1 is a list"),
    ("f.jsonl", lines(row(answer="x", text="x", label="y")),
     {"kind": "option", "choices": ["text", "label"]}, [(asked(choices="x|y"), "A", ["x", "y"])]),
    ("f.csv", "question,A,B,C,answer\nq,one, ,two,C\n", SEVERAL,
     [(asked(choices="one|two"), "B", ABC[:2])]),
    # a text with fields
    ("f.jsonl", lines(row(context="c")), ASKED, [("q\nContext: c", "a")]),
    ("f.jsonl", lines(row(context=2)), {"prompt": "{context}{{}} {question}"}, [("2{} q", "a")]),
    ("f.csv", "the question,answer\nq,a\n", {"prompt": "So: {the question}"}, [("So: q", "a")]),
    ("f.jsonl", lines(row(A="one", B="two", answer="A")),
     {"prompt": "{question}\n(A) {A}\n(B) {B}", "kind": "option", "choices": ["A", "B"]},
     [(asked(choices="one|two"), "A", ABC[:2])]),
    ("f.jsonl", lines(row(context=["c"])), ASKED, "row 1: field 'context' is a list"),
    ("f.jsonl", lines(row()), {"system": "As {who}."}, "row 1: there is no field 'who'"),
    # one that is empty there
    ("f.jsonl", lines(row(context=""), row("r", context=None)), BEFORE, [("q", "a"), ("r", "a")]),
    ("f.jsonl", lines(row(context=" \n"), row("r", context="c")), BEFORE,
     [("q", "a"), ("c\nr", "a")]),
    ("f.csv", "question,context,answer\nq,,a\n", ASKED, [("q\nContext:", "a")]),
    ("f.parquet", parquet(question=["q"], context=pa.nulls(1), answer=["a"]), BEFORE,
     [("q", "a")]),
    ("f.jsonl", lines(row(), row("r", context="c")), BEFORE, [("q", "a"), ("c\nr", "a")]),
    ("f.jsonl", lines(row("r", context="c"), row()), BEFORE, [("c\nr", "a"), ("q", "a")]),
    ("f.jsonl", lines(row(), row("", context=None)), BEFORE,
     r"row 2: all fields of prompt are empty \(context, question\)"),
    ("f.jsonl", lines(row("", context="")), ASKED, "row 1: all fields of prompt are empty"),
    # one that no row has
    ("f.jsonl", lines(row(context="c"), row("r")), {"prompt": "{contxt}\n{question}"},
     r"row 1: there is no field 'contxt' \(fields: question, answer, context\); did you mean "
     r"context\?"),
    ("f.jsonl", lines(row()), {"question": "Question"},
     r"row 1: there is no field 'Question' \(fields: question, answer\); did you mean question"),
    ("f.jsonl", lines(row(), row("r")), ASKED,
     r"row 1: there is no field 'context' \(fields: question, answer\)$"),
    ("f.csv", "question,input,answer\nq,,a\n", {"prompt": "{inputs} {question}"},
     r"there is no field 'inputs' .*; did you mean input\?"),
    # several references
    ("f.jsonl", lines(row(answer=["NY", "New York"])), {}, [("q", "NY|New York")]),
    ("f.jsonl", lines(row(answer=["3", 3.0])), {"kind": "number"}, [("q", "3")]),
    ("f.jsonl", lines(row(answer=["2", "-2", 2.0])), {"kind": "number"}, [("q", "2␟-2")]),
    ("f.jsonl", lines(row(answer=[4, 5])), {"kind": "number"}, [("q", "4␟5")]),
    ("f.csv", 'question,answer\nq,"[""2"", -2]"\n', {"kind": "number"}, [("q", "2␟-2")]),
    ("f.parquet", parquet(question=["q"], answer=[["2", "-2"]]), {"kind": "number"},
     [("q", "2␟-2")]),
    ("f.jsonl", lines(row(answer="2␟-2")), {"kind": "number"}, [("q", "2␟-2")]),
    ("f.jsonl", lines(row(answer=["2", "soon"])), {"kind": "number"},
     "row 1: answer 'soon' is not of kind number"),
    ("f.jsonl", lines(row(answer="2␟")), {"kind": "number"}, "row 1: answer '2␟' is not of kind"),
    ("f.jsonl", lines(row(answer=["2␟3", "4"])), {"kind": "number"},
     "row 1: field 'answer': '2␟3' holds a ␟, which separates"),
    ("f.jsonl", lines(row(answer=["1/2", r"\frac{1}{2}"])), MATH, [("q", r"1/2␟\frac{1}{2}")]),
    ("f.jsonl", lines(row(answer=["x", "{x"])), MATH, "row 1: answer '{x' is not of kind math"),
    # a bar that separates nothing
    ("f.jsonl", lines(row(answer="|x|")), MATH, [("q", "|x|")]),
    ("f.jsonl", lines(row(answer=["|x|", "x||y"])), MATH, [("q", "|x|␟x||y")]),
    ("f.jsonl", lines(row(answer="|-4| is\n#### 4")), {"kind": "number"},
     [("q", "|-4| is\n#### 4")]),
    ("f.jsonl", lines(row(answer="3|4")), {"kind": "number"}, r"answer '3\|4' is not of kind numb"),
    ("f.jsonl", lines(row(answer=["x|y"], choices=["x|y", "z"])), CHOICES,
     [("q\n(A) x|y\n(B) z", "A", ["x|y", "z"])]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "entry", "expected"), CASES, ids=count())
def test_a_row_is_read_or_refused(told, name, content, entry, expected):
    check(told, name, content, entry, expected)


def test_a_system_prompt_is_a_text_with_fields(told):
    Path("f.jsonl").write_text(lines(row(who="a judge"), row("r", who=""), row("s")))
    for system, expected in (
        ("You are {who}.", ["You are a judge.", "You are .", "You are ."]),
        ("{who}", ["a judge", None, None]),  # then model.system
        ("Be brief.", ["Be brief."] * 3),
        (None, [None] * 3),
    ):
        entry = {"name": "jsonl", "path": "f.jsonl", "system": system}
        status, error, rows = told(BASE | {"data": {"train": [entry]}})
        assert status == 0, error
        assert [one["system"] for one in rows] == expected


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"prompt": "What?"}, "data.train.0: prompt: names no field; write one in braces, as"),
        ({"prompt": "{{x}}"}, "data.train.0: prompt: names no field; write one in braces, as"),
        ({"prompt": "{}"}, "data.train.0.prompt: expected the bare name of a field in braces"),
        ({"prompt": "{a!r}"}, "data.train.0.prompt: expected the bare name of a field in braces"),
        ({"prompt": "{a:>5}"}, "data.train.0.prompt: expected the bare name of a field in braces"),
        ({"prompt": "{a"}, "data.train.0.prompt: expected '}' before end of string; a brace that"),
        ({"system": "}"}, "data.train.0.system: Single '}' encountered"),
        ({"prompt": "{a}", "question": "b"}, "data.train.0: question: leave it out, for prompt"),
        ({"name": "capitals", "system": "x"}, "data.train.0: system: of name: jsonl alone"),
        ({"name": "gsm8k", "question": "x"}, "data.train.0: question: of name: jsonl alone"),
        ({"name": "gsm8k", "kind": "number"}, "data.train.0: kind: of name: jsonl alone"),
        ({"choices": ["A", "A"], "kind": "option"}, "data.train.0: choices: expected a field each"),
        ({"choices": ["A"], "kind": "option"}, "data.train.0: choices: expected a field each for"),
        ({"choices": [5], "kind": "option"}, "data.train.0.choices.0: Input should be a valid"),
        ({"choices": ["A", "B"]}, "data.train.0: choices are of kind: option"),
        ({"answer_base": 0}, "data.train.0: answer_base is of kind: option"),
        ({"answer_base": 2, "kind": "option"}, "data.train.0.answer_base: Input should be 0 or 1"),
    ],
)
def test_keys_that_do_not_fit_are_one_line(told, entry, says):
    outcome = told(BASE | {"data": {"train": [{"name": "jsonl", "path": "f.jsonl", **entry}]}})
    is_refused(outcome, re.escape(f"error: config: {says}"))
