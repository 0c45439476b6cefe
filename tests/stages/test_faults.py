"""Engines that are killed: replaced, and their rows retried."""

import threading

import pyarrow.parquet as pq
import pytest
from processes import command_line, descendants, kill
from waiting import once

from pipelines.config import Config
from pipelines.stages import label, queries
from pipelines.storage.location import Location

pytestmark = [pytest.mark.process, pytest.mark.long]

QUERIES = 24


def config(model, **engine):
    settings = {
        "dtype": "float32", "block_size": 32, "kv_cache_gib": 0.1, "max_model_len": 256,
        "enforce_eager": True, "max_num_seqs": 4,  # a query at a time: some to be killed in
    }  # fmt: skip
    return Config.model_validate(
        {
            "root": "r",
            "model": {"source": str(model)},
            "data": {"train": [{"name": "capitals", "limit": QUERIES}]},
            "sampling": {"num_samples": 4, "max_tokens": 40},
            "engine": settings | engine,
        }
    )


def run_label(made, directory):
    inputs = Location.of(str(directory / "queries"))
    out = Location.of(str(directory / "label"))
    for place in (inputs, out):
        place.make_dir()
    queries.run(made, {}, inputs, ("train",))
    result = label.run(made, {"queries": inputs}, out)
    rows = sorted(out.read_table().to_pylist(), key=lambda row: row["query_id"])
    for row in rows:
        del row["counters"]  # what it cost may differ
    return result, rows


@pytest.fixture(scope="module")
def undisturbed(tiny, ray_cluster, tmp_path_factory):
    return run_label(config(tiny), tmp_path_factory.mktemp("undisturbed"))


def engine_processes():
    """vLLM's engine processes: what the labeling actors of this one's Ray have spawned."""
    return [
        child
        for process in descendants("QueryLabeler")
        for child in process.children()
        if "multiprocessing.spawn" in command_line(child) or "EngineCore" in command_line(child)
    ]


def test_every_query_is_labeled_once(undisturbed):
    result, rows = undisturbed
    assert result.rows == len(rows) == len({row["query_id"] for row in rows}) == QUERIES
    assert {len(row["samples"]) for row in rows} == {4}


def test_what_vllm_refuses_is_one_line(tiny, ray_cluster, tmp_path):
    with pytest.raises(ValueError, match=r"^engine: vLLM does not start: .* heads \(2\)") as told:
        run_label(config(tiny, tensor_parallel_size=3), tmp_path)
    assert "\n" not in str(told.value)


def test_more_engines_give_the_same_rows(tiny, undisturbed, ray_cluster, tmp_path):
    """Draws depend on (seed, query, sample, position) alone; so does this model's arithmetic."""
    _, rows = run_label(config(tiny, count=2, threads=1), tmp_path)
    assert texts(rows) == texts(undisturbed[1])


def texts(rows):
    return [(row["query_id"], [one["text"] for one in row["samples"]]) for row in rows]


def labels(directory):
    return list((directory / "label").glob("*.parquet"))


def test_a_killed_engine_is_replaced(tiny, undisturbed, ray_cluster, tmp_path):
    killed, written = [], []
    over = threading.Event()

    def kill_at_the_first_rows():
        once(lambda: labels(tmp_path) or over.is_set())
        if over.is_set():
            return
        killed.extend(engine_processes())
        for process in killed:
            kill(process)
        written.extend(labels(tmp_path))

    killer = threading.Thread(target=kill_at_the_first_rows)
    killer.start()
    try:
        result, rows = run_label(config(tiny), tmp_path)
    finally:
        over.set()
        killer.join()
    assert killed
    assert sum(pq.read_metadata(file).num_rows for file in written) < QUERIES, "some were left"
    assert result.rows == QUERIES
    assert texts(rows) == texts(undisturbed[1])
