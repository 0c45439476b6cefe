"""Which responses become training examples."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config import Config
from pipelines.method.consistency import soft_self_consistency
from pipelines.stages.examples import candidates, responses, run
from pipelines.storage.location import Location
from pipelines.storage.schemas import EXAMPLES, LABELS, QUERIES


def query(name, *samples):
    """A row of labels; samples: (answer, P(True), token ids)."""
    row = dict.fromkeys(QUERIES.names, "") | {
        "query_id": name,
        "choices": None,
        "prompt_ids": [1, 2],
    }
    given = enumerate(samples)
    return row | {
        "dataset": f"of {name}",
        "samples": [
            {"index": i, "answer": answer, "p_true": c, "finish_reason": ["stop", "length"][i % 2]}
            for i, (answer, c, _) in given
        ],
        "response_ids": [ids for _, _, ids in samples],
    }


def config_of(tiny, **examples):
    return Config.model_validate(
        {
            "root": "r", "model": {"source": str(tiny)},
            "data": {"train": [{"name": "capitals"}]}, "examples": examples,
        }
    )  # fmt: skip


def artifact(directory, *files):
    directory.mkdir()
    for number, rows in enumerate(files):
        pq.write_table(pa.Table.from_pylist(rows, LABELS), directory / f"{number}.parquet")
    return Location.of(str(directory))


FIRST = query("a", ("x", 0.6, [5]), ("y", 0.2, [6, 6]), (None, 0.9, [7]), ("x", 0.2, []))
SECOND = query("b", ("z", 0.5, [8]))


@pytest.mark.parametrize(
    ("target", "expected"),
    [("ssc", [0.8, 0.2, 1]), ("vote", [2 / 3, 1 / 3, 1]), ("p_true", [0.6, 0.2, 0.5])],
)
def test_parsed_and_nonempty_responses_are_candidates_in_order_of_their_query(
    target, expected, tmp_path
):
    label = artifact(tmp_path / "label", [SECOND], [FIRST])
    numbers, ssc, targets, sets = candidates(label, target)
    assert numbers.tolist() == [1, 2, 0]
    assert ssc == pytest.approx([0.8, 0.2, 1])
    assert targets == pytest.approx(expected)
    assert sets.tolist() == [0, 0, 1]


@pytest.mark.parametrize(("draw", "loss"), [("natural", "own"), ("even", "joint")])
def test_another_target_changes_the_targets_alone(draw, loss, tiny, tmp_path):
    """The same responses, with the same losses: by P(True) or votes others would be above eta."""
    draws = np.random.default_rng(0)
    rows = [
        query(f"{i:03}", *((str(draws.integers(2)), draws.uniform(), [i, j]) for j in range(4)))
        for i in range(50)
    ]
    rows.append(query("zero", ("x", 0.0, [5]), ("y", 0.0, [6])))  # with votes, but without SSC
    label = artifact(tmp_path / "label", rows)
    found = {}
    for target in ("ssc", "vote", "p_true"):
        out = Location.of(str(tmp_path / target))
        out.make_dir()
        config = config_of(tiny, total=60, target=target, draw=draw, loss=loss)
        run(config, {"label": label}, out)
        found[target] = pq.read_table(tmp_path / target / "examples.parquet")
    others = [name for name in EXAMPLES.names if name != "target"]
    assert {"generation" if loss == "own" else "both"} < set(found["ssc"]["task"].to_pylist())
    for target in ("vote", "p_true"):
        assert found[target].select(others).equals(found["ssc"].select(others))
        assert not found[target]["target"].equals(found["ssc"]["target"])


def test_a_response_is_found_by_its_number(tmp_path):
    found = responses(artifact(tmp_path / "label", [SECOND], [FIRST]), np.array([2, 0, 1]))
    assert found.to_pylist() == [
        {
            "example_id": f"{name}-{index}", "query_id": name, "dataset": f"of {name}",
            "prompt_ids": [1, 2], "response_ids": ids, "ended": index == 0,
        }
        for name, index, ids in (("a", 1, [6, 6]), ("b", 0, [8]), ("a", 0, [5]))
    ]  # fmt: skip


def test_the_artifact_does_not_depend_on_the_order_of_the_labels(tiny, tmp_path):
    """Rows and files of labels lie in the order in which queries ended. Many, in several reads."""
    draws = np.random.default_rng(0)
    rows = [
        query(f"{i:03}", *((str(draws.integers(3)), draws.uniform(), [i, j]) for j in range(8)))
        for i in range(600)
    ]
    mixed = [rows[i] for i in draws.permutation(600)]
    config = config_of(tiny, total=200)
    tables = []
    for name, files in (("one", [rows]), ("many", [mixed[:100], mixed[100:101], mixed[101:]])):
        out = Location.of(str(tmp_path / name))
        out.make_dir()
        result = run(config, {"label": artifact(tmp_path / f"label-{name}", *files)}, out)
        assert result.rows == 200
        tables.append(pq.read_table(tmp_path / name / "examples.parquet"))
    assert tables[0].schema.equals(EXAMPLES)
    assert tables[0].equals(tables[1])
    by_id = {row["query_id"]: row for row in rows}
    for one in tables[0].to_pylist():
        query_id, index, pool = one["example_id"].split("-")
        assert (query_id, pool) == (one["query_id"], one["task"])
        of, index = by_id[query_id], int(index)
        share = soft_self_consistency(
            [s["answer"] for s in of["samples"]],
            [np.float32(s["p_true"]) for s in of["samples"]],
        )
        assert one["response_ids"] == of["response_ids"][index]
        assert one["target"] == pytest.approx(share[index], abs=1e-6)


def test_a_response_of_both_pools_is_two_rows(tiny, tmp_path):
    label = artifact(tmp_path / "label", [SECOND])
    run(config_of(tiny, total=2, generation_ratio=0.5), {"label": label}, label)
    rows = pq.read_table(tmp_path / "label" / "examples.parquet").to_pylist()
    assert {(row["example_id"], row["task"], row["weight"]) for row in rows} == {
        ("b-0-calibration", "calibration", 1.0),
        ("b-0-generation", "generation", 1.0),
    }
    assert [row["response_ids"] for row in rows] == [[8], [8]]


def test_calibration_examples_have_the_weights_of_their_bins(tiny, tmp_path):
    """Of 30 responses at .2 and 10 at .8 as many are drawn: 8 each, for three quarters and one."""
    rows = [
        query(f"{i}", ("x", 0.8, [5]), *(("y", 0.2 / 3, [6]) for _ in range(3))) for i in range(10)
    ]
    label, out = artifact(tmp_path / "label", rows), Location.of(str(tmp_path))
    config = config_of(
        tiny, total=16, generation_ratio=0.0, draw="weighted", quotas=False, bin_width=0.5
    )
    run(config, {"label": label}, out)
    rows = pq.read_table(tmp_path / "examples.parquet").to_pylist()
    found = sorted((round(row["target"], 3), row["weight"]) for row in rows)
    assert found == [(0.2, 1.5)] * 8 + [(0.8, 0.5)] * 8


def test_no_response_is_above_eta(tiny, tmp_path):
    label = artifact(tmp_path / "label", [SECOND])
    config = config_of(tiny, generation_ratio=1.0, eta=1.0)
    with pytest.raises(ValueError, match=r"examples.eta \(1.0\): no response has a label above it"):
        run(config, {"label": label}, Location.of(str(tmp_path)))
