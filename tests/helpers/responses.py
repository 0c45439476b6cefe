"""What a handle of Ray Serve's deployment answers a call with, without Serve."""

import asyncio
from collections.abc import Callable, Generator
from typing import Any

from pipelines.serving.errors import RequestError


class Response:
    """Comes as `told` says: None never; an exception is raised, but for a refusal, which is told as
    any answer is."""

    def __init__(self, told: Any, cancel: Callable[[], None]):
        self._told, self.cancel = told, cancel

    def __await__(self) -> Generator[Any, None, Any]:
        return self._come().__await__()

    async def _come(self) -> Any:
        if self._told is None:
            await asyncio.Event().wait()
        if isinstance(self._told, Exception) and not isinstance(self._told, RequestError):
            raise self._told
        return self._told
