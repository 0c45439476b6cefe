"""vLLM's executor of a model whose parts are Ray workers, in the placement group of the engine."""

import multiprocessing
import os
import signal

from ray.exceptions import RayActorError
from vllm.v1.executor.ray_executor_v2 import RayExecutorV2


class RayExecutor(RayExecutorV2):
    """vLLM's own; but where a part's worker dies, so does the engine's actor, for Ray to restart.

    vLLM's would wait five minutes for the answer of a part on another node, and an actor that
    raises while it starts is not restarted. What a worker itself raises is raised here, too.
    """

    def _init_executor(self) -> None:
        # By this name workers know that their node may have fewer GPUs than there are parts.
        self.parallel_config.distributed_executor_backend = "ray"
        try:
            super()._init_executor()
        except RayActorError:
            _end_actor()

    def shutdown(self) -> None:
        super().shutdown()
        if self.is_failed:
            _end_actor()


def _end_actor() -> None:
    """Ends the actor's process and this one, which it has spawned for the engine."""
    actor = multiprocessing.parent_process()
    assert actor is not None, "vLLM runs its executors in a process that it spawns"
    os.kill(actor.pid, signal.SIGKILL)  # type: ignore[arg-type]
    os._exit(1)
