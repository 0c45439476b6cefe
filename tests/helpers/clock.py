"""A machine whose clock is set while processes run."""

import psutil
import pytest


def set_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Moves it by so much, and with it when psutil says that a process began."""
    began = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: began(self) + seconds)
