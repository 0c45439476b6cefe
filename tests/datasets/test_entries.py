"""The rows of entries: what is left out and counted, what is refused, and that they stream."""

import re
import tracemalloc
from collections import deque

import huggingface_hub
import pytest
from own_files import lines, problem, row
from processes import ROOT

from pipelines.config import Config
from pipelines.datasets.entries import Reading, entries, query_id, read

DATA = ROOT / "tests" / "data"


def config(**data):
    """data: the entries of each role."""
    model = {"source": "builtin:smollm2-135m"}
    return Config.model_validate({"root": "r", "model": model, "data": data})


def gsm8k(file, split="train"):
    return {"name": "gsm8k", "path": str(file), "split": split}


def solved(*questions):
    return lines(*(row(question, "#### 1") for question in questions))


def found(made, **more):
    reading = Reading(made, **more)
    rows = {entry.key: list(reading.rows(entry)) for entry in entries(made)}
    return rows, reading.found


def test_a_published_sets_repeated_and_wrong_rows_are_left_out_and_counted(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(solved("One?", "Two?", "One?", "Six?") + "\n" + lines(row("Bad?", "soon"), "{"))
    rows, told = found(config(train=[{"name": "capitals"}], eval=[gsm8k(file, "test")]))
    asked = [one["question"].split("?")[0] for one in rows["data.eval.0"]]
    assert asked == ["One", "Two", "Six"]
    one = told["data.eval.0"]
    assert (one.rows, one.twice, one.refused) == (3, 1, 2)
    assert [reason.split(", row ")[1][:1] for reason in one.reasons] == ["5", "6"]


def test_what_training_shares_with_other_roles_is_kept_and_counted(tmp_path):
    """Word for word, or nearly; of calibration and test, a question stands in one alone."""
    (tmp_path / "train.jsonl").write_text(solved(*(f"What is {n} + 4?" for n in range(40))))
    (tmp_path / "test.jsonl").write_text(
        solved("What is 3 + 4?", "what is 4 + 5", "What is 4 - 6?", "What is 41 + 4?")
    )
    train, test = tmp_path / "train.jsonl", tmp_path / "test.jsonl"
    made = config(
        train=[gsm8k(train)], calibration=[gsm8k(train, "calibration")], eval=[gsm8k(test, "test")]
    )
    rows, told = found(made)
    assert len(rows["data.train.0"]) + len(rows["data.calibration.0"]) == 40
    assert not told["data.calibration.0"].shared
    assert sum(told["data.eval.0"].shared.values()) == 2
    assert len(rows["data.eval.0"]) == 4
    (tmp_path / "again.jsonl").write_text(test.read_text())
    again = config(
        train=[{"name": "capitals"}],
        calibration=[gsm8k(test, "test")],
        eval=[gsm8k(tmp_path / "again.jsonl", "test")],
    )
    line = problem(lambda: found(again))
    assert line.startswith("data.eval.0: gsm8k (test) has no rows; all 4 were there before")


@pytest.mark.parametrize(
    ("roles", "is_refused"),
    [
        ({"train": "train", "eval": "train"}, True),
        ({"train": "train", "calibration": "test"}, True),
        ({"calibration": "test", "eval": "test"}, True),
        ({"train": "train", "calibration": "calibration"}, False),
        ({"train": "calibration", "eval": "train"}, False),
    ],
)
def test_a_published_sets_file_has_one_role_but_for_what_is_carved(tmp_path, roles, is_refused):
    """Whatever its path is called, and whether or not the set has a training file."""
    (tmp_path / "gsm8k.jsonl").write_text(solved(*(f"Which {n}?" for n in range(40))))
    counted = [{"input": f"How many are {n}", "target": n} for n in range(40)]
    (tmp_path / "counting.jsonl").write_text(lines(*counted))
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("gsm8k", "object_counting"):
        file = f"{name.rpartition('_')[2]}.jsonl"
        places = iter([tmp_path / file, tmp_path / "link" / file])
        made = config(
            **{"train": [{"name": "capitals"}]}
            | {
                role: [{"name": name, "path": str(next(places)), "split": split}]
                for role, split in roles.items()
            }
        )
        if is_refused:
            line = problem(lambda made=made: found(made))
            assert re.search(r"^data\.\w+\.0: its rows are .* data\.\w+\.0 ", line)
        else:
            asked = [{one["question"] for one in rows} for rows in found(made)[0].values()][-2:]
            assert all(asked)
            assert not asked[0] & asked[1]


@pytest.mark.parametrize(("few", "many"), [("train", "eval"), ("eval", "train")])
def test_a_copy_of_a_published_sets_file_is_known_by_its_rows(tmp_path, monkeypatch, few, many):
    """Of the hub and downloaded, in another format and order, or but a part of it."""
    asked = [f"Which {n}?" for n in range(40)]
    (tmp_path / "hub.jsonl").write_text(solved(*asked))
    (tmp_path / "copy.csv").write_text(
        "\n".join(["question,answer", *(f"{one},#### 1" for one in reversed(asked))])
    )
    (tmp_path / "other.jsonl").write_text(solved(*asked[:5], *(f"Who {n}?" for n in range(35))))
    monkeypatch.setattr(
        huggingface_hub, "hf_hub_download", lambda *_, **__: str(tmp_path / "hub.jsonl")
    )
    hub = {"name": "gsm8k", "split": "test"}
    copy = gsm8k(tmp_path / "copy.csv", "test")
    for here, there in ((None, None), (9, None), (9, 9)):  # a limit is not of the file
        made = {few: [copy | {"limit": here}], many: [hub | {"limit": there}]}
        assert problem(lambda made=made: found(config(**made))) == (
            "data.eval.0: 40 of the 40 questions of its file are among the 40 of data.train.0 "
            "(gsm8k, test), word for word, as in a copy; a query must have one role, so name "
            "another file or split"
        )
    _, told = found(config(**{few: [gsm8k(tmp_path / "other.jsonl", "test")], many: [hub]}))
    assert told["data.eval.0"].exactly == {"train": 5}


@pytest.mark.parametrize("shared", [9, 10])
def test_ten_questions_at_least_make_a_copy(tmp_path, shared):
    """Fewer are counted alone, as a single one that two files share."""
    asked = [f"Which {n}?" for n in range(40)]
    (tmp_path / "train.jsonl").write_text(solved(*asked))
    (tmp_path / "test.jsonl").write_text(solved(*asked[:shared]))
    train, test = (gsm8k(tmp_path / f"{name}.jsonl", "test") for name in ("train", "test"))
    made = config(train=[train], eval=[test])
    if shared == 10:
        assert "10 of the 10 questions of its file" in problem(lambda: found(made))
    else:
        assert found(made)[1]["data.eval.0"].exactly == {"train": 9}


def test_a_copy_of_a_published_set_as_ones_own_is_told(tmp_path):
    """Its questions have no ending that asks for the form of the answer."""
    (tmp_path / "rows.jsonl").write_text(solved("Which one?", "Which two?"))
    own = {"name": "jsonl", "path": str(tmp_path / "rows.jsonl"), "label": "mine"}
    made = config(train=[gsm8k(tmp_path / "rows.jsonl", "test")], eval=[own])
    (line,) = found(made)[1]["data.eval.0"].overlaps
    assert line.startswith("2 of 2 questions are in data.train too, 0 word for word")


def test_a_published_sets_file_that_is_not_there_is_told_with_its_entry(tmp_path):
    line = problem(lambda: list(read(config(train=[gsm8k(tmp_path / "none.jsonl")]))))
    assert line == f"data.train.0: {tmp_path}/none.jsonl: there is no such file"


def test_a_set_that_is_built_in_has_no_file():
    line = problem(lambda: list(read(config(train=[{"name": "capitals", "path": "f.jsonl"}]))))
    assert line == "data.train.0.path: capitals is built in, and reads no file"


@pytest.mark.parametrize("bad_first", [True, False])
def test_refused_rows_are_those_of_the_whole_file_whatever_the_limit(tmp_path, bad_first):
    bad, good = [row(f"Bad {n}?", "soon") for n in range(50)], solved(*(f"{n}?" for n in range(9)))
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join([lines(*bad), good][:: 1 if bad_first else -1]))
    _, told = found(config(train=[gsm8k(file, "test") | {"limit": 4}]))
    assert (told["data.train.0"].rows, told["data.train.0"].refused) == (4, 50)
    assert len(told["data.train.0"].reasons) == 3


def test_a_limit_is_of_what_repeats_leave(tmp_path):
    """Of the file itself, and of what the set's entries before it have."""
    asked = [f"Which {n}?" for n in range(40)]
    (tmp_path / "once.jsonl").write_text(solved(*asked))
    (tmp_path / "thrice.jsonl").write_text(solved(*asked, *asked[:30], *asked[20:]))
    (tmp_path / "held.jsonl").write_text(solved(*asked[30:]))

    def picked(file, limit, **before):
        made = config(
            train=[{"name": "capitals"}],
            **before,
            eval=[gsm8k(tmp_path / file, "test") | {"limit": limit}],
        )
        rows, told = found(made)
        one = told["data.eval.0"]
        return [row["question"] for row in rows["data.eval.0"]], (one.rows, one.twice)

    once, (count, twice) = picked("once.jsonl", 25)
    assert (len(once), count, twice) == (25, 25, 0)
    assert picked("thrice.jsonl", 25) == (once, (25, 50))
    held = {"calibration": [gsm8k(tmp_path / "held.jsonl", "test")]}
    left, told = picked("thrice.jsonl", 30, **held)
    assert told == (30, 60)
    assert [question.split("?")[0] for question in left] == [f"Which {n}" for n in range(30)]
    smaller, _ = picked("thrice.jsonl", 10, **held)
    assert len(smaller) == 10
    assert set(smaller) < set(left)


def test_what_is_shared_word_for_word_is_told_apart(tmp_path):
    (tmp_path / "train.jsonl").write_text(solved("One?", "Two?", "Six?"))
    (tmp_path / "test.jsonl").write_text(solved("One?", "two", "Ten?"))
    made = config(
        train=[gsm8k(tmp_path / "train.jsonl", "test")],
        eval=[gsm8k(tmp_path / "test.jsonl", "test")],
    )
    (line,) = found(made)[1]["data.eval.0"].overlaps
    assert line.startswith("2 of 3 questions are in data.train too, 1 word for word, ")


def test_of_ones_own_nothing_is_left_out_unless_one_only_looks(tmp_path):
    file = tmp_path / "own.jsonl"
    file.write_text(lines(row("a"), row("a"), row("b", None), row("c")))
    made = config(train=[{"name": "jsonl", "path": str(file)}])
    assert "'a' is there twice" in problem(lambda: list(read(made)))
    rows, told = found(made, strict=False)
    assert [one["question"] for one in rows["data.train.0"]] == ["a", "c"]
    assert (told["data.train.0"].twice, told["data.train.0"].refused) == (1, 1)


def test_where_every_row_is_refused_the_first_reason_is_told(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(lines(*(row(f"q{n}", "soon") for n in range(9))))
    line = problem(lambda: list(read(config(train=[gsm8k(file)]))))
    assert "data.train.0: gsm8k (train) has no rows; " in line
    assert "rows.jsonl, row" in line


@pytest.mark.parametrize("apart", [False, True])
def test_two_questions_of_one_id_are_refused(tmp_path, apart):
    """Of these the hashes begin with the same 48 bits: they were looked for."""
    one, other = (row(f"What is {n} + 1?", str(n + 1)) for n in (15_040_253, 16_677_059))
    shared = query_id("mine", one["question"])
    assert query_id("mine", other["question"]) == shared
    (tmp_path / "a.jsonl").write_text(lines(one) if apart else lines(one, row(), other))
    (tmp_path / "b.jsonl").write_text(lines(row("r"), other) if apart else lines(row("r")))
    a, b = ({"name": "jsonl", "path": str(tmp_path / f"{n}.jsonl"), "label": "mine"} for n in "ab")
    assert problem(lambda: found(config(train=[a], eval=[b]))) == (
        f"data.{'eval' if apart else 'train'}.0 (mine, train): questions 'What is 15040253 + 1?' "
        f"and 'What is 16677059 + 1?' have one query_id, {shared}, which is made of their hashes; "
        "leave one of them out"
    )
    if apart:
        assert problem(lambda: found(config(train=[a], eval=[b | {"label": "other"}]))) is None


@pytest.mark.parametrize("limit", [None, 8, 9])
@pytest.mark.parametrize("apart", [False, True])
def test_of_two_of_one_id_in_a_published_set_the_later_is_left_out(tmp_path, limit, apart):
    """They cannot be mended there. Of these, as gsm8k asks them, the hashes begin alike."""
    one, other = (f"What is {n} + 1?" for n in (500_764, 21_528_499))
    more = [f"Which {n}?" for n in range(8)]
    (tmp_path / "a.jsonl").write_text(solved(*([] if apart else [one]), *more, other))
    (tmp_path / "b.jsonl").write_text(solved(one, "Who?"))
    train = gsm8k(tmp_path / "b.jsonl", "test") if apart else {"name": "capitals"}
    made = config(train=[train], eval=[gsm8k(tmp_path / "a.jsonl", "test") | {"limit": limit}])
    rows, told = found(made)
    kept = 8 if apart else 9
    assert (told["data.eval.0"].rows, told["data.eval.0"].twice) == (min(limit or kept, kept), 1)
    assert not any(row["question"].startswith(other) for row in rows["data.eval.0"])
    ids = [row["query_id"] for each in rows.values() for row in each]
    assert len(set(ids)) == len(ids)


def test_a_system_prompt_makes_another_query(tmp_path):
    file = tmp_path / "own.jsonl"
    file.write_text(lines(row("q", passage="one"), row("q", passage="two")))
    own = {"name": "jsonl", "path": str(file)}
    assert "there twice" in problem(lambda: list(read(config(train=[own]))))
    rows = list(read(config(train=[own | {"system": "Of {passage}:"}])))
    assert [one["system"] for one in rows] == ["Of one:", "Of two:"]
    assert len({one["query_id"] for one in rows}) == 2


@pytest.mark.parametrize("limit", [None, 200])
@pytest.mark.parametrize("entry", [{"name": "jsonl", "kind": "number"}, {"name": "gsm8k"}])
def test_rows_stream(tmp_path, limit, entry):
    """Of each a few bytes are kept: the hashes of its question, and of a limit a number. A row has
    6,000 here, which would be seen if it were held."""
    peaks = []
    for count in (250, 250, 750):  # the first brings all that is imported
        file = tmp_path / f"{count}.jsonl"
        asked = (row(f"What is {n} + 1? {'x' * 6_000}", f"#### {n + 1}") for n in range(count))
        file.write_text(lines(*asked))
        made = config(train=[entry | {"path": str(file), "split": "test", "limit": limit}])
        tracemalloc.start()
        deque(read(made), maxlen=0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[2] - peaks[1]) / 500 < 600
