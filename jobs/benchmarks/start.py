"""How long a user waits for what runs nothing: `--help`, `--plan`, a config error."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from jobs.benchmarks.measurement import Measurement, Reach

_QUICKSTART = str(Path(__file__).parent.parent / "configs" / "quickstart.yaml")
_CALLS = {
    "help": ["--help"],
    "plan": ["--config", _QUICKSTART, "--plan"],
    "config_error": ["--config", _QUICKSTART, "--set", "trian.epochs=2"],
}


def run(quick: bool) -> Iterator[Measurement]:
    for name, arguments in _CALLS.items():
        pairs = [(_seconds(arguments), 1.0) for _ in range(1 if quick else 3)]
        yield Measurement.of(f"start.{name}", "s, of 1", pairs, Reach("at most", 1))


def _seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "jobs.run", *arguments],
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        check=False,
    )
    return time.perf_counter() - start
