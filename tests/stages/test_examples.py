"""Which responses become training examples."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config import Config
from pipelines.method.consistency import soft_self_consistency
from pipelines.stages.examples import candidates, choose, responses, run
from pipelines.storage.location import Location
from pipelines.storage.schemas import EXAMPLES, LABELS, QUERIES

rng = np.random.default_rng(0)
TARGETS = np.concatenate([rng.uniform(0, 0.3, 400), rng.uniform(0.3, 0.75, 60), np.ones(200)])


def pick(targets=TARGETS, total=200, ratio=0.3, seed=0):
    return choose(targets, total=total, generation_ratio=ratio, eta=0.75, bin_width=0.05, seed=seed)


def test_generation_examples_are_above_eta_and_calibration_examples_are_balanced():
    chosen = pick()
    generation = [i for i, task in chosen if task == "generation"]
    calibration = [i for i, task in chosen if task == "calibration"]
    assert (len(generation), len(calibration)) == (60, 140)
    assert (TARGETS[generation] > 0.75).all()
    bins = Counter(min(int(TARGETS[i] / 0.05 + 1e-6), 19) for i in calibration)
    available = Counter(min(int(t / 0.05 + 1e-6), 19) for t in TARGETS)
    # Bins that were not emptied gave equally many, within one.
    full = [count for name, count in bins.items() if count < available[name] - 60 * (name == 19)]
    assert max(full) - min(full) <= 1


def test_no_response_is_drawn_twice():
    indices = [i for i, _ in pick(total=10_000)]
    assert len(indices) == len(set(indices)) == len(TARGETS)


def test_the_draw_is_seeded():
    assert pick(seed=1) == pick(seed=1)
    assert pick(seed=1) != pick(seed=2)


def test_tasks_are_mixed():
    tasks = [task for _, task in pick()]
    assert 0 < tasks[:40].count("generation") < 40


@pytest.mark.parametrize(("ratio", "kinds"), [(0.0, {"calibration"}), (1.0, {"generation"})])
def test_extreme_ratios(ratio, kinds):
    assert {task for _, task in pick(ratio=ratio, total=100)} == kinds


def test_nothing_to_choose_from():
    assert pick(np.array([])) == []


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
    numbers, targets = candidates(artifact(tmp_path / "label", [SECOND], [FIRST]), target)
    assert numbers.tolist() == [1, 2, 0]
    assert targets == pytest.approx(expected)


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
    config = Config.model_validate(
        {
            "root": "r", "model": {"source": str(tiny)},
            "data": {"train": [{"name": "capitals"}]}, "examples": {"total": 200},
        }
    )  # fmt: skip
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
        of, index = by_id[one["query_id"]], int(one["example_id"].rpartition("-")[2])
        share = soft_self_consistency(
            [s["answer"] for s in of["samples"]],
            [np.float32(s["p_true"]) for s in of["samples"]],
        )
        assert one["response_ids"] == of["response_ids"][index]
        assert one["target"] == pytest.approx(share[index], abs=1e-6)
