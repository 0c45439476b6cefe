"""Which files a path names, and how they are opened: patterns, folders, compressed files."""

import bz2
import gzip
import json
import re

import pyarrow as pa
import pyarrow.fs as pafs
import pytest
from own_files import lines, parquet, problem, row

from pipelines.datasets.records import read
from pipelines.datasets.sources import files

PACKED = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


def asked(path):
    return [fields["question"] for _, fields in read(str(path))]


@pytest.mark.parametrize("ending", [*PACKED, "GZ"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("f.jsonl", lines(row(), row("r"))),
        ("f.json", json.dumps([row(), row("r")])),
        ("f.csv", "question,answer\nq,a\nr,a\n"),
        ("rows", lines(row(), row("r"))),
    ],
)
def test_a_compressed_file_is_read_as_what_it_holds(tmp_path, name, content, ending):
    file = tmp_path / f"{name}.{ending}"
    file.write_bytes(PACKED[ending.lower()](content.encode()))
    assert asked(file) == ["q", "r"]
    assert asked(f"file://{file}") == ["q", "r"]


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "part" / "deep").mkdir(parents=True)
    (tmp_path / "b.jsonl").write_text(lines(row("b")))
    (tmp_path / "a.csv").write_text("question,answer\na,a\n")
    (tmp_path / "c.txt").write_text(lines(row("text")))
    (tmp_path / "_SUCCESS.json").write_text("no rows")
    (tmp_path / ".hidden.jsonl").write_text(lines(row("hidden")))
    (tmp_path / ".inner").mkdir()
    (tmp_path / ".inner" / "h.jsonl").write_text(lines(row("within")))
    (tmp_path / "h").mkdir()
    (tmp_path / "h" / "h.jsonl").write_text(lines(row("h")))
    (tmp_path / "part" / "d.jsonl.gz").write_bytes(gzip.compress(lines(row("d")).encode()))
    (tmp_path / "part" / "deep" / "e.parquet").write_bytes(parquet(question=["e"], answer=["a"]))
    return tmp_path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", "abhde"),
        ("/", "abhde"),
        ("part", "de"),
        ("*.jsonl", "b"),
        ("[ab].*", "ab"),
        ("part/?.jsonl.gz", "d"),
        ("*/*/e.parquet", "e"),
        ("p*/*.gz", "d"),
        ("c.t?t", ["text"]),
        ("part/../*.jsonl", "b"),
        ("?art/deep/e.parquet", "e"),
        (".*.jsonl", ["hidden"]),
        (".in*/*.jsonl", ["within"]),
        (".inner/*.jsonl", ["within"]),
        ("*/h.jsonl", ["h"]),
    ],
)
def test_the_files_of_folders_and_patterns_come_by_name(tree, path, expected):
    for root in (f"{tree}", f"file://{tree}"):
        whole = root + path if path in ("", "/") else f"{root}/{path}"
        assert asked(whole) == list(expected)


def test_a_pattern_may_be_relative_and_a_files_own_name_is_none(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert asked("part/*.gz") == ["d"]
    assert [one.shown for one in files("*.jsonl")] == ["b.jsonl"]
    (tree / "x[1].jsonl").write_text(lines(row("x")))
    assert asked("x[1].jsonl") == ["x"]
    (tree / "y[1]").mkdir()
    (tree / "y[1]" / "z.jsonl").write_text(lines(row("z")))
    assert asked("y[1]/*.jsonl") == ["z"]


def test_places_name_the_file_and_its_row(tree):
    places = [place for place, _ in read(str(tree))]
    assert places[0] == f"{tree}/a.csv, row 1 (line 2)"
    assert places[-2:] == [f"{tree}/part/d.jsonl.gz, row 1", f"{tree}/part/deep/e.parquet, row 1"]


def test_what_a_pattern_does_not_ask_for_is_not_looked_into(tree, monkeypatch):
    """A folder that cannot be listed, say; root can list all, so that it is counted here."""
    listed = []

    class Watched(pafs.LocalFileSystem):
        def get_file_info(self, what):
            if isinstance(what, pafs.FileSelector):
                listed.append(what.base_dir)
                assert not what.recursive
            return super().get_file_info(what)

    monkeypatch.setattr(pafs, "LocalFileSystem", Watched)
    assert asked(tree / "*.jsonl") == ["b"]
    assert asked(tree / "p*" / "*.gz") == ["d"]
    assert set(listed) == {str(tree), str(tree / "part")}


def test_a_link_back_is_not_followed(tree):
    (tree / "part" / "back").symlink_to(tree)
    assert asked(tree) == list("abhde")
    (tree / "part" / "again").symlink_to(tree / "h")
    assert asked(tree) == list("abhhde")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (
            "**/*.jsonl",
            r"no pattern has a \*\*; name the folder, whose files are read at any depth",
        ),
        ("part/**", r"no pattern has a \*\*; name the folder"),
        ("p*", "no file fits this pattern, but folders do; name their files, as .*/p./.$"),
        ("*.none", "no file fits this pattern"),
        ("none/*.jsonl", "no file fits this pattern"),
        ("none", "there is no such file"),
        ("empty", "no file of this folder ends in .jsonl, .ndjson"),
    ],
)
def test_where_there_is_no_file_it_is_told(tree, path, says):
    (tree / "empty").mkdir()
    assert re.search(says, problem(lambda: list(read(f"{tree}/{path}"))))


def test_a_buckets_name_is_no_pattern():
    line = problem(lambda: files("s3://buck*/x.jsonl"))
    assert line == "s3://buck*/x.jsonl: a bucket's name takes no pattern"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("f.jsonl.gz", b"plain", "it cannot be read .zlib inflate failed"),
        (
            "f.jsonl.gz",
            gzip.compress(lines(row()).encode() * 99, mtime=0)[:40],
            "cannot be read .Truncated",
        ),
        ("f.jsonl.zst", b"plain", "it cannot be read"),
        (
            "f.parquet.gz",
            gzip.compress(parquet(question=["q"]), mtime=0),
            "Parquet compresses itself",
        ),
        ("f.jsonl.gz", gzip.compress(b"", mtime=0), "it has no rows"),
    ],
)
def test_a_packed_file_that_is_broken_is_told(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    line = problem(lambda: list(read(str(tmp_path / name))))
    assert line.startswith(str(tmp_path / name))
    assert re.search(says, line), line
