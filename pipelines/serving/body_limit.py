"""A request's body may be so long and no longer: what is over is not read. And of a client that is
gone it says so as ASGI does."""

from typing import Any

from ray import serve
from ray.exceptions import TaskCancelledError
from starlette.exceptions import HTTPException


class BodyLimit:
    """ASGI middleware in a replica whose `max_body` is in bytes."""

    def __init__(self, app: Any):
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        replica: Any = serve.get_replica_context().servable_object
        most = replica.max_body
        read = 0

        async def counted() -> Any:
            nonlocal read
            try:
                message = await receive()
            except TaskCancelledError:  # how Serve says it; a failure in its log, else
                return {"type": "http.disconnect"}
            read += len(message.get("body", b""))
            if read > most:
                line = f"the request's body is over {most} bytes (serve.max_body_mib)"
                raise HTTPException(413, line)
            return message

        await self._app(scope, counted, send)
