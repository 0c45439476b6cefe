"""Peak memory of the label stage's driver and actors at ten times the queries: flat, or not.

With simulated engines of no weights and no KV cache; what an actor shares (object store, code)
is left out.
"""

import logging
import tempfile
import threading
from collections.abc import Iterator

from jobs.benchmarks import simulated
from jobs.benchmarks.figure import Figure, Reach, apart

QUERIES = (1_000, 10_000)


def run(quick: bool) -> Iterator[Figure]:
    if quick:
        return
    few, many = (apart(peaks, n) for n in QUERIES)
    for name in ("driver", "actor"):
        pairs = [(many[name], few[name])]
        yield Figure.of(f"memory.{name}", "MB", pairs, Reach("at most", 1.1))


def peaks(queries: int) -> dict[str, float]:
    """Peak private MB of this process and of its largest labeling actor."""
    import psutil
    import ray

    ray.init(address="local", num_cpus=6, logging_level=logging.ERROR)
    peak = {"driver": 0.0, "actor": 0.0}
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
                    if "QueryLabeler" in " ".join(child.cmdline()):
                        peak["actor"] = max(peak["actor"], private(child))
                except psutil.NoSuchProcess:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    with tempfile.TemporaryDirectory() as root:
        sampling = {"num_samples": 2, "max_tokens": 2}
        simulated.label(root, queries, sampling, {"count": 2, "max_num_seqs": 16})
    over.set()
    watcher.join()
    ray.shutdown()
    return peak
