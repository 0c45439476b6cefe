"""A node's free memory, and what Ray says of workers that it killed for want of it, in a line."""

import os
import re
from functools import cache
from typing import Any

import psutil

from pipelines.storage.errors import causes

# Of Ray's report, which has some sixty lines.
_KILLED = re.compile(
    r"(?P<count>\d+) worker\(s\) were killed due to the node running low on memory.*?"
    r"IP: (?P<ip>[^,]+),.*?was (?P<used>[\d.]+)GB used / (?P<limit>[\d.]+)GB limit",
    re.DOTALL,
)
_LARGEST = re.compile(r"COMMAND\n\d+\t(?P<used>[\d.]+)\t(?P<command>.*)")


def free() -> int:
    """Bytes that processes of this node may still take before Ray kills some of its workers: of the
    machine's, and of its container's where that has a limit."""
    from ray._private.utils import get_cgroup_mem_stats

    share = float(os.environ.get("RAY_memory_usage_threshold", "0.95"))  # noqa: SIM112
    machine = psutil.virtual_memory()
    spare = machine.available - (1 - share) * machine.total
    if (container := get_cgroup_mem_stats()) is not None:
        used, limit = container
        spare = min(spare, share * limit - used)
    return max(0, int(spare))


def total() -> int:
    """Bytes of this machine, or of its container where that has a lower limit."""
    from ray._private.utils import get_cgroup_mem_stats

    machine = psutil.virtual_memory().total
    container = get_cgroup_mem_stats()
    return machine if container is None else min(machine, container[1])


def brief(report: str) -> str | None:
    """Ray's report on workers that it killed for want of memory, in a line; None of another."""
    if (killed := _KILLED.search(report)) is None:
        return None
    line = (
        f"memory: Ray killed {killed['count']} of its workers on {killed['ip']}, where "
        f"{killed['used']} of {killed['limit']} GB were in use"
    )
    if largest := _LARGEST.search(report):
        command = " ".join(largest["command"].split())[:80]
        line += f", {largest['used']} of them by {command}"
    return line


def explain(error: BaseException) -> str | None:
    """What to do where Ray killed what the run waited for; None where it failed otherwise."""
    for cause in causes(error):
        if type(cause).__module__.startswith("ray") and (line := brief(str(cause))):
            return (
                f"{line}; free some there, or lower engine.count, engine.kv_cache_gib, "
                "engine.max_num_seqs or train.micro_tokens"
            )
    return None


@cache
def shorten_reports() -> None:
    """From now on this process prints Ray's reports in a line each. Ray has no setting for it."""
    from ray._private import worker

    whole = worker.print_to_stdstream

    def short(data: dict[str, Any], ignore_prefix: bool) -> None:
        whole(data | {"lines": [brief(one) or one for one in data["lines"]]}, ignore_prefix)

    worker.print_to_stdstream = short
