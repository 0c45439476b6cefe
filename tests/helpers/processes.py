"""Processes that run the project's jobs."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent


def start(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """In the project's root; it and Ray's workers find its packages. stdout has all it prints."""
    inherited = os.environ if environment is None else environment
    return subprocess.Popen(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT), **inherited}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
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


def printed_until(text: str, process: subprocess.Popen[str]) -> str:
    """What it prints up to the line that has the text, or all of it where none has."""
    printed = ""
    for line in process.stdout:
        printed += line
        if text in line:
            break
    return printed
