"""The service's HTTP: OpenAI's protocol in front of the replicas that have engines (answerer.py).

    curl --json '{"messages": [{"role": "user", "content": "What is 7 + 5?"}],
         "scaling": {"kind": "number", "budget": 16}}' localhost:8000/v1/chat/completions

One process: so its limits hold for the service as a whole.
"""

import asyncio
import secrets
import time
from contextlib import ExitStack
from typing import Annotated, Any

from fastapi import FastAPI, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.exceptions import HTTPException

from pipelines.config import Config
from pipelines.config.serving import PRESETS
from pipelines.serving import keys
from pipelines.serving.answerer import Asked
from pipelines.serving.body_limit import BodyLimit
from pipelines.serving.chat import ChatRequest
from pipelines.serving.completion import CompletionRequest
from pipelines.serving.dispatch import Dispatch
from pipelines.serving.errors import (
    ErrorBody,
    RequestError,
    failed,
    late,
    malformed,
    refused,
    unread,
)
from pipelines.serving.form import (
    ChatCompletion,
    ChatForm,
    Form,
    Model,
    Models,
    TextCompletion,
    TextForm,
)
from pipelines.serving.gate import Gate, full
from pipelines.serving.request import Request
from pipelines.serving.scrape import scrape
from pipelines.serving.served import Served
from pipelines.serving.stream import EventStream

api = FastAPI(
    title="Self-calibrated answers",
    exception_handlers={
        RequestValidationError: malformed,
        RequestError: refused,
        HTTPException: unread,
        Exception: failed,
    },
)
api.add_middleware(BodyLimit)

Bearer = Annotated[HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False))]
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}},
    "4XX": {"model": ErrorBody},
    "5XX": {"model": ErrorBody},
}
_READY = 10.0  # seconds that an engine may take for one token


@serve.deployment
@serve.ingress(api)
class Ingress:
    """digests: of the API keys (keys.py), or none where anybody may ask."""

    def __init__(
        self, config: Config, served: Served, digests: tuple[bytes, ...], engines: DeploymentHandle
    ):
        self._served, self._digests, self._engines = served, digests, engines
        self.max_body = int(config.serve.max_body_mib * 2**20)  # for BodyLimit
        self._gate = Gate(config.serve, config.engine.count * full(config))
        self._dispatch = Dispatch(engines, self._gate.full, config.serve.deadline)
        self._started = int(time.time())

    @api.post("/v1/chat/completions", response_model=ChatCompletion, responses=_ANSWERS)
    async def chat(self, request: ChatRequest, bearer: Bearer) -> Any:
        return await self._respond(request, ChatForm(self._name(request)), bearer)

    @api.post("/v1/completions", response_model=TextCompletion, responses=_ANSWERS)
    async def complete(self, request: CompletionRequest, bearer: Bearer) -> Any:
        return await self._respond(request, TextForm(self._name(request)), bearer)

    @api.get("/v1/models", responses={"4XX": {"model": ErrorBody}})
    async def models(self, bearer: Bearer) -> Models:
        self._owner(bearer)
        ends = ("", *map(":{}".format, PRESETS))
        names = [f"{name}{end}" for name in self._served.names for end in ends]
        return Models(data=[Model(id=name, created=self._started) for name in names])

    @api.get("/health")
    async def health(self) -> dict[str, str]:
        """That this process is alive."""
        return {"status": "ok"}

    @api.get("/ready", responses={503: {"model": ErrorBody}})
    async def ready(self) -> dict[str, str]:
        """That an engine answers, and requests are let in."""
        self._gate.check_open()
        try:
            await asyncio.wait_for(self._engines.ready.remote(), _READY)
        except Exception as error:
            line = f"no engine answers ({type(error).__name__})"
            raise RequestError(503, line, code="unavailable", retry_after=10) from None
        return {"status": "ready"}

    @api.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics(self) -> Response:
        """In Prometheus' format, of all nodes."""
        return Response(await scrape(), media_type="text/plain; version=0.0.4")

    async def drain(self) -> None:
        """Lets no request in any more, and returns when all have ended."""
        await self._gate.drain()

    def _name(self, request: Request) -> str:
        return request.model or self._served.default

    def _owner(self, bearer: HTTPAuthorizationCredentials | None) -> str:
        return keys.owner(self._digests, bearer.credentials if bearer else None)

    async def _respond(
        self, request: Request, form: Form, bearer: HTTPAuthorizationCredentials | None
    ) -> Any:
        seed = secrets.randbits(31) if request.named_seed is None else request.named_seed
        asked = Asked(request, seed, time.time())
        with ExitStack() as inside:
            inside.enter_context(self._gate.entered(self._owner(bearer)))
            if not request.stream:
                made = await self._dispatch.answer(asked)
                completion = form.whole(made)
                return late(completion) if made.scaling.stop_reason == "deadline" else completion
            told = self._dispatch.tell(asked)
            await anext(told)  # what is refused has a status of its own
            with_usage = bool(request.stream_options and request.stream_options.include_usage)
            return EventStream(told, form, with_usage, inside.pop_all())
