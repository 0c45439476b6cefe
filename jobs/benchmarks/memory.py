"""Peak memory of the label stage's driver, actors and head at more and more queries: flat, or not.

With simulated engines of no weights and no KV cache; what an actor shares (object store, code)
is left out. The head is Ray's GCS, which knows of every task.
"""

import logging
import tempfile
import threading
from collections.abc import Iterator

from jobs.benchmarks import simulated
from jobs.benchmarks.measurement import Measurement, Reach, in_subprocess

QUERIES = (1_000, 100_000, 1_000_000)
CHILDREN = {"actor": "QueryLabeler", "head": "gcs_server"}  # by what their commands hold


def run(quick: bool) -> Iterator[Measurement]:
    if quick:
        return
    few, *more = (in_subprocess(peaks, n) for n in QUERIES)
    for queries, many in zip(QUERIES[1:], more, strict=True):
        for name in few:
            pairs = [(many[name], few[name])]
            yield Measurement.of(f"memory.{name}_{queries}", "MB", pairs, Reach("at most", 1.1))


def peaks(queries: int) -> dict[str, float]:
    """Peak private MB of this process, of its largest labeling actor and of its head."""
    import psutil
    import ray

    ray.init(address="local", num_cpus=6, logging_level=logging.ERROR)
    peak = dict.fromkeys(("driver", *CHILDREN), 0.0)
    over = threading.Event()

    def private(process: psutil.Process) -> float:
        memory = process.memory_info()
        return (memory.rss - memory.shared) / 1e6

    def watch() -> None:
        me = psutil.Process()
        while not over.wait(0.2):
            peak["driver"] = max(peak["driver"], private(me))
            for child in me.children(recursive=True):
                try:
                    command = " ".join(child.cmdline())
                    for name, part in CHILDREN.items():
                        if part in command:
                            peak[name] = max(peak[name], private(child))
                except psutil.NoSuchProcess:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    with tempfile.TemporaryDirectory() as root:
        sampling, engine = {"num_samples": 2, "max_tokens": 2}, {"count": 2, "max_num_seqs": 16}
        simulated.label(root, queries, sampling, engine, simulated.InstantEngine)
    over.set()
    watcher.join()
    ray.shutdown()
    return peak
