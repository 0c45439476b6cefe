"""The Ray that a run starts on its own machine."""

from hosts import hosts
from object_store import plain_environment


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
