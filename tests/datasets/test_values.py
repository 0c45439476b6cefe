"""Values of fields: each is read, or refused in one line that names the row and the field."""

from itertools import count

import pyarrow as pa
import pytest
from own_files import NUMBER, check, lines, parquet, row

# (name of the file, what it holds, more of its entry, the rows that are read or the line told)
CASES = [
    # fields
    ("f.jsonl", lines({"question": "q"}), {},
     r"row 1: there is no field 'answer' \(fields: question"),
    ("f.jsonl", lines(row(), row(answer=None)), {}, "row 2: field 'answer' is null"),
    ("f.jsonl", lines(row(None)), {}, "row 1: field 'question' is null"),
    ("f.parquet", parquet(question=["q", "r"], answer=["a", None]), {},
     "row 2: field 'answer' is null"),
    ("f.jsonl", lines(row(), row("", "b")), {}, "row 2: field 'question' is empty"),
    ("f.jsonl", lines(row(" \n ")), {}, "row 1: field 'question' is empty"),
    ("f.jsonl", lines(row(answer=" ")), {}, "row 1: field 'answer' is empty"),
    ("f.csv", "question,answer\nq,\n", {}, r"row 1 \(line 2\): field 'answer' is empty"),
    ("f.jsonl", lines(row(" q ", " a ")), {}, [("q", "a")]),
    ("f.jsonl", lines(row(True)), {}, "row 1: field 'question' is true"),
    ("f.jsonl", lines(row(answer=False)), {}, "row 1: field 'answer' is false, neither text nor"),
    ("f.parquet", parquet(question=["q"], answer=[True]), {}, "row 1: field 'answer' is true"),
    ("f.jsonl", lines(row(answer={"value": "a"})), {}, "row 1: field 'answer' is an object"),
    ("f.jsonl", lines(row(["q"])), {}, "row 1: field 'question' is a list"),
    ("f.parquet", parquet(question=["q"], answer=[b"a"]), {}, "row 1: field 'answer' is bytes"),
    ("f.jsonl", '{"question": "q", "answer": "\\ud800"}', {},
     "row 1: field 'answer' holds lone surr"),
    ("f.jsonl", '{"question": "\\ud83d\\ude00", "answer": "a"}', {}, [("😀", "a")]),
    ("f.jsonl", '{"question": "q", "answer": "a\\u0000b"}', {},
     "row 1: field 'answer' holds NUL"),
    ("f.csv", "question,answer\nq\0,a\n", {}, "row 1 .*: field 'question' holds NUL"),
    ("f.jsonl", '{"question": "q", "answer": "a\tb"}', {}, "row 1: not JSON .Invalid control"),
    ("f.jsonl", lines(row()), {"question": "ask"}, "no field 'ask'"),
    ("f.csv", "question;answer,note\nq;a,b\n", {},
     "no field 'question' .*: its cells are not separated by commas"),
    # numbers
    ("f.jsonl", lines(row(answer=42)), NUMBER, [("q", "42")]),
    ("f.jsonl", '{"question": "q", "answer": 1e-07}', NUMBER, [("q", "0.0000001")]),
    ("f.jsonl", '{"question": "q", "answer": 42.0}', NUMBER, [("q", "42.0")]),
    ("f.jsonl", '{"question": "q", "answer": 1E3}', NUMBER, [("q", "1000")]),
    # of kind text compared as it is written, as people write it
    ("f.jsonl", '{"question": "q", "answer": 42.0}', {}, [("q", "42")]),
    ("f.jsonl", '{"question": "q", "answer": [42.0, 7.5]}', {}, [("q", "42|7.5")]),
    ("f.jsonl", '{"question": "q", "answer": "2.0"}', {}, [("q", "2.0")]),
    ("f.parquet", parquet(question=["q", "r"], answer=[1912.0, 7.05]), {},
     [("q", "1912"), ("r", "7.05")]),
    ("f.jsonl", '{"question": "q", "answer": -0.10000000000000000001}', NUMBER,
     [("q", "-0.10000000000000000001")]),
    ("f.jsonl", lines(row(answer=10**40 + 1)), NUMBER, [("q", "1" + "0" * 39 + "1")]),
    ("f.parquet", parquet(question=["q", "r"], answer=[1e-07, 2.5]), NUMBER,
     [("q", "0.0000001"), ("r", "2.5")]),
    ("f.parquet", parquet(question=["q"], answer=pa.array([0.1], pa.float32())), NUMBER,
     [("q", "0.1")]),
    ("f.parquet", parquet(question=["q"], answer=pa.array([[0.1]], pa.list_(pa.float32()))), NUMBER,
     [("q", "0.1")]),
    ("f.parquet", parquet(question=["q"], answer=pa.array([0.1], pa.float16())), NUMBER,
     [("q", "0.1")]),
    ("f.parquet",
     parquet(question=["q"], answer=["A"], choices=pa.array(
         [{"A": 0.1, "B": 0.2}], pa.struct([("A", pa.float32()), ("B", pa.float32())]))),
     {"kind": "option", "choices": "choices"}, [("q\n(A) 0.1\n(B) 0.2", "A", ["0.1", "0.2"])]),
    ("f.jsonl", '{"question": "q", "answer": NaN}', NUMBER,
     "row 1: field 'answer' is NaN, no finite"),
    ("f.jsonl", '{"question": "q", "answer": NaN}', {}, "row 1: field 'answer' is NaN, no finite"),
    ("f.jsonl", '{"question": "q", "answer": -Infinity}', {}, "is -Infinity, no finite number"),
    ("f.parquet", parquet(question=["q"], answer=[float("nan")]), {},
     "row 1: field 'answer' is NaN"),
    ("f.jsonl", '{"question": "q", "answer": 1e99999}', NUMBER,
     "row 1: field 'answer' is 1E.99999, no"),
    ("f.jsonl", '{"question": "q", "answer": 1e-9999999999999999999}', NUMBER,
     "row 1: .*no finite"),
    ("f.jsonl", lines(row(5, 6)), NUMBER, [("5", "6")]),
    ("f.jsonl", lines(row(answer="soon")), NUMBER, "row 1: answer 'soon' is not of kind number"),
    ("f.jsonl", lines(row(answer=["4", "4.0"])), NUMBER, [("q", "4")]),
    # spellings
    ("f.jsonl", lines(row(answer=["Kyiv", "Kiev"])), {}, [("q", "Kyiv|Kiev")]),
    ("f.jsonl", lines(row(answer="Kyiv|Kiev")), {}, [("q", "Kyiv|Kiev")]),
    ("f.jsonl", lines(row(answer=["Paris", 7])), {}, [("q", "Paris|7")]),
    ("f.parquet", parquet(question=["q"], answer=[["Kyiv", "Kiev"]]), {}, [("q", "Kyiv|Kiev")]),
    ("f.csv", 'question,answer\nq,"[""Kyiv"", ""Kiev""]"\n', {}, [("q", "Kyiv|Kiev")]),
    ("f.csv", 'question,answer\nq,"[""a"", null]"\n', {}, "field 'answer', entry 2 is null"),
    ("f.csv", 'question,answer\nq,"[1, 2]"\n', {}, [("q", "[1, 2]")]),
    ("f.csv", 'question,answer\nq,"[""a"", b]"\n', {}, [("q", '["a", b]')]),
    ("f.jsonl", lines(row(answer='["a", "b"]')), {}, [("q", '["a", "b"]')]),
    ("f.jsonl", lines(row(answer=[])), {}, "row 1: field 'answer' is an empty list"),
    ("f.jsonl", lines(row(answer=["a|b", "c"])), {}, r"row 1: field 'answer': 'a\|b' holds a \|"),
    ("f.jsonl", lines(row(answer=["a", None])), {}, "row 1: field 'answer', entry 2 is null"),
    ("f.jsonl", lines(row(answer=["a", ["b"]])), {}, "row 1: field 'answer', entry 2 is a list"),
    ("f.jsonl", lines(row(answer="Kyiv|")), {}, r"row 1: answer 'Kyiv\|' is not of kind text"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "entry", "expected"), CASES, ids=count())
def test_a_value_is_read_or_refused(told, name, content, entry, expected):
    check(told, name, content, entry, expected)
