"""Files and configs as people bring them: each is read, or refused in one line that says where."""

import gzip
import io
import json
import re
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from processes import ROOT

from jobs import cli, run
from pipelines.config import Config, load
from pipelines.stages import queries

BASE = {
    "root": "root",
    "model": {"source": "builtin:smollm2-135m"},
    "data": {"train": [{"name": "capitals", "limit": 2}]},
}
NUMBER, OPTION = {"kind": "number"}, {"kind": "option"}
CHOICES = {"kind": "option", "choices": "choices"}


def row(question="q", answer="a", **more):
    return {"question": question, "answer": answer, **more}


def lines(*rows):
    return "\n".join(one if isinstance(one, str) else json.dumps(one) for one in rows)


def parquet(**columns):
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def asked(text="q", choices="one|two|three"):
    """A question with its choices after it, as the model is shown them."""
    listed = zip("ABCDEFGHIJ", choices.split("|"), strict=False)
    return "\n".join([text, *(f"({letter}) {choice}" for letter, choice in listed)])


ARC = {"text": ["one", "two", "three"], "label": ["1", "2", "3"]}
ABC = ["one", "two", "three"]
UTF8 = "Ist Malmö größer?"

# (name of the file, what it holds, more of its entry, the rows that are read or the line told)
FILES = [
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
    ("f.csv.gz", gzip.compress(b"question,answer\nq,a\n", mtime=0), {}, [("q", "a")]),
    ("f.jsonl.gz", gzip.compress(lines(row()).encode(), mtime=0), {}, [("q", "a")]),
    ("f.parquet", parquet(question=["q"], answer=["a"]), {}, [("q", "a")]),
    ("rows", parquet(question=["q"], answer=["a"]), {}, [("q", "a")]),
    ("f.jsonl", "", {}, r"data\.train\.0: jsonl \(train\) has no rows"),
    ("f.jsonl", " \n\t\n", {}, "has no rows"),
    ("f.json", "[]", {}, "has no rows"),
    ("f.csv", "question,answer\n", {}, "has no rows"),
    ("f.parquet", parquet(question=[], answer=[]), {}, "has no rows"),
    # broken files
    ("f.jsonl", lines(row(), "{broken"), {}, r"f\.jsonl, row 2: not JSON .* CSV \(\*\.csv\)"),
    ("f.jsonl", "question,answer\nq,a", {}, "row 1: not JSON"),
    ("f.jsonl", lines(row()) + lines(row()), {}, r"row 1: not JSON \(Extra data"),
    ("f.json", json.dumps(row(), indent=2), {}, "row 1: not JSON"),
    ("f.jsonl", lines(row(), "5"), {}, "row 2: expected an object with fields"),
    ("f.json", '[{"question": "q", "answer": "a"}, 5]', {}, "row 2: expected an object"),
    ("f.json", '[{"question": "q", "answer": "a"},', {}, "row 2: not JSON"),
    ("f.json", '[{"question": "q", "answer": "a"} {}]', {}, "row 1: no comma or closing"),
    ("f.json", "[]x", {}, "after row 0: more follows the array"),
    ("f.json", "[" * 9_999, {}, "row 1: not JSON .nested too deeply"),
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
    ("f.jsonl.gz", gzip.compress(b"{}", mtime=0)[:-4], {}, r"f\.jsonl\.gz: broken gzip"),
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
     "row 1: field 'answer' holds a lone surr"),
    ("f.jsonl", '{"question": "\\ud83d\\ude00", "answer": "a"}', {}, [("😀", "a")]),
    ("f.jsonl", '{"question": "q", "answer": "a\\u0000b"}', {},
     "row 1: field 'answer' holds a NUL"),
    ("f.csv", "question,answer\nq\0,a\n", {}, "row 1 .*: field 'question' holds a NUL"),
    ("f.jsonl", '{"question": "q", "answer": "a\tb"}', {}, "row 1: not JSON .Invalid control"),
    ("f.jsonl", lines(row(), row()), {}, "question 'q' is there twice"),
    ("f.jsonl", lines(row()), {"question": "ask"}, "no field 'ask'"),
    # numbers
    ("f.jsonl", lines(row(answer=42)), NUMBER, [("q", "42")]),
    ("f.jsonl", '{"question": "q", "answer": 1e-07}', NUMBER, [("q", "0.0000001")]),
    ("f.jsonl", '{"question": "q", "answer": 42.0}', NUMBER, [("q", "42.0")]),
    ("f.jsonl", '{"question": "q", "answer": 1E3}', NUMBER, [("q", "1000")]),
    ("f.jsonl", '{"question": "q", "answer": -0.10000000000000000001}', NUMBER,
     [("q", "-0.10000000000000000001")]),
    ("f.jsonl", lines(row(answer=10**40 + 1)), NUMBER, [("q", "1" + "0" * 39 + "1")]),
    ("f.parquet", parquet(question=["q", "r"], answer=[1e-07, 2.5]), NUMBER,
     [("q", "0.0000001"), ("r", "2.5")]),
    ("f.parquet", parquet(question=["q"], answer=pa.array([0.1], pa.float32())), NUMBER,
     [("q", "0.1")]),
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
    ("f.jsonl", lines(row(answer=[4, 5])), NUMBER,
     "row 1: answers 4, 5 differ; kind number has one"),
    # spellings
    ("f.jsonl", lines(row(answer=["Kyiv", "Kiev"])), {}, [("q", "Kyiv|Kiev")]),
    ("f.jsonl", lines(row(answer="Kyiv|Kiev")), {}, [("q", "Kyiv|Kiev")]),
    ("f.jsonl", lines(row(answer=["Paris", 7])), {}, [("q", "Paris|7")]),
    ("f.parquet", parquet(question=["q"], answer=[["Kyiv", "Kiev"]]), {}, [("q", "Kyiv|Kiev")]),
    ("f.jsonl", lines(row(answer=[])), {}, "row 1: field 'answer' is an empty list"),
    ("f.jsonl", lines(row(answer=["a|b", "c"])), {}, r"row 1: field 'answer': 'a\|b' holds a \|"),
    ("f.jsonl", lines(row(answer=["a", None])), {}, "row 1: field 'answer', entry 2 is null"),
    ("f.jsonl", lines(row(answer=["a", ["b"]])), {}, "row 1: field 'answer', entry 2 is a list"),
    ("f.jsonl", lines(row(answer="Kyiv|")), {}, r"row 1: answer 'Kyiv\|' is not of kind text"),
    # options
    ("f.jsonl", lines(row(answer="(b)")), OPTION, [("q", "(b)")]),
    ("f.jsonl", lines(row(answer="yes")), OPTION, "row 1: answer 'yes' is not of kind option"),
    ("f.jsonl", lines(row(answer=["A", "B"])), OPTION, "row 1: answers A, B differ"),
    ("f.jsonl", lines(row(asked(), "C")), OPTION, [(asked(), "C", ABC)]),
    ("f.jsonl", lines(row(asked(), "D")), OPTION, "row 1: answer 'D' is none of the 3 choices"),
    ("f.jsonl", lines(row(asked(), "Two")), OPTION, [(asked(), "B", ABC)]),
    ("f.jsonl", lines(row("q\n1. one\n2. two", 2)), OPTION, [("q\n1. one\n2. two", "B", ABC[:2])]),
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
     "row 1: choice 1 is a list"),
    ("f.jsonl", lines(row(answer="A", choices=5)), CHOICES, "choices: expected a list of texts"),
    ("f.jsonl", lines(row(answer="A", choices={"text": ["a", "b"], "label": ["A"]})), CHOICES,
     "choices: 2 texts have the labels A"),
]  # fmt: skip


@pytest.fixture
def told(tmp_path, monkeypatch, capsys):
    """Exit status and standard error of a command that checks a config and reads its data."""
    monkeypatch.chdir(tmp_path)

    def told(config, *overrides):
        text = config if isinstance(config, str | bytes) else yaml.safe_dump(config)
        (tmp_path / "config.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
        arguments = ["--config", "config.yaml"]
        for override in overrides:
            arguments += ["--set", override]
        options = cli.parser("jobs.run", "").parse_args(arguments)
        read = []
        status = cli.run(options, lambda config: read.extend(queries.read(config)) or 0)
        return status, capsys.readouterr().err, read

    return told


def is_refused(outcome, line):
    status, error, _ = outcome
    assert (status, error.count("\n")) == (2, 1), error
    assert re.search(line, error), error


@pytest.mark.parametrize(("name", "content", "entry", "expected"), FILES)
def test_a_file_is_read_or_refused(tmp_path, told, name, content, entry, expected):
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    outcome = told(BASE | {"data": {"train": [{"name": "jsonl", "path": name, **entry}]}})
    if isinstance(expected, str):
        is_refused(outcome, expected)
        return
    status, error, rows = outcome
    assert status == 0, error
    assert [(r["question"], r["reference"]) for r in rows] == [one[:2] for one in expected]
    choices = [list(one[2]) if len(one) > 2 else None for one in expected]
    assert [r["choices"] and list(r["choices"]) for r in rows] == choices


TEXT = yaml.safe_dump(BASE)

# (the config's text, or what --set changes in a good one; the line told, or None)
CONFIGS = [
    ("\ufeff" + TEXT, None),
    (TEXT.replace("\n", "\r\n"), None),
    (TEXT + "sampling: &it {num_samples: 4}\nevaluate: *it\n", None),
    (TEXT + "train: {learning_rate: 5e-5, weight_decay: 1}\n", None),
    (TEXT + "train: {learning_rate: 1}\nconfidence: {kind: yes}\n", None),
    ("", r"config\.yaml: expected keys and values"),
    ("- root\n", r"config\.yaml: expected keys and values"),
    ("just text", r"config\.yaml: expected keys and values"),
    ("2024-01-01", "expected keys and values"),
    ("root: [unclosed", r"config\.yaml: not YAML"),
    ("root: a\n\tmodel: b\n", r"config\.yaml, line 2: not YAML \(found character '\\t'"),
    (TEXT + "seed: 1\nseed: 2\n", r"config\.yaml, line \d+: not YAML \(key 'seed' is there twice"),
    (TEXT + "engine: {count: 1, count: 2}\n", "key 'count' is there twice"),
    (TEXT + "---\nseed: 1\n", "another document"),
    (TEXT + "seed: *nothing\n", "undefined alias"),
    (TEXT + "seed: !!python/object/apply:os.getpid []\n", "not YAML"),
    (TEXT + "seed: !!bool maybe\n", "not YAML"),
    (TEXT + "seed: " + "1" * 5_000, "not YAML .a number is too long"),
    ("[" * 600, "nested too deeply"),
    (TEXT + "evaluate: &a {policies: [*a]}\n", "not YAML|evaluate"),
    (b"root: caf\xe9\n", r"config\.yaml, line 1: not UTF-8 \(byte 0xe9\)"),
    ("root: a\0b\n", "not YAML"),
    (TEXT + "1: 2\n", "config: 1: a key is a text"),
    (TEXT + "engine:\n", "config: engine: expected keys and values, not None"),
    (TEXT.replace("root: root", "root: 2024"), "config: root: .*valid string, not 2024"),
    (TEXT.replace("root: root", 'root: ""'), "config: root: expected some text"),
    (TEXT.replace("root: root", 'root: "a\\0b"'), "config: root: expected text without NUL"),
    (TEXT.replace("root: root", 'root: "\\ud800"'), "config: root: .* lone surrogates"),
    (["sampling.num_samples=true"], "config: sampling.num_samples: .*valid integer, not True"),
    (["sampling.num_samples='32'"], "config: sampling.num_samples: .*valid integer, not '32'"),
    (["sampling.num_samples=32.0"], "config: sampling.num_samples: .*valid integer, not 32.0"),
    (["sampling.num_samples=1e400"], "config: sampling.num_samples: .*valid integer, not inf"),
    (["sampling.num_samples=99999999999"], "config: sampling.num_samples: .*less than or equal"),
    (["sampling.num_samples=0x10"], None),
    (["sampling.num_samples=010"], None),
    (["sampling.num_samples=1:30"], "config: sampling.num_samples: .*not '1:30'"),
    (["sampling.num_samples=[1]"], r"config: sampling.num_samples: .*valid integer, not \[1\]"),
    (["sampling.temperature=.inf"], "config: sampling.temperature: .*finite number, not inf"),
    (["sampling.temperature=1e400"], "config: sampling.temperature: .*finite number, not inf"),
    (["sampling.temperature=.nan"], "config: sampling.temperature: .*finite number, not nan"),
    (["sampling.temperature=true"], "config: sampling.temperature: .*valid number, not True"),
    (["sampling.temperature='1'"], "config: sampling.temperature: .*valid number, not '1'"),
    (["sampling.temperature=1"], None),
    (["train.learning_rate=5e-5"], None),
    (["train.learning_rate=.inf"], "config: train.learning_rate: .*finite number"),
    (["train.weight_decay=.inf"], "config: train.weight_decay: .*finite number"),
    (["train.zero_stage=true"], "config: train.zero_stage: .*valid integer, not True"),
    (["train.lora.targets=q_proj"], "config: train.lora.targets: expected a list, not 'q_proj'"),
    (["train.lora.targets=[1]"], r"config: train.lora.targets.0: .*valid string, not 1"),
    (["train.lora.targets=[['" + "x" * 9_999 + "']]"], "config: train.lora.targets.0: .{,200}\n"),
    (["engine.enforce_eager=yes"], "config: engine.enforce_eager: .*valid boolean, not 'yes'"),
    (["engine.enforce_eager=1"], "config: engine.enforce_eager: .*valid boolean, not 1"),
    (["engine.gpus=.nan"], "config: engine.gpus: .*finite number"),
    (["evaluate.thresholds=[.nan]"], "config: evaluate.thresholds.0: .*finite number"),
    (["evaluate.thresholds=0.5"], "config: evaluate.thresholds: expected a list, not 0.5"),
    (["evaluate.windows=[true]"], "config: evaluate.windows.0: .*valid integer, not True"),
    (["seed=-1"], "config: seed: .*greater than or equal to 0, not -1"),
    (["seed=9223372036854775807"], None),
    (["seed=9223372036854775808"], "config: seed: .*less than 9223372036854775808"),
    (["seed=true"], "config: seed: .*valid integer, not True"),
    (["seed=null"], "config: seed: .*valid integer, not None"),
    (["seed=[1"], r"--set seed=\[1: not YAML"),
    (["seed.x=1"], "config: seed: |--set seed.x=1"),
    (["data.train.²=1"], "--set data.train.²=1: ² is no index"),
    (["data.train=capitals"], "config: data.train: expected a list, not 'capitals'"),
    (["data.train=[capitals]"], "config: data.train.0: expected keys and values, not 'capitals'"),
    (["data.train.0.limit=true"], "config: data.train.0.limit: .*valid integer, not True"),
    (["data.train.0.limit=0"], "config: data.train.0.limit: .*greater than or equal to 1"),
    (["data.train.0.choices=c"], "config: data.train.0: choices are of kind: option"),
    (["data.train=[{name: jsonl, path: a}, {name: jsonl, path: b}]"],
     "config: data.train: a and b would be listed as one; give each a label"),
    (["data.train=[{name: jsonl, path: /dev/zero}]"], "/dev/zero: not a file"),
    (["data.train=[{name: jsonl, path: .}]"], r"data\.train\.0: \.: not a file"),
    (["data.train=[{name: jsonl, path: none.csv}]"], r"none\.csv: there is no such file"),
    (["data.train=[{name: jsonl, path: config.yaml/x}]"], "there is no such file"),
    (["data.train=[{name: jsonl, path: " + "x" * 300 + "}]"], "it cannot be read .File name too"),
    (["data.train=[{name: jsonl, path: 'nope://x'}]"], "nope://x: not a path or URI"),
    (["data.train=[{name: jsonl, path: '~no.such.user/x'}]"], "there is no such user's home"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "line"), CONFIGS)
def test_a_config_is_read_or_refused(told, config, line):
    outcome = told(BASE, *config) if isinstance(config, list) else told(config)
    if line is None:
        assert outcome[:2] == (0, "")
    else:
        is_refused(outcome, line)


WHOLE = [content if isinstance(content, bytes) else content.encode() for _, content, _, _ in FILES]


def problem(read):
    """What is told, in one line; None where it is read. Other exceptions than ValueError pass."""
    try:
        read()
    except ValueError as error:
        line = str(error)
    else:
        return None
    assert "\n" not in line
    return line


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sampled_from(["f.jsonl", "f.csv", "f.parquet"]),
    st.sampled_from([whole for whole in WHOLE if len(whole) < 5_000]),
    st.integers(0, 5_000),
    st.binary(max_size=4),
)
def test_a_file_with_a_hole_is_read_or_refused(tmp_path, name, whole, at, other):
    (tmp_path / name).write_bytes(whole[:at] + other + whole[at + len(other) :])
    entry = {"name": "jsonl", "path": str(tmp_path / name)}
    config = Config.model_validate(BASE | {"data": {"train": [entry]}})
    line = problem(lambda: queries.read(config))
    assert line is None or re.search(rf"{name}|has no rows|there twice", line)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, 200), st.text(st.characters(codec="utf-8"), max_size=8))
def test_a_config_with_a_hole_is_read_or_refused(tmp_path, at, other):
    (tmp_path / "c.yaml").write_text(TEXT[:at] + other + TEXT[at + len(other) :], "utf-8")
    problem(lambda: load(str(tmp_path / "c.yaml")))


@pytest.mark.parametrize("root", ["/proc/x", "/proc", "/dev/null/x", "file", "file/x", "nowhere"])
def test_a_root_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, capsys, root):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone" / "x")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(BASE | {"root": root}))
    assert run.main(["--config", "config.yaml", "--until", "queries"]) in (1, 2)
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert root in error
    assert "set another" in error
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.yaml", "file", "nowhere"]
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.process
@pytest.mark.parametrize(
    "change", ["sampling.temperature=1e400", "root=/proc/x", "data.train.0.path=f"]
)
def test_a_process_ends_with_one_line(tmp_path, change):
    (tmp_path / "f").write_bytes(b'{"question": "Malm\xf6", "answer": "a"}')
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump(
            BASE
            | {"root": str(tmp_path / "root"), "data": {"train": [{"name": "jsonl", "path": "f"}]}}
            if change.startswith("data")
            else BASE
        )
    )
    command = [sys.executable, "-m", "jobs.run", "--config", str(tmp_path / "config.yaml")]
    change = change.replace("=f", f"={tmp_path}/f")
    done = subprocess.run(
        [*command, "--until", "queries", "--set", change],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert not (tmp_path / "root").exists()
