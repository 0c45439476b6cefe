"""What one engine or training worker takes of the cluster's nodes, and how many fit.

An engine is an actor with its GPU, or its share of one. An engine whose model is split over GPUs
is a placement group: a bundle a part, the actor in the first, and vLLM's own worker on the GPU of
each. The parts exchange sums in every layer, so they stay on one node if any node is large enough;
where none is, they are packed on as few as hold them.
"""

import itertools
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from pipelines.config import EngineConfig

T = TypeVar("T")
Resources = Mapping[str, float]  # amounts by Ray's names: CPU, GPU


def bundles(engine: EngineConfig) -> list[dict[str, float]]:
    """What Ray sets aside for one engine, by part. On CPUs parts are processes of the actor's."""
    first = {"CPU": engine.cpus, "GPU": engine.gpus}
    others = engine.tensor_parallel_size - 1 if engine.gpus else 0
    return [first] + [{"GPU": engine.gpus}] * others


def actor_gpus(engine: EngineConfig) -> float:
    """GPUs of the actor's own: none where each part has a worker on its GPU."""
    return engine.gpus if len(bundles(engine)) == 1 else 0


@contextmanager
def engine_actors(engine: EngineConfig) -> Iterator[Callable[[], dict[str, Any]]]:
    """A function that says where the next engine's actor goes, as options of a Ray actor, whose
    name has its number: they count from 1.

    It makes a placement group at each call, if an engine is one; they go when the context ends.
    An actor that Ray restarts stays in its group, whose lost bundles Ray places anew.
    """
    from ray.util import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    wanted = bundles(engine)
    made = []
    own, numbers = uuid.uuid4().hex[:8], itertools.count(1)  # names are of a session, not a run

    def next_actor() -> dict[str, Any]:
        named = {"name": f"engine-{own}-{next(numbers)}"}
        if len(wanted) == 1:
            return named
        made.append(placement_group(wanted, strategy=strategy(_nodes(), wanted)))
        inside = PlacementGroupSchedulingStrategy(made[-1], placement_group_bundle_index=0)
        return named | {"scheduling_strategy": inside}

    try:
        yield next_actor
    finally:
        for group in made:
            remove_placement_group(group)


def own_number() -> int:
    """The number of the engine whose actor this is; an actor that Ray restarts keeps it."""
    import ray

    name = ray.get_runtime_context().get_actor_name()
    assert name, "this process is an engine's actor"
    return int(name.rpartition("-")[2])


def replica(engine: EngineConfig) -> dict[str, Any]:
    """Where an engine goes that is a replica, as options of a Serve deployment."""
    wanted = bundles(engine)
    options: dict[str, Any] = {
        "ray_actor_options": {"num_cpus": engine.cpus, "num_gpus": actor_gpus(engine)}
    }
    if len(wanted) > 1:
        options["placement_group_bundles"] = wanted
        options["placement_group_strategy"] = strategy(_nodes(), wanted)
    return options


def where_parts_go(engine: EngineConfig, work: Callable[[], T]) -> list[T]:
    """What `work` returns where each part goes of the engine whose actor this is.

    What one of them raises is raised here.
    """
    parts = len(bundles(engine))
    if parts == 1:
        return [work()]

    import ray
    from ray.exceptions import RayTaskError
    from ray.util import get_current_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    @ray.remote(num_cpus=0)
    def run(work: Callable[[], T]) -> T:
        return work()

    group = get_current_placement_group()
    assert group is not None, "an engine of several parts is an actor in a group"
    where = [PlacementGroupSchedulingStrategy(group, part) for part in range(parts)]
    try:
        return ray.get([run.options(scheduling_strategy=one).remote(work) for one in where])
    except RayTaskError as error:
        raise error.cause from None


def strategy(nodes: Sequence[Resources], wanted: Sequence[Resources]) -> str:
    """Ray's name for how to place a group on these nodes."""
    return "STRICT_PACK" if _on_one_node(nodes, wanted) else "PACK"


def places(nodes: Sequence[Resources], wanted: Sequence[Resources]) -> int:
    """How often the nodes hold these bundles, all else idle: each time on one node, or where no
    node holds them all, over several. The bundles after the first are equal, and a part of it."""
    room = _on_one_node(nodes, wanted)
    if room or len(wanted) == 1:
        return room
    first, *others = wanted
    parts = sum(_times(node, others[0]) for node in nodes)
    return min(sum(_times(node, first) for node in nodes), parts // len(wanted))


def tell_if_short(key: str, count: int, wanted: Sequence[Resources]) -> None:
    """Says so where the nodes that are alive cannot hold these bundles `count` times for a config
    key, and where they do so only over several nodes.

    Ray waits for what does not fit, in case that more nodes come.
    """
    nodes = _nodes()
    room, whole = places(nodes, wanted), _sum(wanted)
    each = " and ".join(f"{amount:g} {name}" for name, amount in whole.items() if amount)
    have = ", ".join(
        " and ".join(f"{node.get(name, 0):g} {name}" for name in whole) for node in nodes
    )
    if room < count:
        print(
            f"{key}: {count} of {each} each are asked for, and {room} fit; the nodes have {have}. "
            "Waiting for more nodes; if none will come, stop this, lower the key, and run again",
            flush=True,
        )
    if room and not _on_one_node(nodes, wanted):
        print(
            f"{key}: no node has {each}; the parts of one go to several nodes, which are as fast "
            "together as the network between them",
            flush=True,
        )


def _nodes() -> list[Resources]:
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _on_one_node(nodes: Sequence[Resources], wanted: Sequence[Resources]) -> int:
    whole = _sum(wanted)
    return min(sys.maxsize, sum(_times(node, whole) for node in nodes))


def _sum(wanted: Sequence[Resources]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for bundle in wanted:
        total.update(bundle)
    return dict(total)


def _times(node: Resources, each: Resources) -> int:
    """How often a node holds `each`; what takes nothing fits without end."""
    taken = {name: amount for name, amount in each.items() if amount}
    return min(
        (_shares(name, node.get(name, 0), amount) for name, amount in taken.items()),
        default=sys.maxsize,
    )


def _shares(name: str, have: float, amount: float) -> int:
    if name == "GPU" and amount < 1:  # a share is of one GPU, never of two
        return int(have) * int(1 / amount + 1e-9)
    return int(have / amount + 1e-9)
