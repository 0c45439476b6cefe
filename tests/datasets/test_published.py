"""Published sets: rows in their publishers' fields, splits, and where they lie."""

import json
import re
from pathlib import Path

import httpx2
import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from own_files import problem
from processes import ROOT

from pipelines.config import DatasetConfig
from pipelines.datasets import LOADERS
from pipelines.datasets.published import SETS
from pipelines.datasets.published.table import how, table
from pipelines.datasets.records import fail, read

DATA = ROOT / "tests" / "data"
ABCD = ("Li", "Wang", "Both", "Neither")
STREET = ("It rains.", "It will rain.", "It does not rain.", "Nothing.")
TEN = tuple("ABCDEFGHIJ")
# set, file: the choices and the answer of each row, or the answer alone
ROWS = [
    ("gsm8k", "gsm8k.jsonl", ["72", "10", "5"]),
    ("svamp", "svamp.jsonl", ["51.0", "1.0"]),
    ("object_counting", "object_counting.jsonl", ["8", "15", "3"]),
    ("commonsense_qa", "published/commonsense_qa.jsonl", [
        (("river", "cupboard", "engine", "forest", "cloud"), "B"),
        (("hats", "gloves", "scarves", "rings", "boots"), "E")]),
    ("openbookqa", "published/openbookqa.jsonl", [
        (("sound alone", "light and heat", "water", "wood"), "B"),
        (("glass", "clay", "iron", "paper"), "C")]),
    # Labels of 1 to 4, and E; a label counts, whatever another choice's text is.
    ("arc_easy", "published/arc.jsonl", [
        (("Monday", "winter", "noon", "June"), "B"),
        (("2", "4", "6", "8"), "C"),
        (("B", "A", "AB", "none", "O"), "E"),
        (("B", "D", "E"), "A")]),
    ("arc_challenge", "published/arc.jsonl", [(("Monday", "winter", "noon", "June"), "B")]),
    ("winogrande", "published/winogrande.jsonl", [
        (("trunk", "seat"), "A"), (("Ann", "Mia"), "B")]),
    ("reclor", "published/reclor.json", [
        (("Kim is a member.", "Kim is no member.", "Nobody skis.", "All who ski are members."),
         "B"),
        (("Rain makes people buy umbrellas.", "June is dry everywhere.", "Umbrellas are cheap.",
          "The shop sells nothing else."), "A")]),
    ("logiqa", "published/logiqa.jsonl", [(ABCD, "A"), (STREET, "C")]),
    ("logiqa", "published/logiqa_labeled.jsonl", [(ABCD, "A"), (STREET, "C")]),
    ("math_qa", "published/math_qa.jsonl", [
        (("38", "76", "77.5", "data inadequate", "none of these"), "B"),
        (("rs . 1 , 500", "rs . 2 , 000", "rs . 2 , 250", "rs . 3 , 000", "rs . 2 , 500"), "E"),
        (("1 / 8", "1 / 4", "1 / 2", "3 / 4", "1"), "A")]),
    ("math500", "published/math500.jsonl", [
        "\\frac{3}{4}", "\\left( 3, \\frac{\\pi}{2} \\right)"]),
    ("aime", "published/aime.jsonl", ["025", "204"]),
    ("mmlu_pro", "published/mmlu_pro.jsonl", [(TEN, "J"), (("4", "6", "7"), "C")]),
]  # fmt: skip
SHUFFLED = [("sciq", "published/sciq.jsonl"), ("gpqa", "published/gpqa.csv")]
EACH = [(name, file) for name, file, _ in ROWS] + SHUFFLED


def load(name, path, split="test", seed=0, refused=fail, **more):
    config = DatasetConfig(name=name, split=split, path=str(path), **more)
    return list(LOADERS[name](config, seed, refused))


def test_each_set_is_read_here():
    assert {name for name, _ in EACH} == set(SETS)


@pytest.mark.parametrize(("name", "file", "expected"), ROWS)
def test_rows_in_their_publishers_fields(name, file, expected):
    rows = load(name, DATA / file)
    made = [(row.choices, row.reference) if row.choices else row.reference for row in rows]
    assert made[: len(expected)] == expected
    for row in rows:
        for letter, text in zip("ABCDEFGHIJ", row.choices or (), strict=False):
            assert f"\n({letter}) {text}\n" in row.question


@pytest.mark.parametrize(("name", "file"), EACH)
def test_rows_are_the_same_of_a_parquet_file(tmp_path, name, file):
    """As the hub has most of them."""
    records = [fields for _, fields in read(str(DATA / file))]
    plain = json.loads(json.dumps(records, default=lambda n: float(n) if "." in str(n) else int(n)))
    pq.write_table(pa.Table.from_pylist(plain), tmp_path / "rows.parquet")
    assert load(name, tmp_path / "rows.parquet") == load(name, DATA / file)


@pytest.mark.parametrize(("name", "file"), EACH)
def test_a_set_tells_the_fields_that_it_reads(name, file):
    class Watched(dict):
        def __getitem__(self, key):
            asked.add(key)
            return super().__getitem__(key)

    asked = set()
    for place, fields in read(str(DATA / file)):
        SETS[name].ask((place, Watched(fields)))
    if file != "published/logiqa_labeled.jsonl":  # another's layout
        assert asked == set(SETS[name].fields)


@pytest.mark.parametrize(("name", "file"), SHUFFLED)
def test_an_answer_that_comes_first_is_shuffled_always_in_the_same_way(tmp_path, name, file):
    records = [fields for _, fields in read(str(DATA / file))]
    rows = load(name, DATA / file)
    answer = "correct_answer" if name == "sciq" else "Correct Answer"
    for record, row in zip(records, rows, strict=True):
        assert row.choices["ABCD".index(row.reference)] == record[answer]
        assert len(set(row.choices)) == 4
    assert len({row.reference for row in rows}) > 1
    (tmp_path / "back.jsonl").write_text("\n".join(map(json.dumps, reversed(records))))
    assert load(name, tmp_path / "back.jsonl", seed=7) == rows[::-1]


def test_a_choice_of_several_lines_is_one():
    (first, *_) = load("gpqa", DATA / "published/gpqa.csv")
    assert "both" in first.choices
    assert first.question.startswith("Two lines of a spectrum lie\n10 nm apart.  Which instrument")


def test_calibration_is_carved_from_train_by_question(tmp_path):
    """A question's part is the same in another file, another order, and with another answer."""
    lines = [{"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(1_000)]
    (tmp_path / "one.jsonl").write_text("\n".join(map(json.dumps, lines)))
    turned = [line | {"answer": "#### 0"} for line in reversed(lines[:700])]
    (tmp_path / "two.jsonl").write_text("\n".join(map(json.dumps, turned)))
    train, held = (load("gsm8k", tmp_path / "one.jsonl", s) for s in ("train", "calibration"))
    assert len(train) + len(held) == 1_000
    assert 60 < len(held) < 140
    asked = [{row.question for row in rows} for rows in (train, held)]
    assert not asked[0] & asked[1]
    again = {row.question for row in load("gsm8k", tmp_path / "two.jsonl", "calibration")}
    assert again == asked[1] & {row.question for row in load("gsm8k", tmp_path / "two.jsonl")}


def group_of_twins(n, twin):
    noun = f"noun{n}"
    return {"sentence": f"{noun} {twin} _ {n}.", "option1": noun, "option2": "case", "answer": "1"}


def passage(n, twin):
    return {
        "context": f"Passage {n}.", "question": f"Which of {twin}?", "query": f"Who of {twin}?",
        "answers": ["x", "y"], "options": ["x", "y"], "label": 0, "correct_option": 0,
    }  # fmt: skip


def written_twice(n, twin):
    return {"question": (f"What is {n} + 4?", f"what is 4 + {n}")[twin], "answer": "#### 1"}


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("gsm8k", written_twice),
        ("winogrande", group_of_twins),
        ("reclor", passage),
        ("logiqa", passage),
    ],
)
def test_rows_that_go_together_are_in_one_part(tmp_path, name, made):
    """Of one sum, pair of options or passage."""
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(made(n, t)) for n in range(200) for t in (0, 1)))
    train, held = (load(name, file, split) for split in ("train", "calibration"))
    assert len(train) + len(held) == 400
    assert held
    numbers = [{tuple(re.findall(r"\d+", row.question)) for row in rows} for rows in (train, held)]
    if name == "gsm8k":
        numbers = [{tuple(sorted(one)) for one in part} for part in numbers]
    else:
        whole = re.compile(r"(?:Passage |noun)(\d+)")
        numbers = [{whole.search(row.question)[1] for row in rows} for rows in (train, held)]
    assert not numbers[0] & numbers[1]


def test_of_a_folder_a_split_is_its_own_file(tmp_path):
    """As `hf download` lays them."""
    records = [fields for _, fields in read(str(DATA / "gsm8k.jsonl"))]
    (tmp_path / "main").mkdir()
    for file, rows in zip(SETS["gsm8k"].files.values(), (records[:2], records[2:3]), strict=True):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / file)
    assert [row.reference for row in load("gsm8k", tmp_path)] == ["5"]
    parts = [load("gsm8k", tmp_path / "main", split) for split in ("train", "calibration")]
    assert {row.reference for rows in parts for row in rows} == {"72", "10"}
    (tmp_path / SETS["gsm8k"].files["test"]).rename(tmp_path / "main/other.parquet")
    line = problem(lambda: load("gsm8k", tmp_path))
    assert line.startswith(f"gsm8k: {tmp_path}: which of its 2 files has split test is not known")
    assert len(load("gsm8k", tmp_path / "main/*.parquet")) == 3  # as is said


@pytest.mark.parametrize(
    ("name", "fields", "says"),
    [
        ("gsm8k", {"question": "q", "answer": "soon"}, "answer 'soon' is not of kind number"),
        ("gsm8k", {"question": "q"}, r"there is no field 'answer' \(fields: question\)"),
        ("winogrande", {"sentence": "_", "option1": "a", "option2": "b", "answer": "3"},
         "answer '3' is none of the labels 1, 2"),
        ("reclor", {"context": "c", "question": "q", "answers": ["a", "b"], "label": 2},
         "answer '2' is none of 2, from 0 on"),
        ("reclor", {"context": "c", "question": "q", "answers": "a", "label": 0}, "is no list"),
        ("math_qa", {"Problem": "p", "options": "38 or 76", "correct": "a"}, "lists no choices"),
        ("math_qa", {"Problem": "p", "options": "a ) 1 , b ) 2", "correct": "e"}, "labels a, b"),
        ("math_qa", {"Problem": "p", "options": "a ) 1 , b ) 2 , d ) 4", "correct": "b"},
         r"choice b holds another's label \(2 , d \) 4\)"),
        ("math_qa", {"Problem": "p", "options": "a ) 1 , b ) 2 c ) 4", "correct": "b"},
         "choice b holds another's label"),
        ("math_qa", {"Problem": "p", "options": "a ) 1 , b ) 2 , c ) 2", "correct": "b"},
         "answer '2' is there twice among the choices"),
        ("sciq", {"question": "q", "correct_answer": "Cells", "distractor1": "cells",
                  "distractor2": "a", "distractor3": "b"}, "answer 'Cells' is there twice among"),
        ("arc_easy", {"question": "q", "choices": "A, B", "answerKey": "A"}, "choices: neither"),
    ],
)  # fmt: skip
def test_a_row_that_is_wrong_is_refused_with_its_place(tmp_path, name, fields, says):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(fields))
    refused = []
    assert load(name, file, refused=lambda error: refused.append(str(error))) == []
    (line,) = refused
    assert line.startswith(f"{file}, row 1: ")
    assert line.count(str(file)) == 1
    assert re.search(says, line), line


def test_a_split_that_is_not_there_is_told():
    line = problem(lambda: list(LOADERS["gpqa"](DatasetConfig(name="gpqa"), 0, fail)))
    assert line == "gpqa: split 'train' is none of test"
    line = problem(lambda: load("gsm8k", DATA / "gsm8k.jsonl", "validation"))
    assert line == "gsm8k: split 'validation' is none of train, calibration, test"


def test_without_a_path_it_is_fetched_at_its_revision(monkeypatch):
    asked = []

    def fetched(hub, file, *, repo_type, revision):
        asked.append((hub, file, repo_type, revision))
        return str(DATA / "gsm8k.jsonl")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetched)
    for split in ("train", "calibration", "test"):
        assert list(LOADERS["gsm8k"](DatasetConfig(name="gsm8k", split=split), 0, fail))
    files = [f"main/{one}-00000-of-00001.parquet" for one in ("train", "train", "test")]
    assert [one[1] for one in asked] == files
    assert {(hub, kind, len(at)) for hub, _, kind, at in asked} == {("openai/gsm8k", "dataset", 40)}


def test_each_set_is_pinned_to_a_commit():
    """A branch may have other rows tomorrow under the same fingerprint."""
    moving = {
        n: one.revision for n, one in SETS.items() if not re.fullmatch("[0-9a-f]{40}", one.revision)
    }
    assert not moving


def test_math_qas_choices_keep_what_is_their_own():
    of = SETS["math_qa"].ask
    for listed, choices in (
        ("a ) [ 0 , 4 ] , b ) ( 0 , 4 ]", ("[ 0 , 4 ]", "( 0 , 4 ]")),
        ("a ) 5 ' , b ) 5 \" , c ) 6", ("5 '", '5 "', "6")),
        ("['a ) 1 / 8', 'b ) [ 4 ]']", ("1 / 8", "[ 4 ]")),
        ("a ) a only , b ) b only , c ) a , b ) and c , d ) none",
         ("a only", "b only", "a , b ) and c", "none")),
    ):  # fmt: skip
        record = ("f, row 1", {"Problem": "p", "options": listed, "correct": "b"})
        assert of(record).choices == choices


@pytest.mark.parametrize("error", [LocalEntryNotFoundError("offline"), httpx2.ReadTimeout("slow")])
def test_where_the_hub_is_not_reached_the_command_that_fetches_is_told(monkeypatch, error):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fails)
    line = problem(lambda: list(LOADERS["gpqa"](DatasetConfig(name="gpqa", split="test"), 0, fail)))
    assert line.startswith("gpqa: could not fetch gpqa_diamond.csv of Idavidrein/gpqa from the hub")
    command = "hf download Idavidrein/gpqa gpqa_diamond.csv --repo-type dataset --revision 633f5ee"
    assert command in line


def test_the_readmes_tables_are_the_codes():
    page = Path(ROOT / "pipelines/datasets/README.md").read_text()
    assert table() in page
    assert how() in page
