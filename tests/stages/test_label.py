"""The label stage around an engine without a model, whose rows can be compared to the letter."""

import asyncio
import os
import random
import re
import subprocess
import threading

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import FakeEngine
from labeling import QUERIES as QUERIES_OF_A_RUN
from labeling import Allowed, command, rows
from processes import ROOT, amid, command_line, descendants, kill, printed_until, started

from jobs.benchmarks import simulated
from pipelines.config import Config
from pipelines.running.board import Board
from pipelines.stages.label.actor import QueryLabeler
from pipelines.stages.label.check import finish, labeled_before
from pipelines.stages.label.streaming import blocks
from pipelines.storage.location import Location
from pipelines.storage.schemas import COUNTERS, LABELS, QUERIES

pytestmark = pytest.mark.process

COUNT, SAMPLES = 60, 4


def config(**engine):
    return Config.model_validate(
        {
            "root": "unused",
            "model": {"source": "simulated"},
            "data": {"train": [{"name": "capitals"}]},
            "sampling": {"num_samples": SAMPLES},
            "engine": engine,
        }
    )


@pytest.mark.parametrize("max_num_seqs", [1, 16, 256, 1024])
@pytest.mark.parametrize("engines", [1, 64, 256])
@pytest.mark.parametrize("total", [1, 63, 1_000, 100_000, 10_000_000])
def test_blocks_are_few_in_all_and_many_for_an_engine(total, engines, max_num_seqs):
    rows, at_once = blocks(config(count=engines, max_num_seqs=max_num_seqs), total)
    assert total / rows <= max(2_000, 32 * engines)
    share = total // engines
    if share < 8:
        assert rows == 1  # else engines would be left without
    else:
        assert rows <= max(share / 8, total / 2_000 + 1)
    # A batch of the engine, and while a block's last samples end, another's.
    batch = -(-max_num_seqs // SAMPLES)
    assert (at_once - 1) * rows >= min(batch, share - 2 * rows)


def labeled_by(labeler, asked):
    """Its rows, and its end: posts of one that is kept, as by a failure's trace, go on for good."""
    try:
        return asyncio.run(labeler(pa.Table.from_pylist(asked, QUERIES)))
    finally:
        labeler.__del__()  # as Ray Data ends it


def test_rows_of_a_block_fill_the_engine_together_and_keep_their_order(ray_cluster):
    engine = FakeEngine(["The answer is 1.", "The answer is 2."], {"The answer is 1.": 0.4,
                        "The answer is 2.": 0.6}, delays=True)  # fmt: skip
    row = dict.fromkeys(QUERIES.names, "") | {
        "kind": "number",
        "choices": None,
        "prompt_ids": [1, 2],
    }
    asked = [row | {"query_id": str(i)} for i in range(400)]
    with Board.open() as board:
        labeled = labeled_by(QueryLabeler(config(max_num_seqs=512), board, lambda _: engine), asked)
    assert engine.most_running >= 512
    assert labeled.schema == LABELS
    assert labeled["query_id"].to_pylist() == [str(i) for i in range(400)]


ANSWERS = [f"The answer is {number}." for number in range(100)]


def label_with(mass, queries):
    """The actor's rows of so many queries on an engine of this mass."""
    engine = FakeEngine(ANSWERS, dict.fromkeys(ANSWERS, 0.0), mass=dict.fromkeys(ANSWERS, mass))
    row = dict.fromkeys(QUERIES.names, "") | {"kind": "number", "prompt_ids": [1, 2]}
    asked = [row | {"query_id": str(i)} for i in range(queries)]
    with Board.open() as board:
        return labeled_by(QueryLabeler(config(), board, lambda _: engine), asked)


def test_an_engine_stops_once_enough_replies_are_neither_yes_nor_no(ray_cluster):
    with pytest.raises(ValueError, match=r"^confidence: the reply .* probability of 2\.0e-08 "):
        label_with(2e-8, queries=30)


def test_an_engine_goes_on_where_replies_are_yes_or_no_or_too_few_to_tell(ray_cluster):
    assert len(label_with(0.05, queries=30)) == 30
    few = label_with(2e-8, queries=3)
    assert [one["mass"] for one in few["samples"][0].as_py()] == [pytest.approx(2e-8)] * SAMPLES


SAID = [{"answer": "4", "finish_reason": "stop"}, {"answer": "5", "finish_reason": "stop"}]


def write_labels(out, row):
    """Rows of three queries, a, b and c."""
    row = {"dataset": "sums", "kind": "number", "reference": "4", **row}
    rows = [row | {"query_id": one} for one in "abc"]
    pq.write_table(pa.Table.from_pylist(rows, LABELS), f"{out.path}/1.parquet")


@pytest.mark.parametrize("mass", [2e-8, 0.4])
def test_the_artifact_wants_replies_of_yes_or_no_however_few(mass, tmp_path):
    pq.write_table(pa.table({"query_id": list("abc")}), tmp_path / "queries.parquet")
    out = Location.of(str(tmp_path / "label"))
    out.make_dir()
    counters = dict.fromkeys(COUNTERS.names, 0) | {"scored_responses": 2, "mass": 2 * mass}
    write_labels(out, {"counters": counters, "samples": SAID})
    queries = Location.of(str(tmp_path / "queries.parquet"))
    if mass < 0.01:
        for _ in range(2):  # a rerun, too
            with pytest.raises(ValueError, match=r"^confidence: .* 2\.0e-08 \(mean of 6 "):
                finish(queries, out)
    else:
        assert finish(queries, out).metrics["mass"] == pytest.approx(mass)


def test_samples_that_say_that_the_config_is_wrong_are_told_at_the_end(tmp_path, capsys):
    pq.write_table(pa.table({"query_id": list("abc")}), tmp_path / "queries.parquet")
    out = Location.of(str(tmp_path / "label"))
    out.make_dir()
    counters = dict.fromkeys(COUNTERS.names, 0) | {"scored_responses": 2, "mass": 1.0}
    cut = [{"answer": None, "finish_reason": "length"}] * 3 + SAID[:1]
    write_labels(out, {"counters": counters, "samples": cut})
    metrics = finish(Location.of(str(tmp_path / "queries.parquet")), out).metrics
    assert metrics["signs"] == {"sums": {"cut": 0.75, "unparsed": 0.75, "accuracy": 0.25}}
    told = metrics["warnings"]
    assert [line[:30] for line in told] == [
        "sums: 75% of the responses wer", "sums: 75% of the responses hav",
    ]  # fmt: skip
    assert capsys.readouterr().out.splitlines() == [f"label: warning: {line}" for line in told]


def test_what_a_killed_run_left_half_written_counts_for_nothing(tmp_path):
    out = Location.of(str(tmp_path))
    assert labeled_before(out) == 0
    (tmp_path / "_rows").mkdir()
    assert labeled_before(out) == 0
    for name, state in [("done", ""), ("half", ".pending")]:
        pq.write_table(pa.table({"query_id": list("abc")}), tmp_path / f"{name}-0.parquet")
        record = tmp_path / "_rows" / f"{name}{state}.parquet"
        record.write_bytes((tmp_path / f"{name}-0.parquet").read_bytes())
    (tmp_path / "half-0.parquet").write_bytes(b"PAR1")
    assert labeled_before(out) == 3


def test_a_run_whose_replies_are_neither_yes_nor_no_is_stopped_with_one_line(tmp_path):
    done = subprocess.run(
        command(tmp_path), env=os.environ | {"MASS": "1e-9"}, cwd=ROOT, capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    *_, last = done.stderr.splitlines()
    assert last.startswith("error: confidence: the reply to the confidence turn starts with Yes or")
    assert done.stderr.count("confidence turn") == 1
    assert not list(tmp_path.glob("label-*/_MANIFEST.json"))


def run_with_room(engines, directory, *more):
    """A run on a machine with memory for so many: its exit status and all that it printed."""
    (room := directory / "room").mkdir()
    for number in range(engines):
        (room / str(number)).touch()
    environment = os.environ | {"ROOM": str(room)}
    with started(command(directory / "root", *more), environment) as run:
        printed, _ = run.communicate(timeout=300)
    return run.returncode, printed


def test_an_engine_that_was_only_grown_to_stays_out_where_it_does_not_fit(tmp_path):
    status, printed = run_with_room(1, tmp_path, "--set", "engine.max_count=2")
    assert status == 0, printed
    assert printed.count("label: the run goes on with fewer engines: engine: one takes 9.0") == 1
    assert "Traceback" not in printed
    assert len(rows(tmp_path / "root")) == QUERIES_OF_A_RUN


def test_where_the_engines_that_are_asked_for_do_not_fit_the_run_ends(tmp_path):
    status, printed = run_with_room(1, tmp_path, "--set", "engine.count=2")
    assert status == 2, printed
    assert "\nerror: engine: one takes 9.0 GiB, and 3.0 GiB are free\n" in printed
    assert "fewer engines" not in printed


@pytest.mark.parametrize("found", ["aac", "ab", "abcc", "abd"])
def test_rows_that_are_not_each_query_once_are_no_artifact(found, tmp_path):
    pq.write_table(pa.table({"query_id": list("abc")}), tmp_path / "queries.parquet")
    out = Location.of(str(tmp_path / "label"))
    out.make_dir()
    nothing = pa.array([dict.fromkeys(COUNTERS.names, 0)] * len(found), COUNTERS)
    table = pa.table({"query_id": list(found), "counters": nothing})
    pq.write_table(table.slice(0, 1), f"{out.path}/1.parquet")
    pq.write_table(table.slice(1), f"{out.path}/2.parquet")
    with pytest.raises(RuntimeError, match=f"its {len(found)} rows are not the 3 queries"):
        finish(Location.of(str(tmp_path / "queries.parquet")), out)


def labeled(root, make_engine=simulated.SimulatedEngine, **engine):
    """The rows of a run, by query, without what they cost."""
    sampling = {"num_samples": SAMPLES, "max_tokens": 20}
    simulated.label(str(root), COUNT, sampling, {"max_num_seqs": 8, **engine}, make_engine)
    rows = Location.of(str(root / "label")).read_table().drop_columns("counters")
    return rows.sort_by("query_id")


@pytest.fixture(scope="module")
def undisturbed(ray_cluster, tmp_path_factory):
    return labeled(tmp_path_factory.mktemp("undisturbed"))


def test_what_is_killed_before_its_manifest_is_not_labeled_again(undisturbed, tmp_path):
    def make_engine(config):
        raise ValueError("there is nothing to draw")

    assert labeled(tmp_path).equals(undisturbed)
    assert labeled(tmp_path, make_engine).equals(undisturbed)


def test_every_query_once_with_all_its_samples(undisturbed):
    assert undisturbed["query_id"].to_pylist() == [f"{i:012}" for i in range(COUNT)]
    assert {len(samples) for samples in undisturbed["samples"].to_pylist()} == {SAMPLES}


def test_more_engines_make_the_same_rows(undisturbed, tmp_path):
    assert labeled(tmp_path, count=2).equals(undisturbed)


def test_workers_that_are_killed_at_random_change_nothing(undisturbed, tmp_path):
    """Engine actors and Ray Data's writers, eight of them, one after the other."""
    killed = []
    over = threading.Event()

    def kill_some():
        draw = random.Random(0)
        while len(killed) < 8 and not over.wait(draw.uniform(0.3, 1.5)):
            if victims := working():
                killed.append(draw.choice(victims))
                kill(killed[-1])

    killer = threading.Thread(target=kill_some)
    killer.start()
    try:
        rows = labeled(tmp_path, count=2, max_restarts=20)
    finally:
        over.set()
        killer.join()
    assert killed
    assert rows.equals(undisturbed)


def test_an_engine_that_died_and_does_not_start_at_once_is_started_again(undisturbed, tmp_path):
    """Of a first start, what is wrong would end the run."""

    def make_engine(config):
        with open(f"{config.root}/starts", "a+") as starts:
            print("one", file=starts, flush=True)
            starts.seek(0)
            number = len(starts.readlines())
        if number == 2:
            raise ValueError("no memory is free as yet")
        engine = simulated.SimulatedEngine(config)
        if number == 1:
            engine.draw = lambda *arguments: os._exit(1)
        return engine

    assert labeled(tmp_path, make_engine, max_restarts=3).equals(undisturbed)
    assert len((tmp_path / "starts").read_text().splitlines()) == 3


def test_an_engine_that_keeps_dying_ends_the_run_and_what_is_done_stays(undisturbed, tmp_path):
    """The engines die in each draw once there are rows."""

    def written():
        files = (tmp_path / "label").glob("*.parquet")
        return {file: file.stat().st_mtime_ns for file in files}

    def make_engine(config):
        engine = simulated.SimulatedEngine(config)
        draw = engine.draw
        engine.draw = lambda *arguments: os._exit(1) if written() else draw(*arguments)
        return engine

    with pytest.raises(RuntimeError, match=r"label: the engines keep dying"):
        labeled(tmp_path, make_engine, max_restarts=1)
    kept = written()
    assert labeled(tmp_path).equals(undisturbed)
    assert kept
    assert {file: at for file, at in written().items() if file in kept} == kept, "left alone"


def working():
    """Processes that label or write; not Ray's own."""
    found = descendants("QueryLabeler", "Write")
    return [process for process in found if command_line(process).startswith("ray::")]


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """Of a run of its own, all that it printed; Ray Data's actor of statistics is killed in it."""
    more = "--set", "sampling.num_samples=8"
    allowed = Allowed(tmp_path_factory.mktemp("allowed"))
    allowed.samples(0)
    environment = {**os.environ, **allowed.environment}
    with started(command(tmp_path_factory.mktemp("printed"), *more), environment) as run:
        found = amid(run, lambda: statistics_actor(run.pid))
        before = printed_until(" of 840 samples", run)
        kill(found)
        allowed.samples(64)
        before += printed_until(" of 840 samples", run)
        allowed.all()
        after, _ = run.communicate(timeout=300)
    assert run.returncode == 0, before + after
    return before + after


def statistics_actor(pid):
    try:
        everything = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:  # who waits for it is told what the run printed
        return None
    return next((one for one in everything if "_StatsActor" in command_line(one)), None)


def test_a_run_tells_its_samples_and_tokens_in_lines_of_its_own(printed):
    lines = [line for line in printed.splitlines() if " of 840 samples, " in line]
    assert lines[0] == "label: 0 of 840 samples, 0 tokens"
    assert re.fullmatch(
        r"label: \d+ of 840 samples, [\d,]+ tokens, [\d,]+ tokens/s, (about|at most) .* left",
        lines[1],
    )
    assert lines[-1].startswith("label: 840 of 840 samples, ")


def test_what_fails_of_rays_statistics_is_kept_out(printed):
    assert "Traceback" not in printed
    assert "Unhandled error" not in printed
