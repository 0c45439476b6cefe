"""What jobs.inspect says of a label artifact."""

import io
import json
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import inspect
from pipelines.datasets import LOADERS, Row
from pipelines.storage.schemas import COUNTERS, LABELS


def sample(answer, p_true, reason="stop", tokens=10, mass=1.0):
    return {
        "answer": answer, "p_true": p_true, "mass": mass, "finish_reason": reason,
        "num_tokens": tokens,
    }  # fmt: skip


@pytest.fixture
def root(tmp_path):
    def row(dataset, *samples, scored):
        masses = [one["mass"] for one in samples[:scored]]  # equal responses are scored once
        counters = dict.fromkeys(COUNTERS.names, 0)
        counters |= {"scored_responses": scored, "mass": sum(masses)}
        asked = {"kind": "text", "reference": "4"}
        return {"dataset": dataset, **asked, "samples": samples, "counters": counters}

    rows = [
        row("a", sample("4", 0.95), sample("4", 1.0), sample("5", 0.12), scored=3),
        row("a", *[sample(None, 0.31, "length", 30, 0.4) for _ in range(3)], scored=1),
        row("b", *[sample("x", 0.5) for _ in range(3)], scored=2),
    ]
    artifact = tmp_path / "label-12345678"
    artifact.mkdir()
    for number, row in enumerate(rows):
        pq.write_table(pa.Table.from_pylist([row], schema=LABELS), artifact / f"{number}.parquet")
    (tmp_path / "latest.json").write_text(json.dumps({"label": str(artifact)}))
    return tmp_path


def test_it_counts_samples_answers_and_confidences(root, capsys):
    assert inspect.main([str(root)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "label-12345678, unfinished" in said
    assert "2 a, 1 b" in said
    assert "9, 3 a query" in said
    assert "150, 16.7 a sample" in said
    assert "agreement 0.556" in said  # (2/3 + 0 + 1) / 3
    assert "mass 0.9 (of Yes and No" in said  # (3 + 0.4 + 2) / 6, as in the manifest
    assert "unparsed 3 (33.3%)" in said
    assert "failed 1 (33.3%)" in said
    assert "cut 3 (33.3%)" in said
    assert "0.9-1.0 2" in said
    assert "0.5-0.6 3" in said
    assert "warning b: 0.0% of the responses are right" in said
    assert "warning a: 50% of the responses were cut at sampling.max_tokens" in said


def test_a_finished_artifact_is_named_as_such(root, capsys):
    (root / "label-12345678" / "_MANIFEST.json").write_text("{}")
    assert inspect.main([str(root / "label-12345678")]) == 0
    assert "label-12345678, complete" in capsys.readouterr().out


def test_a_root_whose_first_label_stage_is_still_at_work_is_looked_into(root, capsys):
    (root / "latest.json").write_text(json.dumps({"queries": "elsewhere"}))
    assert inspect.main([str(root)]) == 0
    assert "label-12345678, unfinished" in capsys.readouterr().out


def test_of_several_that_were_begun_one_wants_to_be_named(root, capsys):
    """Of configs that were changed, or run side by side, before a first label stage was done."""
    (root / "latest.json").unlink()
    (root / "label-87654321").mkdir()
    assert inspect.main([str(root)]) == 2
    said = capsys.readouterr().err
    assert said == (
        f"error: {root}: no label stage is done, and 2 were begun: label-12345678, "
        "label-87654321; name one of these directories\n"
    )


def test_an_unfinished_one_beside_the_newest_is_named(root, capsys):
    """Of a config that was changed and is labeling; done ones are older, or another config's."""
    newest = root / "label-12345678"
    (newest / "_MANIFEST.json").write_text("{}")
    for name in ("label-87654321", "label-00000000", "label_variant-1"):
        (root / name).mkdir()
    (root / "label-00000000" / "_MANIFEST.json").write_text("{}")
    assert inspect.main([str(root)]) == 0
    said = capsys.readouterr().out
    assert "label-12345678, complete\n" in said
    line = "unfinished label-87654321 beside it; name a directory to look into that one"
    assert [one for one in said.splitlines() if one.startswith("unfinished")] == [line]
    assert inspect.main([str(newest)]) == 0  # which was named
    assert "\nunfinished" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("nowhere", "nothing is there"),
        (".", "neither a label artifact nor the root"),
        ("file", "neither a label artifact nor the root"),
    ],
)
def test_another_place_is_refused(tmp_path, capsys, place, says):
    (tmp_path / "file").touch()
    assert inspect.main([str(tmp_path / place)]) == 2
    assert says in capsys.readouterr().err


def test_an_artifact_without_rows_is_told(tmp_path, capsys):
    (tmp_path / "label-1").mkdir()
    assert inspect.main([str(tmp_path / "label-1")]) == 2
    assert "no Parquet file" in capsys.readouterr().err


def test_a_file_that_is_being_written_is_left_out(root, capsys):
    artifact = root / "label-12345678"
    assert inspect.main([str(root)]) == 0
    said = capsys.readouterr().out
    whole = (artifact / "0.parquet").read_bytes()
    (artifact / "begun.parquet").touch()
    (artifact / "half.parquet").write_bytes(whole[: len(whole) // 2])
    assert inspect.main([str(root)]) == 0
    assert capsys.readouterr().out == said
    (artifact / "_MANIFEST.json").write_text("{}")
    assert inspect.main([str(root)]) == 2
    assert "Parquet" in capsys.readouterr().err


def test_storage_that_is_out_of_reach_is_one_line(capsys, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert inspect.main(["s3://artifacts/label-1"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: s3://artifacts/label-1: there is no such AWS profile")
    assert said.count("\n") == 1


def test_a_first_look_at_data_says_what_would_stop_a_run(tmp_path, capsys):
    (tmp_path / "own.jsonl").write_text('{"question": "q", "answer": "soon"}')
    (tmp_path / "config.yaml").write_text(
        f"{{root: r, model: {{source: {tmp_path}/none}}, data: {{train: [{{name: capitals}}], "
        f"eval: [{{name: jsonl, path: {tmp_path}/own.jsonl}}]}}}}"
    )
    looked = ["--data", str(tmp_path / "config.yaml")]
    assert inspect.main(looked) == 0
    said = capsys.readouterr().out
    assert "data.train.0 (capitals, train)\n" in said
    assert "rows: 105; 0 refused" in said
    assert inspect.main([*looked, "--set", "data.eval.0.kind=number"]) == 2
    said = capsys.readouterr()
    assert "refused: " in said.out
    assert said.err.startswith(
        "error: a run would stop: data.eval.0: jsonl (train) has no rows; 1 "
    )
    assert said.err.count("\n") == 1


def test_a_look_that_takes_long_says_how_far_it_is(tmp_path, monkeypatch):
    said = threading.Event()

    class Stderr(io.StringIO):
        def write(self, text):
            if text == "data.train.0 (capitals, train): 2 rows so far":
                said.set()
            return super().write(text)

    def load(config, seed, refused):
        yield from (Row(question, "a", "text") for question in "qr")
        assert said.wait(60)  # it goes on to be read once that is told
        yield Row("s", "a", "text")

    monkeypatch.setattr(inspect, "TOLD_EVERY", 0.01)
    monkeypatch.setitem(LOADERS, "capitals", load)
    monkeypatch.setattr("sys.stderr", Stderr())
    (tmp_path / "config.yaml").write_text(
        f"{{root: r, model: {{source: {tmp_path}/none}}, data: {{train: [{{name: capitals}}]}}}}"
    )
    assert inspect.main(["--data", str(tmp_path / "config.yaml")]) == 0


def test_either_an_artifact_or_data_are_inspected(capsys):
    wrong = ["somewhere", "--data", "config.yaml"], ["somewhere", "--set", "seed=1"]
    for arguments in ([], *wrong):
        with pytest.raises(SystemExit):
            inspect.main(arguments)
    assert capsys.readouterr().out == ""
