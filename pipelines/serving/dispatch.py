"""A request on its way to a replica with an engine, and to another where that one dies.

Its draws depend on its seed alone, so the other draws the same.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

from ray.exceptions import OutOfMemoryError, RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from pipelines.serving.errors import RequestError
from pipelines.serving.events import RESTARTED, Event
from pipelines.serving.reply import Outcome
from pipelines.serving.wire import Asked, Told

T = TypeVar("T")
_TRIES = 5  # of a request whose replicas die
_DIED = (RayActorError, OutOfMemoryError)
_GRACE = 2.0  # seconds past a deadline, at which a replica itself ends a request
_LOOK = 0.5  # more of them, for what is there already when this process itself comes late


class Dispatch:
    """engines: of Answerer. queue_full: what to say where the queue has no room. deadline: seconds.
    answered: is told of each outcome."""

    def __init__(
        self,
        engines: DeploymentHandle,
        queue_full: Callable[[], RequestError],
        deadline: float | None,
        answered: Callable[[], None],
    ):
        self._engines, self._queue_full, self._deadline = engines, queue_full, deadline
        self._answered = answered

    @retry(retry=retry_if_exception_type(_DIED), stop=stop_after_attempt(_TRIES), reraise=True)
    async def answer(self, asked: Asked) -> Outcome:
        """RequestError where it is refused."""
        response = self._engines.answer.remote(asked)
        try:
            return _not_refused(await self._in_time(asked, response, response))
        except asyncio.CancelledError:  # its client is gone
            response.cancel()
            raise

    async def tell(self, asked: Asked) -> AsyncGenerator[Told, None]:
        """What happens, and last the outcome; RequestError where it is refused."""
        begun, said = False, ""  # of the message
        for tries_left in reversed(range(_TRIES)):
            skipped = _Skipped(said)
            stream: Any = self._engines.options(stream=True).tell.remote(asked)
            try:
                while True:
                    told = _not_refused(await self._in_time(asked, stream, anext(stream)))
                    if isinstance(told, Outcome):
                        yield told
                        return
                    new = skipped.past(told)
                    said += "".join(one["text"] for one in new if one["event"] == "message")
                    yield new
                    begun = True
            except _DIED:
                if not tries_left:
                    raise
                if begun:  # else the first of all may still be a refusal
                    yield [RESTARTED]
            except RequestError:  # it has ended
                raise
            except BaseException:  # above all, its client is gone
                stream.cancel()
                raise

    async def _in_time(self, asked: Asked, response: Any, told: Awaitable[T]) -> T:
        """Also of a request that still waits for a replica at its deadline, be it for another."""
        left = None
        if self._deadline is not None:
            left = asked.came + self._deadline + _GRACE - time.time()
        task = asyncio.ensure_future(told)
        # What one that is left fails with is nobody's.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        try:
            for seconds in (left, _LOOK):
                await asyncio.wait([task], timeout=seconds)
            if not task.done():
                response.cancel()
                raise RequestError(408, "no sample ended in time", code="deadline")
            if isinstance(made := task.result(), Outcome):
                self._answered()
            return made
        except BackPressureError:
            raise self._queue_full() from None
        except DeploymentUnavailableError:
            line = "no engine starts; the server's log says why"
            raise RequestError(503, line, code="unavailable", retry_after=30) from None
        finally:
            task.cancel()


class _Skipped:
    """Leaves out what a client has of a message that is drawn again."""

    def __init__(self, said: str):
        self._said = said

    def past(self, events: list[Event]) -> list[Event]:
        return [event for event in map(self._new, events) if event.get("text") != ""]

    def _new(self, event: Event) -> Event:
        if event["event"] != "message" or not self._said:
            return event
        text, said = event["text"], self._said
        both = min(len(text), len(said))
        if text[:both] != said[:both]:
            raise RuntimeError("a replica died, and another drew another message")
        self._said = said[both:]
        return event | {"text": text[both:]}


def _not_refused(told: Any) -> Any:
    if isinstance(told, RequestError):
        raise told
    return told
