"""Where engines go, counted on paper; test_groups.py sends them to several hosts."""

import sys

import pytest

from pipelines.config import EngineConfig
from pipelines.running.placement import bundles, places, replica, strategy, tell_if_short

NODES = [{"CPU": 4.0, "GPU": 2.0}, {"CPU": 8.0}, {"CPU": 1.0, "GPU": 4.0}]


def engine(parts=1, gpus=1.0, cpus=1.0):
    return EngineConfig(tensor_parallel_size=parts, gpus=gpus, cpus=cpus)


@pytest.mark.parametrize(
    ("each", "room"),
    [
        ({"CPU": 1, "GPU": 1}, 3),  # the third node has a CPU for one of its GPUs
        ({"CPU": 0, "GPU": 1}, 6),
        ({"CPU": 0, "GPU": 0.5}, 12),
        ({"CPU": 0, "GPU": 0.4}, 12),  # what two leave of a GPU is no room for a third
        ({"CPU": 1, "GPU": 4}, 1),  # a GPU of each of two nodes is no pair
        ({"CPU": 0.1, "GPU": 0}, 130),
        ({"CPU": 16, "GPU": 0}, 0),
        ({"CPU": 0, "GPU": 0}, sys.maxsize),
    ],
)
def test_places_are_counted_node_by_node(each, room):
    assert places(NODES, [each]) == room


@pytest.mark.parametrize(
    ("parts", "cpus", "room", "where"),
    [
        (2, 1, 2, "STRICT_PACK"),  # the third node has a CPU for one of two
        (4, 1, 1, "STRICT_PACK"),
        (4, 2, 1, "PACK"),  # the third node has the GPUs, but not the CPUs
        (6, 1, 1, "PACK"),
        (7, 1, 0, "PACK"),
    ],
)
def test_parts_share_a_node_where_any_node_is_large_enough(parts, cpus, room, where):
    wanted = bundles(engine(parts, cpus=cpus))
    assert [bundle["GPU"] for bundle in wanted] == [1] * parts
    assert sum(bundle.get("CPU", 0) for bundle in wanted) == cpus
    assert places(NODES, wanted) == room
    assert strategy(NODES, wanted) == where


def test_an_engine_of_one_part_is_no_group():
    assert bundles(engine(gpus=0.25)) == [{"CPU": 1, "GPU": 0.25}]
    assert bundles(engine(parts=4, gpus=0)) == [{"CPU": 1, "GPU": 0}]  # processes of one actor
    assert replica(engine(gpus=0.25)) == {"ray_actor_options": {"num_cpus": 1, "num_gpus": 0.25}}


def test_what_takes_nothing_fits():
    assert places(NODES, bundles(engine(gpus=0, cpus=0))) > 1_000_000


def test_what_does_not_fit_is_said_with_what_is_there(ray_cluster, capsys):
    tell_if_short("engine.count", 3, [{"CPU": 1, "GPU": 2}])
    said = capsys.readouterr().out
    assert "engine.count: 3 of 1 CPU and 2 GPU each are asked for, and 0 fit" in said
    assert "the nodes have 4 CPU and 0 GPU" in said


def test_what_fits_needs_no_word(ray_cluster, capsys):
    tell_if_short("engine.count", 3, [{"CPU": 1, "GPU": 0}])
    assert not capsys.readouterr().out
