"""The service's HTTP: OpenAI's protocol in front of the replicas that have engines (answerer.py).

    curl --json '{"messages": [{"role": "user", "content": "What is 7 + 5?"}],
         "scaling": {"kind": "number", "budget": 16}}' localhost:8000/v1/chat/completions

One process: so its limits hold for the service as a whole.
"""

import asyncio
import time
from typing import Any

from fastapi import FastAPI, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.exceptions import HTTPException

from pipelines.config import Config
from pipelines.serving import page
from pipelines.serving.about import About, about
from pipelines.serving.chat import ChatRequest
from pipelines.serving.completion import CompletionRequest
from pipelines.serving.dispatch import Dispatch
from pipelines.serving.door import Door
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
from pipelines.serving.origins import Origins
from pipelines.serving.prepare import no_model, prepare
from pipelines.serving.readiness import Readiness
from pipelines.serving.request import Request
from pipelines.serving.scaling import PRESETS
from pipelines.serving.scrape import Scrape
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
api.add_middleware(Door)
api.add_middleware(Origins)  # outside: a browser that asks whether it may has no key
api.include_router(page.router)

_KEY = [Security(HTTPBearer(auto_error=False))]  # as the schema has it; door.py asks for it
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}},
    "4XX": {"model": ErrorBody},
    "5XX": {"model": ErrorBody},
}


@serve.deployment
@serve.ingress(api)
class Ingress:
    """digests: of the API keys (keys.py), or none where anybody may ask."""

    def __init__(
        self, config: Config, served: Served, digests: tuple[bytes, ...], engines: DeploymentHandle
    ):
        self._config, self._served = config, served
        self.allowed_origins = config.serve.allowed_origins  # for Origins
        self.digests = digests  # all three for the door
        self.gate = Gate(config.serve, config.engine.count * full(config))
        self.max_body = int(config.serve.max_body_mib * 2**20)
        self._readiness, self._scrape = Readiness(engines), Scrape()
        self._dispatch = Dispatch(
            engines, self.gate.queue_full, config.serve.deadline, self._readiness.answered
        )
        self._started = int(time.time())
        self._about = about(config, served)

    @api.post(
        "/v1/chat/completions",
        response_model=ChatCompletion,
        responses=_ANSWERS,
        dependencies=_KEY,
    )
    async def chat(self, request: ChatRequest) -> Any:
        return await self._respond(request, ChatForm(self._name(request)))

    @api.post(
        "/v1/completions", response_model=TextCompletion, responses=_ANSWERS, dependencies=_KEY
    )
    async def complete(self, request: CompletionRequest) -> Any:
        return await self._respond(request, TextForm(self._name(request)))

    @api.get("/v1/models", responses={"4XX": {"model": ErrorBody}}, dependencies=_KEY)
    @api.get("/v1/models/", include_in_schema=False)  # or it would be a model without a name
    async def models(self) -> Models:
        ends = ("", *map(":{}".format, PRESETS))
        names = [f"{name}{end}" for name in self._served.names for end in ends]
        return Models(data=[Model(id=name, created=self._started) for name in names])

    @api.get(
        "/v1/models/{name:path}", responses={"4XX": {"model": ErrorBody}}, dependencies=_KEY
    )  # names of adapters may have slashes
    async def model(self, name: str) -> Model:
        """One of the list."""
        for one in (await self.models()).data:
            if one.id == name:
                return one
        raise no_model(self._served, name)

    @api.get("/about", responses={"4XX": {"model": ErrorBody}}, dependencies=_KEY)
    async def about(self) -> About:
        """What a client can choose from, and what was measured of it."""
        return self._about

    @api.get("/health")
    async def health(self) -> dict[str, str]:
        """That this process is alive."""
        return {"status": "ok"}

    @api.get("/ready", responses={503: {"model": ErrorBody}})
    async def ready(self) -> dict[str, str]:
        """That an engine answers, and requests are let in."""
        self.gate.check_open()
        await self._readiness.check()
        return {"status": "ready"}

    @api.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics(self) -> Response:
        """In Prometheus' format, of all nodes."""
        return Response(await self._scrape.page(), media_type="text/plain; version=0.0.4")

    async def drain(self) -> None:
        """Lets no request in any more, and returns when all have ended."""
        await self.gate.drain()

    def _name(self, request: Request) -> str:
        return request.model or self._served.default

    async def _respond(self, request: Request, form: Form) -> Any:
        # In a thread: choices are read off the question, which may be long.
        asked = await asyncio.to_thread(prepare, self._config, self._served, request)
        if not request.stream:
            made = await self._dispatch.answer(asked)
            completion = form.whole(made)
            return late(completion) if made.scaling.stop_reason == "deadline" else completion
        told = self._dispatch.tell(asked)
        await anext(told)  # what is refused has a status of its own
        with_usage = bool(request.stream_options and request.stream_options.include_usage)
        return EventStream(told, form, with_usage)
