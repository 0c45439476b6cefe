"""Which requests come in: as many at once as their key may have, none that would wait past its
deadline, and none once the service is about to end."""

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipelines.config.serving import ServeConfig
from pipelines.serving.errors import RequestError

_LAST = 64  # requests that ended, whose rate says how long others will take
_LONGEST = 60  # seconds after which a client is told to try again


class Gate:
    """Of one process. now: a clock, in seconds."""

    def __init__(self, serve: ServeConfig, now: Callable[[], float] = time.monotonic):
        self._serve, self._now = serve, now
        self._inside: Counter[str] = Counter()
        self._ended: deque[float] = deque(maxlen=_LAST)
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    @contextmanager
    def entered(self, owner: str) -> Iterator[None]:
        """Counts a request as inside; RequestError where it may not come in."""
        self.check_open()
        most = self._serve.max_concurrent
        if most is not None and self._inside[owner] >= most:
            line = f"{most} requests of this key are under way (serve.max_concurrent); wait for one"
            raise RequestError(429, line, code="concurrency", retry_after=self.retry_after())
        deadline = self._serve.deadline
        # Waits differ, so half of it: the mean of those inside may be no more.
        if deadline is not None and self._wait() > deadline / 2:
            line = "the requests before this one take too long for its deadline (serve.deadline)"
            raise RequestError(429, line, code="overloaded", retry_after=self.retry_after())
        self._inside[owner] += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._inside[owner] -= 1
            self._ended.append(self._now())
            if not self._inside[owner]:
                del self._inside[owner]
            if not self._inside:
                self._empty.set()

    def check_open(self) -> None:
        """RequestError once the service drains."""
        if self._draining:
            line = "the server is about to end; it finishes what it has"
            raise RequestError(503, line, code="draining", retry_after=self.retry_after())

    def full(self) -> RequestError:
        """Where the queue has no room."""
        line = f"{self._serve.max_queue} requests wait already (serve.max_queue)"
        return RequestError(429, line, code="overloaded", retry_after=self.retry_after())

    def retry_after(self) -> int:
        """Seconds until those inside have ended, at the rate of the last ones; 1 at least."""
        return max(1, min(_LONGEST, math.ceil(self._wait())))

    async def drain(self) -> None:
        """Lets none in any more, and returns when all have ended."""
        self._draining = True
        await self._empty.wait()

    def _wait(self) -> float:
        """Seconds that one more request would be inside (Little's law); 0 where too few ended."""
        if len(self._ended) < 2:
            return 0.0
        return self._inside.total() * (self._now() - self._ended[0]) / len(self._ended)
