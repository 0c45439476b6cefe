"""How far a stage is and how long it will take: a bar on a terminal, else a line now and then.

Workers count, in other processes (board.py); the process that waits for them looks and tells. So
what it tells depends on no event: where the first response takes minutes, its tokens are told.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

_LOOK_EVERY = 2.0  # seconds
_ENOUGH = 100  # tokens, to tell from how long the others take


@dataclass
class Count:
    """Of a stage's unit (samples, steps), how many are done; and tokens, those of what is not done
    yet too. kept: of the done ones, those that stay if who counts them dies; in the end, all.
    more: to be told."""

    done: int = 0
    tokens: int = 0
    kept: int = 0
    more: str = ""


class Progress:
    """What to say of a stage's counts. Its time begins with the first that it is shown.

    what: begins each line; unit: of what is counted; total: of them, of which an earlier run may
    have done some. tokens: in all, where they are known; the time that is left follows from them.
    longest: tokens of one of the unit at most; a bound follows from it until one has ended.
    """

    def __init__(
        self,
        what: str,
        total: int,
        unit: str,
        tokens: int | None = None,
        longest: int | None = None,
        every: float = 12.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.what, self.total = what, total
        self._unit, self._tokens, self._longest = unit, tokens, longest
        self._every, self._clock = every, clock
        self._first: Count | None = None
        self._ended = False

    def text(self, now: Count) -> str:
        """How far it is, and when it will end if that can be told."""
        if self._first is None:
            self._first = Count(now.done, now.tokens)
            self._start = self._said = self._clock()
        seconds = self._clock() - self._start
        tokens = now.tokens - self._first.tokens
        parts = [f"{min(now.done, self.total):,} of {self.total:,} {self._unit}"]
        of = f" of {self._tokens:,}" if self._tokens else ""
        parts.append(f"{now.tokens:,}{of} tokens")
        if seconds > 0 and tokens > 0:
            parts.append(f"{tokens / seconds:,.0f} tokens/s")
            parts.append(self._left(now, tokens, seconds))
        return ", ".join(filter(None, [*parts, now.more]))

    def line(self, now: Count, last: bool = False) -> str | None:
        """A whole line, where the one before was long enough ago, or all is kept; then no more."""
        text = self.text(now)
        last = last or now.kept >= self.total  # done is done again where an engine dies
        if self._ended or (self._clock() - self._said < self._every and not last):
            return None
        self._said, self._ended = self._clock(), last
        return f"{self.what}: {text}"

    def _left(self, now: Count, tokens: int, seconds: float) -> str:
        assert self._first is not None, "there is a first before there are more"
        left, done = self.total - now.done, now.done - self._first.done
        if left <= 0 or tokens < _ENOUGH:
            return ""
        if self._tokens:
            return f"about {duration((self._tokens - now.tokens) * seconds / tokens)} left"
        most = None
        if self._longest:
            # Less than none where tokens came twice, of what an engine that died had begun.
            most = max(0.0, ((left + done) * self._longest - tokens) * seconds / tokens) or None
        if done <= 0:
            return f"at most {duration(most)} left" if most else ""
        # Of many that were begun together the first to end takes as long as all.
        return f"about {duration(min(left * seconds / done, most or math.inf))} left"


def duration(seconds: float) -> str:
    """For people: seconds up to two minutes, then minutes, from two hours on hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


@contextmanager
def watched(progress: Progress, look: Callable[[], Count | None]) -> Iterator[None]:
    """Shows what `look` counts (None: nothing is known) until the context ends, and then that all
    is done: what was counted last may be under way yet."""
    with _shown(progress) as show:

        def once() -> None:
            if (now := look()) is not None:
                show(now, False)

        with repeated(once, _LOOK_EVERY):
            yield
        if (now := look()) is not None:
            show(replace(now, done=progress.total, kept=progress.total), True)


@contextmanager
def repeated(work: Callable[[], None], every: float) -> Iterator[None]:
    """`work()` in a thread, every so many seconds while the context lasts."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(every):
            work()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _shown(progress: Progress) -> Iterator[Callable[[Count, bool], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    def say(now: Count, last: bool) -> None:
        if line := progress.line(now, last):
            print(line, flush=True)

    def draw(now: Count, last: bool) -> None:
        bars.update(task, completed=now.done, text=progress.text(now))

    console = Console()
    if not console.is_terminal or console.is_dumb_terminal:
        yield say
        return
    columns = TextColumn("{task.description}"), BarColumn(None), TextColumn("{task.fields[text]}")
    with Bars(*columns, console=console, refresh_per_second=2) as bars:
        task = bars.add_task(progress.what, total=progress.total, text="")
        yield draw
