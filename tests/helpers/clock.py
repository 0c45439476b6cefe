"""A machine whose clock is set while processes run, and an event loop with a clock of its own."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import TypeVar

import psutil
import pytest

T = TypeVar("T")


def set_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Moves it by so much, and with it when psutil says that a process began."""
    began = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: began(self) + seconds)


class _Patient(selectors.DefaultSelector):
    """Time goes on where nothing else does: by as much as the loop would wait."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list:
        if timeout:
            self.now, timeout = self.now + timeout, 0
        return super().select(timeout)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._patient = _Patient()
        super().__init__(self._patient)

    def time(self) -> float:
        return self._patient.now


def run_patiently(work: Coroutine[None, None, T]) -> T:
    """asyncio.run, but a deadline comes when all else that can be done is done: no sooner on a busy
    machine, and without a wait. Not for what waits for threads or processes."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(work)
