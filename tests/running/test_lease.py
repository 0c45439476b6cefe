"""Two runs on a root: one works, the other says so; a dead one's lease is taken over."""

import json
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from clock import set_clock
from processes import ROOT

from pipelines.running import lease
from pipelines.storage.location import Location

pytestmark = pytest.mark.process

GONE = {"id": "x", "pid": 1, "process_started": 0, "since": "yesterday", "renewals": 3}


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "config.yaml"
    settings = {
        "root": str(tmp_path / "root"),
        "model": {"source": "builtin:smollm2-135m"},
        "data": {"train": [{"name": "capitals", "limit": 4}]},
    }
    file.write_text(yaml.safe_dump(settings))
    return file


def run(config, *more):
    return subprocess.run(
        [sys.executable, "-m", "jobs.run", "--config", config, "--until", "queries", *more],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def succeeds(config, *more):
    done = run(config, *more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_second_run_says_who_is_at_work_and_stops(config, tmp_path):
    with lease.hold(Location.of(str(tmp_path / "root"))):
        second = run(config)
    assert second.returncode == 2, second.stderr
    assert second.stderr.startswith(f"error: root: another run is at work in {tmp_path}/root")
    assert second.stderr.count("\n") == 1
    assert not list((tmp_path / "root").iterdir())  # neither an artifact nor a lease
    succeeds(config)


def test_a_run_at_work_is_not_taken_for_dead_where_the_clock_was_set(tmp_path, monkeypatch):
    root = Location.of(str(tmp_path))
    with lease.hold(root):
        set_clock(monkeypatch, 3600)
        with pytest.raises(ValueError, match="another run is at work"), lease.hold(root):
            pass


def test_a_plan_and_a_finished_run_need_no_lease(config, tmp_path):
    succeeds(config)
    with lease.hold(Location.of(str(tmp_path / "root"))):
        succeeds(config, "--plan")
        assert "Nothing to do" in succeeds(config)


def test_a_dead_process_of_this_machine_is_followed_at_once(config, tmp_path):
    (tmp_path / "root").mkdir()
    dead = {**GONE, "host": socket.gethostname()}  # process 1 did not start at 0
    (tmp_path / "root" / lease.LEASE).write_text(json.dumps(dead))
    succeeds(config)
    assert not (tmp_path / "root" / lease.LEASE).exists()


def test_a_lease_that_nothing_renews_is_taken_over(config, tmp_path):
    """One of elsewhere, and one that is half written; each is waited for, beside the other."""
    leases = {"elsewhere": json.dumps({**GONE, "host": "elsewhere"}), "half": '{"id"'}
    for name, text in leases.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / lease.LEASE).write_text(text)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: succeeds(config, "--set", f"root={tmp_path / name}"), leases))
    assert not list(tmp_path.glob(f"*/{lease.LEASE}"))


def lose(root):
    (root / lease.LEASE).write_json({**GONE, "host": "elsewhere"})
    threading.Event().wait(300)  # for the interrupt


def test_a_holder_that_lost_its_lease_stops(tmp_path):
    """Also where SIGINT is ignored, as by what a script starts in the background."""
    root = Location.of(str(tmp_path))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt), lease.hold(root):
            lose(root)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / lease.LEASE).exists()  # the other's
