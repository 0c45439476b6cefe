"""What a node's free memory is, and Ray's reports on what it killed for want of it."""

import psutil
import pytest
from processes import ROOT
from ray._private import utils, worker
from ray.exceptions import OutOfMemoryError, RayActorError

from pipelines.running import memory

GIB = 2**30


@pytest.fixture
def report():
    return (ROOT / "tests" / "data" / "out_of_memory.txt").read_text()


@pytest.fixture
def machine(monkeypatch):
    """One of 100 GiB, of which so many are available, perhaps in a container."""

    def machine(available, container=None):
        asked = psutil.virtual_memory()._replace(total=100 * GIB, available=available * GIB)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: asked)
        inside = container and tuple(size * GIB for size in container)
        monkeypatch.setattr(utils, "get_cgroup_mem_stats", lambda: inside)

    return machine


@pytest.mark.parametrize(
    ("available", "container", "free"),
    [
        (60, None, 55),  # Ray kills from 95 GiB on
        (3, None, 0),
        (60, (8, 40), 30),  # used, limit: from 38 on
        (60, (50, 100), 45),
        (20, (8, 40), 15),  # the machine has less than the container may take
    ],
)
def test_free_is_what_ray_lets_processes_take(machine, available, container, free):
    machine(available, container)
    assert memory.free() == pytest.approx(free * GIB, abs=1)


def test_rays_own_threshold_counts(machine, monkeypatch):
    machine(60)
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.8")
    assert memory.free() == pytest.approx(40 * GIB, abs=1)


def test_a_report_is_a_line(report):
    assert report.count("\n") > 40
    assert memory.brief(report) == (
        "memory: Ray killed 3 of its workers on 192.0.2.2, where 4.37 of 23.54 GB were in use, "
        "2.56 of them by ray::MapWorker(MapBatches(QueryLabeler)).submit"
    )
    assert memory.brief("A worker died or was killed by an unexpected system error.") is None


def test_rays_reports_are_printed_in_a_line_and_the_rest_as_it_is(report, capsys, monkeypatch):
    monkeypatch.setattr(worker, "print_to_stdstream", worker.print_to_stdstream)
    memory.shorten_reports.cache_clear()
    memory.shorten_reports()
    for lines in ([report], ["A worker died.", "Why?"]):
        worker.print_to_stdstream({"lines": lines, "pid": "raylet", "is_err": False}, False)
    printed = capsys.readouterr().out  # Ray may print what it held back of clusters before, too
    said = ("memory: Ray killed 3 of its workers on 192.0.2.2", "A worker died.", "Why?")
    places = [printed.find(one) for one in said]
    assert -1 < places[0] < places[1] < places[2]
    assert "Refer to the documentation" not in printed


def test_what_ended_for_want_of_memory_is_told_with_what_to_do(report):
    told = memory.explain(OutOfMemoryError(report))
    assert told.startswith("memory: Ray killed 3 of its workers on 192.0.2.2")
    assert "or lower engine.count, engine.kv_cache_gib, engine.max_num_seqs" in told
    assert "\n" not in told
    caused = RuntimeError("label: the engines keep dying")
    caused.__cause__ = OutOfMemoryError(report)
    assert memory.explain(caused) == told
    assert memory.explain(RuntimeError(report)) is None  # no word of Ray's
    assert memory.explain(RayActorError()) is None
