"""Engines on several hosts, whose GPUs Ray only counts: shares, wholes, and placement groups."""

import signal
import sys

import logical_gpus
import numpy as np
import pytest
import requests
import torch
from hosts import hosts
from labeling import command, rows
from object_store import plain_environment
from ports import free_port
from processes import amid, descendants, interrupt, kill, printed_until, started
from transformers import AutoModelForCausalLM
from waiting import once

from pipelines.method.prompts import Prompts

pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.timeout(1500)]
TWO_PARTS = ["--set", "engine.tensor_parallel_size=2", "--set", "engine.gpus=1"]
SMALL = [
    "--set", "data.train=[{name: capitals, limit: 24}]", "--set", "sampling.max_tokens=12",
    "--set", "engine.kv_cache_gib=0.1",
]  # fmt: skip


@pytest.fixture(scope="module")
def cluster(pace, tmp_path_factory):
    plugin = logical_gpus.environment(tmp_path_factory.mktemp("plugin"))
    with hosts(plain_environment() | plugin | pace.environment) as made:
        made.add("one", cpus=4, gpus=1)
        made.add("two", cpus=4, gpus=1)
        once(lambda: made.known == {"head", "one", "two"})
        yield made


def labels(root):
    return list(root.glob("label-*/*.parquet"))


def real(tiny, root, *more):
    """Labels with vLLM and the tiny model."""
    arguments = [*command(root)[2:], "--set", f"model.source={tiny}", *SMALL, *more]
    return [sys.executable, "-m", "jobs.run", *arguments]


@pytest.fixture(scope="module")
def split(cluster, tiny, tmp_path_factory):
    """A run whose engine is in two parts on two hosts, of which one is killed as it labels."""
    root = tmp_path_factory.mktemp("split")
    labeling = real(tiny, root, *TWO_PARTS, "--set", "engine.max_num_seqs=4")
    with started(labeling, cluster.environment) as run:
        amid(run, lambda: labels(root))
        groups, parts = cluster.groups, cluster.actors("RayWorkerProc")
        kill(descendants("ray::RayWorkerProc")[0])
        printed, _ = run.communicate(timeout=300)
    assert run.returncode == 0, printed
    return rows(root).to_pylist(), groups, parts, printed


def test_a_model_that_no_host_holds_is_split_over_two(split):
    _, groups, parts, printed = split
    assert [sorted(group) for group in groups] == [["one", "two"]]
    assert parts == ["one", "two"]
    assert "engine.count: no node has 1 CPU and 2 GPU; the parts of one go to several" in printed


def test_its_confidences_are_the_models(split, tiny):
    """P(True) by transformers, on the tokens that were drawn."""
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()
    prompts = Prompts.load(tiny)
    for row in split[0]:
        for one, response_ids in zip(row["samples"], row["response_ids"], strict=True):
            ids = [*row["prompt_ids"], *response_ids, *prompts.turn_ids]
            with torch.no_grad():
                p = model(torch.tensor([ids])).logits[0, -1].double().softmax(-1)
            assert one["p_true"] == pytest.approx(float(p[prompts.yes_id]), rel=1e-3)


def test_a_replica_on_two_hosts_draws_the_same_though_a_part_was_killed(
    cluster, split, tiny, tmp_path
):
    port = free_port()
    serve = [*real(tiny, tmp_path, *TWO_PARTS), "--set", f"serve.port={port}", "--base"]
    serve[serve.index("jobs.run")] = "jobs.serve"
    until = serve.index("--until")
    del serve[until : until + 2]
    labeled = split[0]
    assert len(labeled) == len({row["query_id"] for row in labeled}) == 24
    with started(serve, cluster.environment) as server:
        printed_until("Answering at", server)
        assert [sorted(group) for group in cluster.groups] == [["one", "two"]]
        for row in labeled:
            scaling = {name: row[name] for name in ("query_id", "kind")}
            scaling |= {"budget": 4, "policy": "sc_conf", "details": True}
            messages = [{"role": "user", "content": row["question"]}]
            answer = requests.post(
                f"http://127.0.0.1:{port}/v1/chat/completions", timeout=300,
                json={"messages": messages, "seed": 0, "scaling": scaling},
            ).json()  # fmt: skip
            details = answer["scaling"]["details"]
            drawn = [(one["text"], np.float32(one["p_true"])) for one in details]
            assert drawn == [(one["text"], one["p_true"]) for one in row["samples"]]
        server.send_signal(signal.SIGINT)
        printed, _ = server.communicate(timeout=300)
    assert server.returncode == 0, printed
    once(lambda: not cluster.groups)


def fake(cluster, root, *more):
    """Labels with the engine that is no model."""
    return started(command(root, *SMALL, *more), cluster.environment)


def test_engines_share_gpus(cluster, allowed, tmp_path):
    """Of five that take 0.4 of a GPU each, two fit a GPU, and two GPUs are there."""
    allowed.samples(0)
    with fake(cluster, tmp_path, "--set", "engine.gpus=0.4", "--set", "engine.count=5") as run:
        amid(run, lambda: len(cluster.actors("QueryLabeler")) > 3)
        assert cluster.actors("QueryLabeler") == ["one", "one", "two", "two"]
        allowed.all()
        printed, _ = run.communicate(timeout=300)
    assert run.returncode == 0, printed
    assert "engine.count: 5 of 1 CPU and 0.4 GPU each are asked for, and 4 fit" in printed


def test_an_engine_that_fits_nowhere_is_said_and_starts_nowhere(cluster, tmp_path):
    with fake(cluster, tmp_path, *TWO_PARTS, "--set", "engine.tensor_parallel_size=8") as run:
        said = printed_until("Waiting for more nodes", run)
        assert "engine.count: 1 of 1 CPU and 8 GPU each are asked for, and 0 fit" in said
        once(lambda: cluster.groups)
        assert cluster.groups == [[]]
        rest = interrupt(run)
    assert run.returncode == 130, said + rest
    assert not labels(tmp_path)
    once(lambda: not cluster.groups)


def test_a_model_is_fetched_to_each_node_and_groups_leave_with_their_stage(cluster, tmp_path):
    """Left to the next stage of the same job: its GPUs."""
    code = f"""
import os, pathlib, ray
from pipelines.config import EngineConfig
from pipelines.running.placement import engine_actors, where_parts_go


engine = EngineConfig(tensor_parallel_size=2, gpus=1)

def fetch():
    node = ray.get_runtime_context().get_node_id()
    pathlib.Path({str(tmp_path)!r}, node).touch()
    return node

@ray.remote
class Engine:
    def __init__(self):
        self.nodes = where_parts_go(engine, fetch)
    def ask(self):
        return self.nodes

@ray.remote(num_gpus=1, num_cpus=0)
def gpu():
    return 1

ray.init()
with engine_actors(engine) as next_actor:
    print(*ray.get(Engine.options(**next_actor()).remote().ask.remote()))
    assert not ray.wait([gpu.remote()], timeout=2)[0]
print(ray.get([gpu.remote(), gpu.remote()]))
"""
    with started([sys.executable, "-c", code], cluster.environment) as run:
        printed, _ = run.communicate(timeout=300)
    assert run.returncode == 0, printed
    nodes = {file.name for file in tmp_path.iterdir()}
    assert len(nodes) == 2
    assert nodes in [set(line.split()) for line in printed.splitlines()]
    assert "[1, 1]" in printed


def test_an_engine_goes_whole_to_a_host_that_holds_it(cluster, allowed, tmp_path):
    """The hosts with one GPU each hold another between them; it waits for a host of its own."""
    allowed.samples(8)
    cluster.add("large", cpus=4, gpus=2)
    once(lambda: "large" in cluster.known)
    with fake(cluster, tmp_path, *TWO_PARTS, "--set", "engine.count=2") as run:
        amid(run, lambda: labels(tmp_path))
        groups, actors = cluster.groups, cluster.actors("QueryLabeler")
        allowed.all()
        printed, _ = run.communicate(timeout=300)
    assert run.returncode == 0, printed
    assert sorted(groups) == [[], ["large", "large"]]
    assert actors == ["large"]
    assert "engine.count: 2 of 1 CPU and 2 GPU each are asked for, and 1 fit" in printed
