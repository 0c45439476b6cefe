"""Rows of files in every format: each file is read, or refused in one line that says where."""

import json
from itertools import count

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from own_files import NUMBER, check, lines, parquet, problem, row

from pipelines.datasets.records import read

UTF8 = "Ist Malmö größer?"

# (name of the file, what it holds, more of its entry, the rows that are read or the line told)
CASES = [
    # formats
    ("f.jsonl", lines(row(), row("r")), {}, [("q", "a"), ("r", "a")]),
    ("f.jsonl", "\n\n" + lines(row()) + "\r\n\r\n", {}, [("q", "a")]),
    ("f.jsonl", "\ufeff" + lines(row(UTF8)), {}, [(UTF8, "a")]),
    ("f.json", json.dumps([row(), row("r")], indent=2), {}, [("q", "a"), ("r", "a")]),
    ("f.json", "\ufeff\n " + json.dumps([row()]), {}, [("q", "a")]),
    ("f.json", lines(row(), row("r")), {}, [("q", "a"), ("r", "a")]),
    ("rows", json.dumps([row()]), {}, [("q", "a")]),
    ("f.csv", "question,answer\nq,a\n", {}, [("q", "a")]),
    ("f.CSV", "\ufeffquestion,answer\r\nq,a\r\n\r\n", {}, [("q", "a")]),
    ("f.csv", 'answer, question\n"a","one, ""two""\nthree"\n', {}, [('one, "two"\nthree', "a")]),
    ("f.csv", "question,answer\rq,a\r", {}, [("q", "a")]),
    ("f.parquet", parquet(question=["q"], answer=["a"]), {}, [("q", "a")]),
    ("rows", parquet(question=["q"], answer=["a"]), {}, [("q", "a")]),
    ("f.jsonl", "", {}, r"data\.train\.0: f\.jsonl: it has no rows"),
    ("f.jsonl", " \n\t\n", {}, "has no rows"),
    ("f.json", "[]", {}, "has no rows"),
    ("f.csv", "question,answer\n", {}, "has no rows"),
    ("f.parquet", parquet(question=[], answer=[]), {}, "has no rows"),
    # broken files
    ("f.jsonl", lines(row(), "{broken"), {}, r"f\.jsonl, row 2: not JSON .* CSV \(\*\.csv\)"),
    ("f.jsonl", "question,answer\nq,a", {}, "row 1: not JSON"),
    ("f.jsonl", lines(row()) + lines(row()), {}, r"row 1: not JSON \(Extra data"),
    ("f.json", json.dumps(row(), indent=2), {}, "row 1: not JSON"),
    ("f.json", '[{"question": "q", "answer": "a"},]', {}, "row 2 of its array: not JSON"),
    ("f.json", '[\n{"question": "q" "answer": "a"}]', {},
     r"row 1 of its array: not JSON \(Expecting ',' delimiter, line 2 column 18\)\n"),
    ("f.jsonl", '{"question": "q", "answer": "a", "answer": "b"}', {},
     "row 1: not JSON .key 'answer' is there twice"),
    ("f.json", '[{"question": "q", "answer": "a", "more": {"x": 1, "x": 2}}]', {},
     "row 1 of its array: not JSON .key 'x' is there twice"),
    ("f.jsonl", lines(row(), "5"), {}, "row 2: expected an object with fields"),
    ("f.json", '[{"question": "q", "answer": "a"}, 5]', {}, "row 2: expected an object"),
    ("f.json", '[{"question": "q", "answer": "a"},', {},
     "row 2 of its array: not JSON .Expecting value, column 35"),
    ("f.json", '[{"question": "q", "answer": "a"} {}]', {}, "row 1: no comma or closing"),
    ("f.json", "[]x", {}, "after row 0: more follows the array"),
    ("f.json", "[" * 9_999, {}, "row 1 of its array: not JSON .nested too deeply"),
    ("f.jsonl", '{"question": ' + "[" * 9_999, {}, "row 1: not JSON .nested too deeply"),
    ("f.jsonl", b'{"question": "q", "answer": "a"}\n{"question": "Malm\xe4", "answer": "a"}',
     {}, r"f\.jsonl, row 2: not UTF-8 \(byte 0xe4\)"),
    ("f.csv", b"question,answer\nq,a\nMalm\xf6,a\n", {}, r"f\.csv, line 3: not UTF-8"),
    ("f.json", lines(row()).encode("utf-16"), {}, "row 1: not UTF-8"),
    ("f.csv", "question,answer,page\nq,a," + "x" * 200_000, {}, [("q", "a")]),
    ("f.jsonl", '{"question": "q", "answer": ' + "9" * 6_000 + "}", NUMBER, "is 9{80}[.]{3}, no"),
    ("f.jsonl", lines(row(answer="x" * 9_000)), NUMBER, "answer 'x{80}[.]{3}' is not of kind"),
    ("f.csv", 'question,answer\nq,"a\n', {}, r"row 1 \(line 2\): not CSV"),
    ("f.csv", "question,answer\nq\n", {}, r"row 1 \(line 2\): 1 cells under 2 fields"),
    ("f.csv", "question,answer\nq,a\nr,a,b\n", {}, r"row 2 \(line 3\): 3 cells under 2 fields"),
    ("f.csv", "question,answer,answer\nq,a,b\n", {}, "its header names a field twice"),
    ("f.csv", "question;answer\nq;a\n", {}, "its cells are not separated by commas"),
    ("f.parquet", b"PAR1 and no more", {}, r"f\.parquet: broken Parquet"),
    ("f.parquet", b"", {}, r"f\.parquet: broken Parquet"),
    ("f.parquet", parquet(question=["q", "r"], answer=pa.array([b"a", b"\xff"]).view(pa.string())),
     {}, "row 2: it cannot be read"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "entry", "expected"), CASES, ids=count())
def test_a_file_is_read_or_refused(told, name, content, entry, expected):
    check(told, name, content, entry, expected)


WHOLE = [content if isinstance(content, bytes) else content.encode() for _, content, _, _ in CASES]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["f.jsonl", "f.csv", "f.parquet"]),
    st.sampled_from([whole for whole in WHOLE if len(whole) < 5_000]),
    st.integers(0, 5_000),
    st.binary(max_size=4),
)
def test_a_file_with_a_hole_is_read_or_refused(tmp_path, name, whole, at, other):
    (tmp_path / name).write_bytes(whole[:at] + other + whole[at + len(other) :])
    line = problem(lambda: list(read(str(tmp_path / name))))
    assert line is None or line.startswith(str(tmp_path / name))
