"""The label stage around an engine without a model, whose rows can be compared to the letter."""

import random
import threading

import psutil
import pytest

from jobs.benchmarks import simulated
from pipelines.storage import Location

pytestmark = pytest.mark.slow
QUERIES, SAMPLES = 60, 4


def labeled(root, **engine):
    """The rows of a run, by query, without what they cost."""
    sampling = {"num_samples": SAMPLES, "max_tokens": 20}
    simulated.label(str(root), QUERIES, sampling, {"max_num_seqs": 8, **engine})
    rows = Location.of(str(root / "label")).read_table().drop_columns("counters")
    return rows.sort_by("query_id")


@pytest.fixture(scope="module")
def undisturbed(ray_cluster, tmp_path_factory):
    return labeled(tmp_path_factory.mktemp("undisturbed"))


def test_every_query_once_with_all_its_samples(undisturbed):
    assert undisturbed["query_id"].to_pylist() == [f"{i:012}" for i in range(QUERIES)]
    assert all(len(samples) == SAMPLES for samples in undisturbed["samples"].to_pylist())


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
                victim = draw.choice(victims)
                killed.append(victim.name())
                victim.kill()

    killer = threading.Thread(target=kill_some)
    killer.start()
    try:
        rows = labeled(tmp_path, count=2, max_restarts=20)
    finally:
        over.set()
        killer.join()
    assert killed
    assert rows.equals(undisturbed)


def working():
    """Processes that label or write; not Ray's own."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            name = " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            continue
        if name.startswith("ray::") and ("QueryLabeler" in name or "Write" in name):
            found.append(process)
    return found
