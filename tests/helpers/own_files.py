"""Data sets in files as people bring them: what is read of one, or the line that is told."""

import io
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

BASE = {
    "root": "root",
    "model": {"source": "builtin:smollm2-135m"},
    "data": {"train": [{"name": "capitals", "limit": 2}]},
}
NUMBER = {"kind": "number"}


def row(question="q", answer="a", **more):
    return {"question": question, "answer": answer, **more}


def lines(*rows):
    return "\n".join(one if isinstance(one, str) else json.dumps(one) for one in rows)


def parquet(**columns):
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def is_refused(outcome, line):
    status, error, _ = outcome
    assert (status, error.count("\n")) == (2, 1), error
    assert re.search(line, error), error


def check(told, name, content, entry, expected):
    """A file in the working directory. expected: its rows, or a pattern of the line told."""
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    outcome = told(BASE | {"data": {"train": [{"name": "jsonl", "path": name, **entry}]}})
    if isinstance(expected, str):
        is_refused(outcome, expected)
        assert f"data.train.0: {name}" in outcome[1]
        return
    status, error, rows = outcome
    assert status == 0, error
    assert [(r["question"], r["reference"]) for r in rows] == [one[:2] for one in expected]
    choices = [list(one[2]) if len(one) > 2 else None for one in expected]
    assert [r["choices"] and list(r["choices"]) for r in rows] == choices


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
