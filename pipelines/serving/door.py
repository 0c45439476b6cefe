"""What every HTTP request passes before it is read: its key, its place, the length of its body."""

from contextlib import nullcontext
from typing import Any

from ray import serve
from ray.exceptions import TaskCancelledError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from pipelines.serving import keys
from pipelines.serving.errors import RequestError, refused
from pipelines.serving.gate import Visit

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
        own: Any = serve.get_replica_context().servable_object
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        try:
            owner = keys.owner(own.digests if path.startswith(_WITH_KEYS) else (), _key(scope))
            asks = scope["method"] == "POST" and path.startswith("/v1/")
            with own.gate.entered(owner) if asks else nullcontext(Visit()) as visit:
                await self._app(scope, _limited(receive, own.max_body), _watched(send, visit))
        except RequestError as refusal:  # by the two above: others are told inside
            response = await refused(None, refusal)
            await response(scope, receive, send)


def _key(scope: Any) -> str | None:
    kind, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else None


def _limited(receive: Any, most: int) -> Any:
    """What is over `most` bytes is not parsed; the sender is told while it still sends."""
    read = 0

    async def limited() -> Any:
        nonlocal read
        try:
            message = await receive()
        except TaskCancelledError:  # how Serve says that a client is gone
            return {"type": "http.disconnect"}
        read += len(message.get("body", b""))
        if read > most:
            line = f"the request's body is over {most} bytes (serve.max_body_mib)"
            raise HTTPException(413, line)
        return message

    return limited


def _watched(send: Any, visit: Visit) -> Any:
    status = 0

    async def watched(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)
        await send(message)
        whole = message["type"] == "http.response.body" and not message.get("more_body")
        visit.answered = status < 400 and whole

    return watched
