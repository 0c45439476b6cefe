"""Whether an engine answers. Probes ask as often as they like; few of them reach it, and none
while requests are answered."""

import asyncio
import math
import time

from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from pipelines.serving.errors import RequestError

_LONGEST = 10.0  # seconds that an engine may take for one token
_FRESH = 5.0  # seconds for which what is known need not be asked again


class Readiness:
    """engines: of Answerer."""

    def __init__(self, engines: DeploymentHandle):
        self._engines, self._known = engines, -math.inf
        self._wrong: str | None = None
        self._asking = asyncio.Lock()

    def answered(self) -> None:
        """That a request was, which says as much: full replicas leave a probe waiting."""
        self._known, self._wrong = time.monotonic(), None

    async def check(self) -> None:
        """RequestError where none answers; one whose queue is full does."""
        async with self._asking:
            if (began := time.monotonic()) - self._known >= _FRESH:
                wrong = await self._ask()
                if self._known < began:
                    self._known, self._wrong = time.monotonic(), wrong
        if self._wrong:
            raise RequestError(503, self._wrong, code="unavailable", retry_after=10)

    async def _ask(self) -> str | None:
        asked = self._engines.ready.remote()
        try:
            await asyncio.wait_for(asked, _LONGEST)
        except BackPressureError:
            pass
        except Exception as error:  # whatever it is, no engine answered
            if isinstance(error, TimeoutError):
                asked.cancel()
            return f"no engine answers ({type(error).__name__})"
        return None
