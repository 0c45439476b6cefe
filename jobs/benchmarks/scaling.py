"""Label throughput with 1, 2, 4 ... 64 simulated engines over several raylets, against linear.

Counted is what the engines did while all could be full: from when the last of them has begun its
first sample until one of them has begun its last. `busy` is that of the most engines, over all that
they can.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from jobs.benchmarks import simulated
from jobs.benchmarks.measurement import Measurement, Reach, in_subprocess

ENGINES = (1, 2, 4, 8, 16, 32, 64)
ENGINES_A_RAYLET = 8
SAMPLES = 32
SECONDS = 40  # of work for all engines
FULL = simulated.SEQUENCES / simulated.STEP  # tokens/s of an engine


def run(quick: bool) -> Iterator[Measurement]:
    if quick:
        return
    reach = Reach("at least", 0.95)
    rates: dict[int, float] = {}
    for engines in ENGINES:
        rates[engines] = in_subprocess(tokens_a_second, engines)
        pairs = [(rates[engines], engines * rates[1])]
        yield Measurement.of(f"scaling.{engines}", "tokens/s", pairs, reach)
    yield Measurement.of("scaling.busy", "tokens/s", [(rates[engines], engines * FULL)], reach)


def tokens_a_second(engines: int) -> float:
    """Tokens/s of so many engines together, each of which takes a logical GPU."""
    import numpy as np
    import ray
    from ray.cluster_utils import Cluster

    # CPU work stays on the head: each CPU that Ray may use is a process that has to start.
    os.environ.update(RAY_prestart_worker_first_driver="0")
    head = {"num_cpus": 3, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for first in range(0, engines, ENGINES_A_RAYLET):
        here = min(ENGINES_A_RAYLET, engines - first)
        cluster.add_node(num_cpus=here, num_gpus=here)
    ray.init(cluster.address, logging_level=logging.ERROR)
    queries = engines * SECONDS * FULL / (SAMPLES * simulated.MEAN_TOKENS)
    with tempfile.TemporaryDirectory() as root:
        engine = {"count": engines, "gpus": 1, "max_num_seqs": simulated.SEQUENCES}
        simulated.label(root, round(queries), {"num_samples": SAMPLES}, engine)
        work = [np.loadtxt(file) for file in Path(root, "work").iterdir()]
    ray.shutdown()
    cluster.shutdown()
    first = max(lines[:, 0].min() for lines in work)
    last = min(lines[:, 0].max() for lines in work)
    began, ended = np.concatenate(work).T
    inside = np.clip(np.minimum(ended, last) - np.maximum(began, first), 0, None)
    return float(inside.sum() / (last - first) / simulated.STEP)
