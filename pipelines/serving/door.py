"""What every HTTP request passes before it is read: its key, its place, the length of its body."""

from contextlib import nullcontext
from typing import Any

from ray import serve
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from pipelines.serving import keys
from pipelines.serving.errors import RequestError, refused

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
            wanted = own.digests if path.startswith(_WITH_KEYS) else ()
            owner = keys.owner(wanted, _key(scope))
            asks = scope["method"] == "POST" and path.startswith("/v1/")
            with own.gate.entered(owner) if asks else nullcontext():
                await self._app(scope, _limited(receive, own.max_body), send)
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
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            line = f"the request's body is over {most} bytes (serve.max_body_mib)"
            raise HTTPException(413, line)
        return message

    return limited
