"""Measures this project against the ordinary ways to do the same work, side by side in one run:

python -m jobs.bench [NAME ...] [--quick] [--json FILE]

Names are those of the groups below; by default all but these: scaling and memory, whose
engines are simulated and which take a quarter of an hour together, and gpu, which is what only a
GPU can show. The others run on a CPU, and on a GPU unchanged.
--quick takes minutes: the groups that count tokens or run one engine, small; its times are of no
use. FILE gets a JSON object a line, first of the machine, then of each figure as it comes: what a
run that is cut short leaves counts.
"""

import argparse
import importlib
import json
import os
import platform
import sys
import time
from contextlib import nullcontext
from typing import TextIO

from jobs.benchmarks.measurement import Measurement, in_subprocess
from pipelines.running.cluster import MALLOC
from pipelines.storage.location import versions

BY_DEFAULT = (
    "start",
    "answers",
    "replay",
    "score",
    "edt",
    "decode",
    "token_facts",
    "train",
    "label",
    "overhead",
    "evaluate",
    "serve",
    "adapter",
)
GROUPS = (*BY_DEFAULT, "scaling", "memory", "gpu")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.bench", description=__doc__.split("\n")[0]
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(GROUPS))
    parser.add_argument("--quick", action="store_true", help="a subset, in minutes")
    parser.add_argument("--json", metavar="FILE", help="write the figures here too")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(GROUPS)
    if unknown:
        print(f"error: {', '.join(unknown)}: none of {', '.join(GROUPS)}", file=sys.stderr)
        return 2
    # Our engine sets this for the process that it starts; plain vLLM's runs in its caller's, which
    # must have it from the start. So both sides have it.
    os.environ.setdefault("GLIBC_TUNABLES", MALLOC)
    here = in_subprocess(machine)
    if "gpu" in options.names and not (options.quick or here["gpus"]):
        print("error: gpu: torch finds no GPU here; --quick tries it on a CPU", file=sys.stderr)
        return 2
    out = open(options.json, "w") if options.json else nullcontext()  # noqa: SIM115
    figures: list[Measurement] = []
    with out as lines:
        _write(lines, {"machine": here, "versions": versions()})
        try:
            for name in options.names or BY_DEFAULT:
                start = time.monotonic()
                for figure in importlib.import_module(f"jobs.benchmarks.{name}").run(options.quick):
                    print(_line(figure), flush=True)
                    _write(lines, {"name": figure.name, **figure.as_json()})
                    figures.append(figure)
                print(f"bench: {name} took {time.monotonic() - start:.0f} s", flush=True)
        finally:  # of what there is, where one fails
            print_table(figures)
    return 0


def _write(lines: TextIO | None, fact: dict[str, object]) -> None:
    if lines is not None:
        print(json.dumps(fact), file=lines, flush=True)


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    import torch

    cards = range(torch.cuda.device_count())
    return {
        "gpus": [torch.cuda.get_device_name(i) for i in cards],
        "cpus": len(os.sched_getaffinity(0)),
        "processor": platform.processor() or platform.machine(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
    }


def _line(figure: Measurement) -> str:
    return f"bench: {figure.name} {figure.ratio:.3g} ({figure.reach})"


def print_table(figures: list[Measurement]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Ours against the baseline; medians of paired runs")
    for column in ("figure", "ours", "baseline", "unit", "ratio", "min to max", "reach"):
        table.add_column(column, no_wrap=True)
    for one in figures:
        table.add_row(
            one.name,
            f"{one.ours:.4g}",
            f"{one.baseline:.4g}",
            one.unit,
            f"{one.ratio:.3g}",
            f"{one.min:.3g} to {one.max:.3g}",
            f"{one.reach} {'yes' if one.reach.met(one.ratio) else 'no'}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    sys.exit(main())
