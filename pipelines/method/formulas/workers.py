"""Processes that compare formulas, each comparison under a limit that holds.

SymPy may take for ever, in one long multiplication that no exception interrupts, and math-verify's
own time limits want a main thread, which an actor's code does not run in. So algebra.py runs as a
process that answers line by line, and the kernel ends it where a comparison takes more than LIMIT
seconds of its CPU: not of the clock, so that a busy machine changes no verdict. The next comparison
starts another. A process lives as long as the one that started it, whose end closes its input.

They are no multiprocessing workers: those import the main module, which is Ray where an actor asks,
and leave semaphores and a warning where the process that started them is killed.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from queue import LifoQueue

LIMIT = 3.0  # seconds of CPU a comparison; half of it for a formula alone
_MODULE = "pipelines.method.formulas.algebra"
_MOST = min(4, os.cpu_count() or 1)
_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM)  # the limit, or a crash, ends by others


class _Worker:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULE, str(LIMIT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # Ctrl-C is for the process that started it
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "PYTHONHASHSEED": "0",  # SymPy's order of terms is that of their hashes
            },
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._verdicts = self._process.stdin, self._process.stdout
        if not self._verdicts.readline():  # it says that it has imported SymPy
            raise RuntimeError(
                f"a process that compares formulas does not start: `{sys.executable} -m {_MODULE}` "
                f"ended with {self._process.wait()}"
            )

    def ask(self, first: str, second: str) -> str:
        """A line of JSON, or "" where the process ended."""
        try:
            self._requests.write(json.dumps([first, second]) + "\n")
            self._requests.flush()
            return self._verdicts.readline()
        except BrokenPipeError:
            return ""

    def end(self) -> int:
        """Its exit code; what it does is cut off."""
        self._process.kill()
        with suppress(BrokenPipeError), self._process:  # closing sends what was not sent
            pass
        return self._process.returncode


# The last that was given back is the next to be asked, so no more are started than are needed.
_idle: "LifoQueue[_Worker | None]" = LifoQueue()
for _ in range(_MOST):
    _idle.put(None)


def ask(first: str, second: str) -> bool | None:
    """algebra.compare of two formulas in one of the processes; None where it does not end.

    From any thread. RuntimeError where no process can be had.
    """
    for _ in range(3):
        worker = _idle.get()
        line, code = "", 0
        try:
            worker = worker or _Worker()
            line = worker.ask(first, second)
        finally:  # also where Ctrl-C ends the wait: what it answers then is for nobody
            if worker and not line:
                code, worker = worker.end(), None
            _idle.put(worker)
        if line:
            verdict: bool | None = json.loads(line)
            return verdict
        if code not in _OUTSIDE:
            return None
    raise RuntimeError("processes that compare formulas are killed as soon as they start")
