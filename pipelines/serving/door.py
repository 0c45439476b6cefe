"""What every HTTP request passes before it is read: its key, its place, and a body that is
neither too long nor too long in coming."""

import asyncio
from contextlib import nullcontext
from typing import Any

from ray import serve
from ray.exceptions import TaskCancelledError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from pipelines.serving import keys
from pipelines.serving.errors import RequestError, refused
from pipelines.serving.gate import Visit

_SECONDS = 60.0  # in which a body comes whole, for the place is kept meanwhile
_WITH_KEYS = ("/v1/", "/about")  # of paths; probes, pages and the schema are for all


class Door:
    """ASGI middleware of a replica that has `digests` of keys, a `gate`, and `max_body` in bytes.

    What asks for an answer is inside the gate until all of its response is sent.
    """

    def __init__(self, app: Any):
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD":  # what answers HTTP leaves the body out
            scope = scope | {"method": "GET"}
        own: Any = serve.get_replica_context().servable_object
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        try:
            owner = keys.owner(own.digests if path.startswith(_WITH_KEYS) else (), _key(scope))
            asks = scope["method"] == "POST" and path.startswith("/v1/")
            with own.gate.entered(owner) if asks else nullcontext(Visit()) as visit:
                body = _Body(receive, own.max_body, visit)
                await self._app(scope, body, _watched(send, visit, body))
        except RequestError as refusal:  # by the two above: others are told inside
            response = await refused(None, refusal)
            await response(scope, receive, send)


def _key(scope: Any) -> str | None:
    kind, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else None


class _Body:
    """How it is received. What is over `most` bytes, or comes too slowly, is not parsed; the sender
    is told while it still sends."""

    def __init__(self, receive: Any, most: int, visit: Visit):
        self._receive, self._most, self._visit = receive, most, visit
        self._read = 0
        self._until = asyncio.get_running_loop().time() + _SECONDS
        self.whole = False

    async def __call__(self) -> Any:
        try:
            async with asyncio.timeout_at(None if self.whole else self._until):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, f"the request's body took over {_SECONDS:g} s") from None
        except TaskCancelledError:  # how Serve says that a client is gone
            return {"type": "http.disconnect"}
        self._read += len(message.get("body", b""))
        if self._read > self._most:
            line = f"the request's body is over {self._most} bytes (serve.max_body_mib)"
            raise HTTPException(413, line)
        if message["type"] == "http.request" and not message.get("more_body"):
            self.whole = True
            self._visit.read()
        return message


def _watched(send: Any, visit: Visit, body: _Body) -> Any:
    status = 0

    async def watched(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)
        await send(message)
        whole = message["type"] == "http.response.body" and not message.get("more_body")
        visit.answered = whole and body.whole and (status < 400 or status == 408)

    return watched
