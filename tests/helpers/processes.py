"""Processes that run the project's jobs."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil
from waiting import once

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent.parent


@contextmanager
def started(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """In the project's root; it and Ray's workers find its packages. stdout has all it prints.
    What runs still in the end is killed, with all that it started."""
    inherited = os.environ if environment is None else environment
    with subprocess.Popen(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT), **inherited}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        pipesize=2**20,  # nobody may read for a while, for which it would wait where that is full
        # What runs in the background ignores SIGINT, and so would all that is started from there.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            kill_with_children(process)


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


def interrupt(process: subprocess.Popen[str], seconds: float = 300) -> str:
    """As Ctrl-C does, and again where nothing comes of it: Python drops a KeyboardInterrupt that
    meets a callback of the garbage collector. Not where it says that it was interrupted: Ray may
    take minutes to leave a cluster, and dies of another. Returns what is printed until it has
    ended."""
    deadline = time.monotonic() + seconds
    printed = b""
    while True:
        if b"interrupted" not in printed:
            process.send_signal(signal.SIGINT)
        try:
            return process.communicate(timeout=60)[0]
        except subprocess.TimeoutExpired as late:
            if time.monotonic() > deadline:
                raise
            printed = late.output or b""


def kill_with_children(process: subprocess.Popen[Any]) -> None:
    """And theirs and so on, at once; returns when it has ended."""
    if process.poll() is None:
        top = psutil.Process(process.pid)
        for one in (top, *top.children(recursive=True)):
            kill(one)
    process.wait()


def amid(process: subprocess.Popen[str], look: Callable[[], T], every: float = 0.2) -> T:
    """The first result of look() that is true; fails where a process ends before, by what that
    printed."""

    def watch() -> T:
        ended = process.poll() is not None  # what it did last is looked at
        found = look()
        if ended and not found:
            raise AssertionError(f"it ended with {process.returncode} before:\n{_rest(process)}")
        return found

    return once(watch, every=every)


def _rest(process: subprocess.Popen[str]) -> str:
    """What one that has ended printed; a child of it may hold its stdout for longer than that."""
    try:
        return "".join(filter(None, process.communicate(timeout=60)))
    except subprocess.TimeoutExpired as late:  # with bytes, of text too
        read: list[Any] = [late.stdout, late.stderr]
        return b"".join(filter(None, read)).decode(errors="replace")


def printed_until(text: str, process: subprocess.Popen[str]) -> str:
    """What it prints up to the line that has the text, which it must print."""
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if text in line:
            return printed
    raise AssertionError(f"it ended with {process.wait()} and never said {text!r}:\n{printed}")
