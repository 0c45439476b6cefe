"""Whether an engine answers. Probes ask as often as they like; few of them reach it."""

import asyncio
import time

from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from pipelines.serving.errors import RequestError

_LONGEST = 10.0  # seconds that an engine may take for one token
_FRESH = 2.0  # seconds for which it need not be asked again


class Readiness:
    """engines: of Answerer."""

    def __init__(self, engines: DeploymentHandle):
        self._engines, self._known = engines, -_FRESH
        self._asking = asyncio.Lock()

    async def check(self) -> None:
        """RequestError where none answers; one whose queue is full does."""
        async with self._asking:
            if time.monotonic() - self._known < _FRESH:
                return
            asked = self._engines.ready.remote()
            try:
                await asyncio.wait_for(asked, _LONGEST)
            except BackPressureError:
                pass
            except Exception as error:  # whatever it is, no engine answered
                if isinstance(error, TimeoutError):
                    asked.cancel()
                line = f"no engine answers ({type(error).__name__})"
                raise RequestError(503, line, code="unavailable", retry_after=10) from None
            self._known = time.monotonic()
