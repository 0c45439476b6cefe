"""A process is told from a later one of the same number, whatever the machine's clock is set to."""

import os
import subprocess
import sys
import time

import psutil
import pytest
from clock import set_clock

from pipelines.running.process import began


def test_it_is_when_the_process_began():
    """In ticks since the machine started: so much before what the same clock says now."""
    ticks = os.sysconf("SC_CLK_TCK")
    before = time.time() - psutil.Process().create_time()
    ago = time.clock_gettime(time.CLOCK_BOOTTIME) - began(os.getpid()) / ticks
    assert before - 2 < ago < time.time() - psutil.Process().create_time() + 2
    assert began(os.getppid()) <= began(os.getpid())


def test_setting_the_clock_changes_nothing(monkeypatch):
    before = began(os.getpid())
    set_clock(monkeypatch, 3600)
    assert began(os.getpid()) == before


def test_a_name_may_hold_anything(tmp_path):
    named = tmp_path / "a) b 1 (2"
    named.symlink_to("/bin/cat")
    with subprocess.Popen([named], stdin=subprocess.PIPE) as child:  # ends with its input
        assert began(child.pid) >= began(os.getpid())


def test_of_a_process_that_ended_nothing_is_told():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with pytest.raises(psutil.NoSuchProcess):
        began(ended.pid)
