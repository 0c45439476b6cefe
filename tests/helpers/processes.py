"""Processes that run the project's jobs."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil
from waiting import once

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent.parent


def start(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """In the project's root; it and Ray's workers find its packages. stdout has all it prints."""
    inherited = os.environ if environment is None else environment
    return subprocess.Popen(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT), **inherited}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        pipesize=2**20,  # nobody may read for a while, for which it would wait where that is full
        # What runs in the background ignores SIGINT, and so would all that is started from there.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def command_line(process: psutil.Process) -> str:
    """Its command line; nothing of one that has ended, though its parent has not seen that yet."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def descendants(*parts: str) -> list[psutil.Process]:
    """This process's children, theirs and so on, with one of the parts in their command line."""
    everything = psutil.Process().children(recursive=True)
    return [one for one in everything if any(part in command_line(one) for part in parts)]


def kill(process: psutil.Process) -> None:
    """At once; one that has just ended is left alone."""
    with suppress(psutil.NoSuchProcess):
        process.kill()


def amid(process: subprocess.Popen[str], look: Callable[[], T], every: float = 0.2) -> T:
    """The first result of look() that is true; fails where a process ends before, by what that
    printed."""

    def watch() -> T:
        ended = process.poll() is not None  # what it did last is looked at
        found = look()
        if ended and not found:
            printed = "".join(filter(None, process.communicate()))
            raise AssertionError(f"it ended with {process.returncode} before:\n{printed}")
        return found

    return once(watch, every=every)


def printed_until(text: str, process: subprocess.Popen[str]) -> str:
    """What it prints up to the line that has the text, which it must print."""
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if text in line:
            return printed
    raise AssertionError(f"it ended with {process.wait()} and never said {text!r}:\n{printed}")
