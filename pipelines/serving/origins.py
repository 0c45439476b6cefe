"""Pages of other origins, whose browsers ask first whether they may."""

from typing import Any

from ray import serve
from starlette.middleware.cors import CORSMiddleware

_READ = ("retry-after", "x-request-id", "x-should-retry")  # by OpenAI's client in a browser


class Origins:
    """ASGI middleware of a replica that has `allowed_origins`."""

    def __init__(self, app: Any):
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        app = self._app
        if scope["type"] == "http":
            own: Any = serve.get_replica_context().servable_object
            if own.allowed_origins:
                app = CORSMiddleware(
                    app,
                    allow_origins=own.allowed_origins,
                    allow_methods=["GET", "HEAD", "POST"],
                    allow_headers=["*"],
                    expose_headers=_READ,
                )
        await app(scope, receive, send)
