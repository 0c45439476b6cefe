"""labeling.py, whose training looks for more hosts every three seconds instead of every minute, and
waits as the directory $HELD says (held.py)."""

import os
import sys
from functools import partial
from pathlib import Path

import held
import labeling
import ray.train
import ray.train.torch

if __name__ == "__main__":
    ray.train.ScalingConfig = partial(
        ray.train.ScalingConfig, elastic_resize_monitor_interval_s=3.0
    )
    ray.train.torch.TorchTrainer = held.trainer(Path(os.environ["HELD"]))
    sys.exit(labeling.main())
