"""How far a stage is and how long it will take, in a line every few seconds."""

import time
from collections.abc import Callable


class Progress:
    """Counts what a stage did and says so: at the first, then every `every` seconds, at the last.

    what: begins each line, as "label: this engine did"; unit: of what is counted; total: of them,
    0 if that is not known; before: done by an earlier run, whose time is not this one's.
    """

    def __init__(
        self,
        what: str,
        total: int,
        unit: str,
        before: int = 0,
        every: float = 12.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._what, self._total, self._unit, self._every = what, total, unit, every
        self._clock = clock
        self._start = clock()
        self._said = -every
        self._before = self._done = before

    def did(self, count: int = 1, more: str = "") -> None:
        """Counts so many; `more` follows in the line, if there is one."""
        self._done += count
        now = self._clock() - self._start
        last = self._done == self._total
        if now - self._said < self._every and not last:
            return
        first, self._said = self._said < 0, now
        if self._done > self._total:
            parts = [f"{self._what} {self._done} {self._unit}", more]
        else:
            parts = [f"{self._what} {self._done} of {self._total} {self._unit}", more]
            if not (first or last):  # the first of many at once takes nearly as long as all
                left = (self._total - self._done) * now / (self._done - self._before)
                parts.append(f"about {duration(left)} left")
        print(", ".join(filter(None, parts)), flush=True)


def duration(seconds: float) -> str:
    """For people: seconds up to two minutes, then minutes."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
