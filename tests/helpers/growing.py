"""labeling.py, whose training looks for more hosts every three seconds instead of every minute.

Where the directory $HELD has a file named by the number of workers, they take no step after the one
that it says, until it is gone.
"""

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import labeling
import ray.train
import ray.train.torch


def held_loop(arguments: dict[str, Any]) -> str | None:
    """The training loop, in a worker."""
    from pipelines.training import loop

    take = loop.optimizer_step

    def held_step(engine: Any, rows: Any, micro_tokens: int, rank: int, world: int, *more: Any):
        _, step, _ = rows[0]["key"]
        file = Path(os.environ["HELD"], str(world))
        while file.exists() and step > int(file.read_text()):
            time.sleep(0.1)
        return take(engine, rows, micro_tokens, rank, world, *more)

    loop.optimizer_step = held_step
    return loop.train_loop(arguments)


if __name__ == "__main__":
    ray.train.ScalingConfig = partial(
        ray.train.ScalingConfig, elastic_resize_monitor_interval_s=3.0
    )
    trainer = ray.train.torch.TorchTrainer
    ray.train.torch.TorchTrainer = lambda _, **settings: trainer(held_loop, **settings)
    sys.exit(labeling.main())
