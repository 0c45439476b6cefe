"""Training that waits at a step for what is done to its workers meanwhile."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def trainer(directory: Path) -> Callable[..., Any]:
    """In the place of Ray's TorchTrainer: while the directory has a file named by the number of
    workers, these take no step after the one that it says."""
    from ray import cloudpickle
    from ray.train.torch import TorchTrainer

    # Ray's workers do not find the tests' helpers.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return lambda _, **settings: TorchTrainer(_held(directory), **settings)


def _held(directory: Path) -> Callable[[dict[str, Any]], str | None]:
    """The loop of a worker."""

    def train_loop(arguments: dict[str, Any]) -> str | None:
        import time

        from pipelines.training import loop

        take = loop.optimizer_step

        def step(engine: Any, rows: Any, micro_tokens: int, rank: int, world: int, *more: Any):
            _, number, _ = rows[0]["key"]
            file = directory / str(world)
            while file.exists() and number > int(file.read_text()):
                time.sleep(0.1)
            return take(engine, rows, micro_tokens, rank, world, *more)

        loop.optimizer_step = step
        return loop.train_loop(arguments)

    return train_loop
