"""Engines on several hosts, whose GPUs Ray only counts: shares, wholes, and placement groups."""

import signal
import subprocess
import sys

import logical_gpus
import numpy as np
import psutil
import pytest
import requests
from hosts import hosts
from labeling import ROOT, command, rows
from object_store import free_port, plain_environment
from waiting import once

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TWO_PARTS = ["--set", "engine.tensor_parallel_size=2", "--set", "engine.gpus=1"]
SMALL = ["--set", "data.train=[{name: capitals, limit: 24}]", "--set", "sampling.max_tokens=12"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    plugin = logical_gpus.environment(tmp_path_factory.mktemp("plugin"))
    with hosts(plain_environment() | plugin) as made:
        made.add("one", cpus=4, gpus=1)
        made.add("two", cpus=4, gpus=1)
        once(lambda: made.known == {"head", "one", "two"})
        yield made


def start(environment, *arguments):
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def labels(root):
    return list(root.glob("label-*/*.parquet"))


def real(tiny, root, *more):
    """Labels with vLLM and the tiny model."""
    return "-m", "jobs.run", *command(root)[2:], "--set", f"model.source={tiny}", *SMALL, *more


@pytest.fixture(scope="module")
def split(cluster, tiny, tmp_path_factory):
    """A run whose engine is in two parts on two hosts, of which one is killed as it labels."""
    root = tmp_path_factory.mktemp("split")
    run = start(cluster.environment, *real(tiny, root, *TWO_PARTS))
    once(lambda: labels(root) or run.poll(), seconds=200)
    groups, parts = cluster.groups, cluster.actors("RayWorkerProc")
    next(filter(is_part, psutil.Process().children(recursive=True))).kill()
    printed, _ = run.communicate(timeout=300)
    assert run.returncode == 0, printed
    return root, groups, parts, printed


def is_part(process):
    try:
        return process.cmdline()[0].startswith("ray::RayWorkerProc")
    except (psutil.NoSuchProcess, IndexError):
        return False


def test_a_model_that_no_host_holds_is_split_over_two(split):
    _, groups, parts, printed = split
    assert [sorted(group) for group in groups] == [["one", "two"]]
    assert parts == ["one", "two"]
    assert "engine.count: no node has 1 CPU and 2 GPU; the parts of one go to several" in printed


@pytest.fixture(scope="module")
def processes(tiny, tmp_path_factory):
    """The same queries by an engine whose two parts are processes of one machine."""
    root = tmp_path_factory.mktemp("processes")
    parts = ["--set", "engine.tensor_parallel_size=2"]
    run = start(plain_environment() | {"PYTHONPATH": str(ROOT)}, *real(tiny, root, *parts))
    printed, _ = run.communicate(timeout=300)
    assert run.returncode == 0, printed
    return rows(root)


def test_a_part_that_is_killed_changes_no_row(split, processes):
    """To the last bit: a sum of two parts does not depend on how they are sent."""
    assert len(processes) == 24
    assert rows(split[0]).equals(processes)


def test_a_replica_is_split_over_hosts_too(cluster, tiny, processes, tmp_path):
    port = free_port()
    arguments = [*real(tiny, tmp_path, *TWO_PARTS)[2:], "--set", f"serve.port={port}", "--base"]
    del arguments[2:4]  # --until
    server = start(cluster.environment, "-m", "jobs.serve", *arguments)
    for line in server.stdout:
        if line.startswith("Answering at"):
            break
    assert [sorted(group) for group in cluster.groups] == [["one", "two"]]
    row = processes.to_pylist()[0]
    answer = requests.post(
        f"http://127.0.0.1:{port}/answer", timeout=60,
        json={
            "question": row["question"], "query_id": row["query_id"], "budget": 4,
            "policy": "self_consistency",
        },
    ).json()  # fmt: skip
    server.send_signal(signal.SIGINT)
    printed, _ = server.communicate(timeout=120)
    assert server.returncode == 0, printed
    drawn = [(one["text"], np.float32(one["p_true"])) for one in answer["samples"]]
    assert drawn == [(one["text"], one["p_true"]) for one in row["samples"]]
    once(lambda: not cluster.groups)


def fake(cluster, root, *more):
    """Labels with the engine that is no model."""
    return start(cluster.environment, *command(root, *more)[1:])


def test_an_engine_goes_whole_to_a_host_that_holds_it(cluster, tmp_path):
    """The hosts with one GPU each hold another between them; it waits for a host of its own."""
    cluster.add("large", cpus=4, gpus=2)
    once(lambda: "large" in cluster.known)
    run = fake(cluster, tmp_path, *TWO_PARTS, "--set", "engine.count=2")
    once(lambda: labels(tmp_path) or run.poll())
    groups, actors = cluster.groups, cluster.actors("QueryLabeler")
    printed, _ = run.communicate(timeout=200)
    assert run.returncode == 0, printed
    assert sorted(groups) == [[], ["large", "large"]]
    assert actors == ["large"]
    assert "engine.count: 2 of 1 CPU and 2 GPU each are asked for, and 1 fit" in printed


def test_engines_share_gpus(cluster, tmp_path):
    """Of five that take 0.4 of a GPU each, two fit a GPU, and two GPUs are there."""
    cluster.kill("large")
    once(lambda: cluster.known == {"head", "one", "two"})
    run = fake(cluster, tmp_path, "--set", "engine.gpus=0.4", "--set", "engine.count=5")
    once(lambda: len(cluster.actors("QueryLabeler")) > 3 or run.poll())
    assert cluster.actors("QueryLabeler") == ["one", "one", "two", "two"]
    printed, _ = run.communicate(timeout=200)
    assert run.returncode == 0, printed
    assert "engine.count: 5 of 1 CPU and 0.4 GPU each are asked for, and 4 fit" in printed


def test_an_engine_that_fits_nowhere_is_said_and_starts_nowhere(cluster, tmp_path):
    run = fake(cluster, tmp_path, *TWO_PARTS, "--set", "engine.tensor_parallel_size=8")
    said = ""
    for line in run.stdout:
        said += line
        if "Waiting for more nodes" in line:
            break
    assert "engine.count: 1 of 1 CPU and 8 GPU each are asked for, and 0 fit" in said
    once(lambda: cluster.groups)
    assert cluster.groups == [[]]
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=120)
    assert run.returncode == 130
    assert not labels(tmp_path)
    once(lambda: not cluster.groups)


def test_groups_leave_with_their_stage(cluster):
    """So that the next stage of the same job has the GPUs."""
    code = """
import ray
from pipelines.config import EngineConfig
from pipelines.placement import engine_actors

@ray.remote(num_gpus=1, num_cpus=0)
def gpu():
    return 1

ray.init()
with engine_actors(EngineConfig(tensor_parallel_size=2, gpus=1)) as next_actor:
    ray.get(next_actor()["scheduling_strategy"].placement_group.ready())
    assert not ray.wait([gpu.remote()], timeout=2)[0]
print(ray.get([gpu.remote(), gpu.remote()]))
"""
    run = start(cluster.environment, "-c", code)
    printed, _ = run.communicate(timeout=60)
    assert run.returncode == 0, printed
    assert "[1, 1]" in printed
