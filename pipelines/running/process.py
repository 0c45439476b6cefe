"""Which process a number means: a process id is used again, and a clock may be set."""

from pathlib import Path

import psutil


def began(pid: int) -> float:
    """When the process with this id began; psutil.NoSuchProcess where there is none.

    On Linux in clock ticks since the machine started, which setting its clock leaves alone
    (man 5 proc_pid_stat, starttime). Elsewhere psutil's time, in seconds since 1970.
    """
    process = psutil.Process(pid)
    if not psutil.LINUX:
        return process.create_time()
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(pid) from None
    # The second field is a name in parentheses, which may hold any of these and spaces.
    return int(stat.rpartition(b")")[2].split()[19])
