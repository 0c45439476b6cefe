"""What fits a cluster, and what is said where it does not."""

import sys

import pytest
from hosts import hosts
from object_store import plain_environment

from pipelines.cluster import places, tell_if_short

NODES = [{"CPU": 4.0, "GPU": 2.0}, {"CPU": 8.0}, {"CPU": 1.0, "GPU": 4.0}]


@pytest.mark.parametrize(
    ("each", "room"),
    [
        ({"CPU": 1, "GPU": 1}, 3),  # the third node has a CPU for one of its GPUs
        ({"CPU": 0, "GPU": 1}, 6),
        ({"CPU": 0, "GPU": 0.5}, 12),
        ({"CPU": 1, "GPU": 4}, 1),  # a GPU of each of two nodes is no pair
        ({"CPU": 0.1, "GPU": 0}, 130),
        ({"CPU": 16, "GPU": 0}, 0),
        ({"CPU": 0, "GPU": 0}, sys.maxsize),
    ],
)
def test_places_are_counted_node_by_node(each, room):
    assert places(NODES, each) == room


def test_what_does_not_fit_is_said_with_what_is_there(ray_cluster, capsys):
    tell_if_short("engine.count", 3, {"CPU": 1, "GPU": 2})
    said = capsys.readouterr().out
    assert "engine.count: 3 of 1 CPU and 2 GPU each are asked for, and 0 fit" in said
    assert "the nodes have 4 CPU and 0 GPU" in said


def test_what_fits_needs_no_word(ray_cluster, capsys):
    tell_if_short("engine.count", 3, {"CPU": 1, "GPU": 0})
    assert not capsys.readouterr().out


def test_ray_looks_up_its_own_actors_and_not_another_rays(ray_cluster):
    """As Ray Train does: it takes an actor that the Ray it asks does not know for dead."""
    import ray

    @ray.remote(num_cpus=0)
    class Actor:
        def state(self):
            from ray.util.state import get_actor

            return get_actor(ray.get_runtime_context().get_actor_id(), timeout=10).state

    with hosts(plain_environment()):
        assert ray.get(Actor.remote().state.remote()) == "ALIVE"
