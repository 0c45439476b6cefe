"""How a run joins a Ray, and the one that it starts on its own machine."""

import json
import os

import pytest
from hosts import hosts
from object_store import plain_environment
from ray._private import worker

from pipelines.config import Config
from pipelines.running import cluster, memory

CONFIG = Config.model_validate(
    {"root": "r", "model": {"source": "m"}, "data": {"train": [{"name": "capitals"}]}}
)


class JoinedError(Exception):
    """What would follow needs a Ray."""


@pytest.mark.parametrize(
    "join", [lambda: cluster.connect(CONFIG), lambda: cluster.tell_job("r", "queries")]
)
def test_a_job_joins_its_cluster_prepared_whatever_comes_first(join, monkeypatch):
    """What Ray reads as it starts, and how its reports are printed."""
    seen = []

    def init():
        seen.append((os.environ.get(cluster.QUIET[0]), os.environ.get("RAY_DATA_LOG_LEVEL")))
        raise JoinedError

    for name in (cluster.QUIET[0], "RAY_DATA_LOG_LEVEL"):
        monkeypatch.setenv(name, "")  # and so away again after this test
        monkeypatch.delenv(name)
    job = json.dumps({"metadata": {"job_submission_id": "one"}})
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", job)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr(worker, "print_to_stdstream", whole := worker.print_to_stdstream)
    monkeypatch.setattr(memory, "shorten_reports", memory.shorten_reports.__wrapped__)
    with pytest.raises(JoinedError):
        join()
    assert seen == [("1", "WARNING")]
    assert worker.print_to_stdstream is not whole


def test_ray_looks_up_its_own_actors_and_not_another_rays(ray_cluster):
    """As Ray Train does: it takes an actor that the Ray it asks does not know for dead."""
    import ray

    @ray.remote(num_cpus=0)
    class Actor:
        def state(self):
            from ray.util.state import get_actor

            return get_actor(ray.get_runtime_context().get_actor_id(), timeout=120).state

    with hosts(plain_environment()):
        assert ray.get(Actor.remote().state.remote()) == "ALIVE"
