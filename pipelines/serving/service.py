"""The Ray Serve app: chat completions as OpenAI's, that stop when sure and say what they took.

    curl --json '{"messages": [{"role": "user", "content": "What is 7 + 5?"}],
         "scaling": {"kind": "number", "budget": 16}}' localhost:8000/v1/chat/completions

A replica holds one engine and many requests at once. A request's own `scaling` says how its samples
are spent (scaling.py), and a policy decides when they are enough (adaptive.py). Evaluation collects
its responses from the same replicas.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.exceptions import HTTPException

from pipelines.config import Config
from pipelines.config.serving import PRESETS
from pipelines.engine.mass import MassCheck
from pipelines.engine.metrics import EngineMetrics
from pipelines.engine.protocol import Drawing, Engine
from pipelines.engine.sampling import QuerySampler, label_query, queries_at_once, sample_room
from pipelines.running import placement
from pipelines.running.board import Board
from pipelines.serving.adaptive import Tell, decide
from pipelines.serving.chat import ChatRequest
from pipelines.serving.errors import (
    ErrorBody,
    RequestError,
    failed,
    late,
    malformed,
    refused,
    unread,
)
from pipelines.serving.prepare import Prepared, prepare
from pipelines.serving.reply import Answered, ChatChoice, ChatCompletion, Reply, scaled, usage
from pipelines.serving.served import Served
from pipelines.serving.stream import events

api = FastAPI(
    title="Self-calibrated answers",
    exception_handlers={
        RequestValidationError: malformed,
        RequestError: refused,
        HTTPException: unread,
        Exception: failed,
    },
)


@serve.deployment
@serve.ingress(api)
class Answerer:
    """One engine behind HTTP and behind a handle (`collect`)."""

    def __init__(self, config: Config, served: Served, board: Board | None = None):
        self._leaving = ExitStack()  # before what may fail, for __del__ closes it
        self._config, self._served = config, served
        self._started = int(time.time())

        from pipelines.engine.vllm_engine import VLLMEngine

        self._engine = VLLMEngine.of(config, served.source, served.adapters)
        self._leaving.callback(self._engine.shutdown)
        self._post = self._leaving.enter_context(
            board.posting(self._engine.count) if board else nullcontext()
        )
        self._models: dict[str, Engine] = {served.name: self._engine}
        self._models |= {name: self._engine.adapted(name) for name in served.adapters}
        self._metrics = EngineMetrics("serve")
        self._mass = MassCheck()
        self._room = sample_room(config.engine.max_num_seqs)

    async def collect(self, row: dict[str, Any], model: str | None = None) -> dict[str, Any]:
        """A row of the queries artifact -> the row of a responses file (schemas.LABELS)."""
        engine = self._models[model or self._served.default]
        config = self._config
        with self._metrics.query():
            labeled = await label_query(
                engine,
                Drawing.of(config.answering),
                config.seed,
                row,
                config.evaluate.num_samples,
                self._room,
            )
        self._done(config.evaluate.num_samples, labeled["counters"])
        self._engine.count.kept += config.evaluate.num_samples
        if self._post:
            self._post()
        return labeled

    @api.post(
        "/v1/chat/completions",
        response_model=ChatCompletion,
        responses={200: {"content": {"text/event-stream": {}}}, "4XX": {"model": ErrorBody}},
    )
    async def chat(self, request: ChatRequest) -> Any:
        start = time.monotonic()
        # In a thread: a long text takes a while, and others wait for this loop.
        asked = await asyncio.to_thread(
            prepare, self._config, self._served, self._engine.prompts, request
        )
        name, created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())

        async def answer(tell: Tell | None) -> ChatCompletion:
            answered = await self._answer(asked, start, tell)
            chosen = answered.decision.chosen.generated
            choice = ChatChoice(
                message=Reply(content=chosen.text), finish_reason=chosen.finish_reason
            )
            return ChatCompletion(
                id=name,
                created=created,
                model=asked.name,
                choices=[choice],
                usage=usage(answered),
                scaling=scaled(answered, asked.ignored, request.scaling.details),
            )

        if not request.stream:
            completion = await answer(None)
            if completion.scaling.stop_reason == "deadline":
                return late(completion)
            return completion
        with_usage = bool(request.stream_options and request.stream_options.include_usage)
        return StreamingResponse(
            events(answer, name, created, asked.name, with_usage, live=asked.plan.budget == 1),
            media_type="text/event-stream",
        )

    @api.get("/v1/models")
    async def models(self) -> dict[str, Any]:
        names = [
            f"{name}{end}" for name in self._models for end in ("", *map(":{}".format, PRESETS))
        ]
        about = {"object": "model", "created": self._started, "owned_by": "selfcal"}
        return {"object": "list", "data": [{"id": name, **about} for name in names]}

    @api.get("/health")
    async def health(self) -> dict[str, str]:
        return {"status": "ok"}

    async def _answer(self, asked: Prepared, start: float, tell: Tell | None) -> Answered:
        """start: when the request came, by the monotonic clock."""
        plan = asked.plan
        sampler = QuerySampler(
            self._models[asked.model],
            plan.drawing,
            plan.seed,
            plan.query_id or " ".join(map(str, asked.prompt_ids)),
            asked.prompt_ids,
            plan.kind,
            plan.choices,
        )
        left = self._config.serve.deadline
        if left is not None:
            left = max(0.0, start + left - time.monotonic())
        started = 0
        try:
            with self._metrics.query():
                decision = await decide(sampler, plan, self._room, left, tell)
            started = decision.started
        finally:  # also what a client that left had drawn
            self._done(started, asdict(sampler.counters))
        if not decision.used:
            raise RequestError(408, "no sample ended in time", code="deadline")
        seconds = time.monotonic() - start
        return Answered(plan, len(asked.prompt_ids), decision, sampler.counters, seconds)

    def _done(self, samples: int, counters: Mapping[str, Any]) -> None:
        self._metrics.done(samples, counters)
        if wrong := self._mass.add(counters):
            logging.getLogger("ray.serve").warning(wrong)

    def __del__(self) -> None:  # Serve's hook for a replica that is about to leave
        self._leaving.close()


_QUIET = {"log_level": "WARNING", "enable_access_log": False}


def application(config: Config, served: Served, board: Board | None = None) -> serve.Application:
    """Replicas that answer with a model: engine.count, or more by load up to max_count.

    board: where replicas post what they draw.
    """
    engine = config.engine
    replicas: dict[str, Any] = {"num_replicas": engine.count}
    if engine.most > engine.count:
        bounds = {"min_replicas": engine.count, "max_replicas": engine.most}
        # A replica is full with a batch of samples.
        replicas = {"autoscaling_config": bounds | {"target_ongoing_requests": engine.max_num_seqs}}
    return Answerer.options(  # type: ignore[attr-defined]
        **replicas,
        # A batching engine wants many requests at once; Serve's default is 5.
        max_ongoing_requests=max(
            engine.max_num_seqs,
            queries_at_once(engine.max_num_seqs, config.evaluate.num_samples),
        ),
        **placement.replica(engine),
        health_check_timeout_s=120,
        logging_config=_QUIET,
    ).bind(config, served, board)


def deploy(
    config: Config, served: Served, name: str, route: str, board: Board | None = None
) -> DeploymentHandle:
    """Runs the application under a route; returns its handle when it is ready.

    ValueError where its replicas do not start with this config.
    """
    engine = config.engine
    placement.tell_if_short("engine.count", engine.count, placement.bundles(engine))
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    where = {"host": config.serve.host, "port": config.serve.port}
    serve.start(http_options=where, logging_config=_QUIET)
    app = application(config, served, board)
    try:
        return serve.run(app, name=name, route_prefix=route)
    except RuntimeError:  # it names no reason; the status of the deployment ends with it
        (deployment,) = serve.status().applications[name].deployments.values()
        *_, reason = deployment.message.strip().splitlines() or [""]
        if not reason.startswith("ValueError: "):
            raise
        raise ValueError(reason.removeprefix("ValueError: ")) from None
