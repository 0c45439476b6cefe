"""One run at a time on a root: a small file that its run renews while it lives.

A run that finds another's lease waits to see whether it is renewed. If it is, the run stops with
one line; if its process is gone, or nothing renews it, it died, and the run takes over.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import psutil

from pipelines.running.process import began
from pipelines.storage.errors import explain
from pipelines.storage.location import Location

LEASE = "_RUNNING.json"
_RENEW_EVERY = 5.0  # seconds
_DEAD_AFTER = 30.0  # seconds without a renewal, by the waiting run's own clock
_SETTLE = 2.0  # seconds after which two that took over at once see who did
_TAKEN = signal.SIGUSR1  # SIGINT is ignored by what a script starts in the background


@contextlib.contextmanager
def hold(root: Location) -> Iterator[None]:
    """Holds the root's lease; ValueError, with who has it, where another run is at work.

    A holder that finds its lease taken (it was stopped for longer than a lease lasts) interrupts
    its process.
    """
    file = root / LEASE
    mine = _mine()
    try:
        if not file.create_text(_text(mine, 0)):
            _take_over(file, mine)
    except FileNotFoundError as error:  # as /proc says it
        if explain(error) is not None:
            raise
        raise ValueError(f"root: {root.uri} cannot be made or written to; set another") from None
    over = threading.Event()
    renewer = threading.Thread(target=_renew, args=(file, mine, over), daemon=True)
    before = signal.signal(_TAKEN, signal.default_int_handler)
    renewer.start()
    try:
        yield
    finally:
        over.set()
        renewer.join()
        signal.signal(_TAKEN, before)
        if _read(file).get("id") == mine["id"]:
            file.delete_file()


def _mine() -> dict[str, Any]:
    return {
        "id": uuid.uuid4().hex,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_started": began(os.getpid()),
        "since": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
    }


def _text(mine: dict[str, Any], renewals: int) -> str:
    return json.dumps({**mine, "renewals": renewals}) + "\n"


def _read(file: Location) -> dict[str, Any]:
    """{} where the lease was given up since it was seen."""
    try:
        return file.read_json()
    except FileNotFoundError:
        return {}
    except ValueError:  # half written: nobody's, unless it is renewed
        return {"host": None}


def _take_over(file: Location, mine: dict[str, Any]) -> None:
    found = _read(file)
    deadline = time.monotonic() + _DEAD_AFTER
    while found and not _is_gone(found) and time.monotonic() < deadline:
        time.sleep(1)
        now = _read(file)
        if now and now != found:
            _refuse(file, now)
        found = now
    file.write_text(_text(mine, 0))
    time.sleep(_SETTLE)
    if (now := _read(file)).get("id") != mine["id"]:
        _refuse(file, now)


def _is_gone(holder: dict[str, Any]) -> bool:
    """Whether it ran on this machine and its process has ended."""
    if holder["host"] != socket.gethostname():
        return False
    try:
        return began(holder["pid"]) != holder["process_started"]
    except psutil.NoSuchProcess:
        return True


def _refuse(file: Location, holder: dict[str, Any]) -> None:
    who = f"process {holder.get('pid')} on {holder.get('host')}, since {holder.get('since')}"
    raise ValueError(
        f"root: another run is at work in {file.parent.uri} ({who}); wait for it, or set another"
    )


def _renew(file: Location, mine: dict[str, Any], over: threading.Event) -> None:
    renewals = 0
    while not over.wait(_RENEW_EVERY):
        try:
            # None may mean that storage is away for a moment, which s3fs tells as a missing file.
            if (now := _read(file)) and now.get("id", mine["id"]) != mine["id"]:
                print(f"root: another run took over in {file.parent.uri}: {now}", file=sys.stderr)
                os.kill(os.getpid(), _TAKEN)
                return
            renewals += 1
            file.write_text(_text(mine, renewals))
        except Exception as error:  # storage that is away for a moment, each kind in its own way
            print(f"root: could not renew {file.uri} ({error})", file=sys.stderr)
