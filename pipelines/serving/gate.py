"""Which requests come in: as many at once as their key may have, as many as end before their
deadline, and none once the service is about to end."""

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipelines.config import Config
from pipelines.config.serving import ServeConfig
from pipelines.serving.errors import RequestError

_LAST = 64  # requests that ended, whose time says how long others will take
_LONGEST = 60  # seconds after which a client is told to try again
_LESS = 0.7  # of those that came in, after one that was late


class Visit:
    """Of one request. answered: set it where it was, to the end, or was told that it is late."""

    def __init__(self, now: Callable[[], float] = time.monotonic):
        self._now = now
        self.answered = False
        self.read()

    def read(self) -> None:
        """When its body has come: what was before is its client's time."""
        self.since = self._now()


class Gate:
    """Of one process. at_once: requests that the engines draw without a wait. now: a clock, in
    seconds.

    With a deadline it lets in what ends in time: one more for each lot that did, and fewer once one
    was late (additive increase, multiplicative decrease, as TCP finds a line's capacity); never
    less than `at_once`, which wait for nothing, so that what makes those late is their own length.
    """

    def __init__(self, serve: ServeConfig, at_once: int, now: Callable[[], float] = time.monotonic):
        self._serve, self._at_once, self._now = serve, at_once, now
        self._inside: Counter[str] = Counter()
        self._most = float(at_once)
        self._cut = -math.inf  # when it became less
        self._took: deque[float] = deque(maxlen=_LAST)
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    @contextmanager
    def entered(self, owner: str) -> Iterator[Visit]:
        """Counts a request as inside; RequestError where it may not come in."""
        self.check_open()
        most = self._serve.max_concurrent
        if most is not None and self._inside[owner] >= most:
            line = f"{most} requests of this key are under way (serve.max_concurrent); wait for one"
            raise RequestError(429, line, code="concurrency", retry_after=self.retry_after())
        if self._serve.deadline is not None and self._inside.total() >= self._most:
            line = "the requests before this one take too long for its deadline (serve.deadline)"
            raise RequestError(429, line, code="overloaded", retry_after=self.retry_after())
        self._inside[owner] += 1
        self._empty.clear()
        visit = Visit(self._now)
        try:
            yield visit
        finally:
            if visit.answered:  # what was refused, or left by its client, says nothing
                self._learn(visit.since)
            self._inside[owner] -= 1
            if not self._inside[owner]:
                del self._inside[owner]
            if not self._inside:
                self._empty.set()

    def check_open(self) -> None:
        """RequestError once the service drains."""
        if self._draining:
            line = "the server is about to end; it finishes what it has"
            raise RequestError(503, line, code="draining", retry_after=self.retry_after())

    def queue_full(self) -> RequestError:
        """Where the queue has no room."""
        line = f"{self._serve.max_queue} requests wait already (serve.max_queue)"
        return RequestError(429, line, code="overloaded", retry_after=self.retry_after())

    def retry_after(self) -> int:
        """Seconds that the last ones were inside, on average; 1 at least."""
        mean = sum(self._took) / max(1, len(self._took))
        return max(1, min(_LONGEST, math.ceil(mean)))

    async def drain(self) -> None:
        """Lets none in any more, and returns when all have ended."""
        self._draining = True
        await self._empty.wait()

    def _learn(self, since: float) -> None:
        """From a request that ends."""
        now, inside = self._now(), self._inside.total()
        self._took.append(now - since)
        if self._serve.deadline is not None and now - since >= self._serve.deadline:
            if since >= self._cut:  # else it came in with those for which it was cut
                self._most = max(self._at_once, self._most * _LESS)
                self._cut = now
        elif inside > self._most / 2:  # where few are inside, more are not known to fit
            self._most += 1 / self._most


def full(config: Config) -> int:
    """Requests whose samples fill the batch of one engine."""
    budget = config.serve.scaling.budget or config.evaluate.num_samples
    return max(1, config.engine.max_num_seqs // budget)
