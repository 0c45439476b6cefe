"""Ports of this machine that nobody else takes between the look and the use."""

import os
import socket
from itertools import count

# Below those that the kernel gives to whoever names none (from 32768), as Ray's many processes do,
# and above those that Ray gives its workers (to 19999). A thousand for each of xdist's workers.
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_numbers = count(20_000 + 1_000 * (_worker % 10) + os.getpid() % 900)


def free_port() -> int:
    """One where nothing listens; never the same twice."""
    return next(filter(_is_free, _numbers))


def _is_free(number: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", number))
        except OSError:
            return False
        return True
