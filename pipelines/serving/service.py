"""The Ray Serve app: adaptive answers over HTTP, and responses in bulk for evaluation.

    curl --json '{"question": "What is 7 + 5?", "kind": "number", "policy": "early_stopping",
         "budget": 16}' localhost:8000/answer

A replica holds one engine and many requests at once. A policy (policies.py) stops where the run
chose (calibration.py), unless the request names a threshold. Samples are drawn as evaluation draws
them: by `evaluate.sampling`.
"""

import logging
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import asdict
from typing import Any, Self

from fastapi import FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from ray import serve
from ray.serve.handle import DeploymentHandle

from pipelines.config import Config
from pipelines.engine.mass import MassCheck
from pipelines.engine.metrics import EngineMetrics
from pipelines.engine.protocol import Drawing, Engine
from pipelines.engine.sampling import (
    Outcome,
    QuerySampler,
    answer_adaptively,
    label_query,
    queries_at_once,
    sample_room,
)
from pipelines.method.consistency import self_consistency, soft_self_consistency
from pipelines.method.policies import POLICIES
from pipelines.running import placement
from pipelines.running.board import Board
from pipelines.serving import calibration
from pipelines.serving.request import Request, refuse
from pipelines.serving.served import Served

api = FastAPI(title="Self-calibrated answers", exception_handlers={RequestValidationError: refuse})


class UsedSample(BaseModel):
    text: str
    answer: str | None
    p_true: float | None = Field(description="P(True); null where the policy needs none")
    mass: float | None = Field(description="p(Yes) + p(No), of which p_true is noise near 0")


class Response(BaseModel):
    """The answer (null where no sample had one), how sure it is, and what it took."""

    answer: str | None
    confidence: float | None = Field(
        description="the answer's share of the samples' P(True); of their votes, where the policy "
        "needs no P(True)"
    )
    threshold: float | None = Field(
        description="what the policy stopped at or would have; null where it has none"
    )
    samples_used: int
    stopped_early: bool
    samples: list[UsedSample]

    @classmethod
    def of(cls, outcome: Outcome, threshold: float | None, scored: bool) -> Self:
        samples, answer = outcome.samples, outcome.answer
        answers = [sample.answer for sample in samples]
        shares = (
            soft_self_consistency(answers, [sample.p_true for sample in samples])
            if scored
            else self_consistency(answers)
        )
        return cls(
            answer=answer,
            confidence=None if answer is None else shares[answers.index(answer)],
            threshold=threshold,
            samples_used=len(samples),
            stopped_early=outcome.stopped,
            samples=[
                UsedSample(
                    text=s.generated.text,
                    answer=s.answer,
                    p_true=s.p_true if scored else None,
                    mass=s.mass if scored else None,
                )
                for s in samples
            ],
        )


@serve.deployment
@serve.ingress(api)
class Answerer:
    """One engine behind HTTP (`POST /answer`) and behind a handle (`collect`).

    Requests name one of what is served, and get its threshold where they name none.
    """

    def __init__(self, config: Config, served: Served, board: Board | None = None):
        self._leaving = ExitStack()  # before what may fail, for __del__ closes it
        self._config, self._served = config, served
        self._drawing = Drawing.of(config.answering)

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
                engine, self._drawing, config.seed, row, config.evaluate.num_samples, self._room
            )
        self._done(config.evaluate.num_samples, labeled["counters"])
        self._engine.count.kept += config.evaluate.num_samples
        if self._post:
            self._post()
        return labeled

    @api.post("/answer")
    async def answer(self, request: Request) -> Response:
        config, prompts = self._config, self._engine.prompts
        family, model = POLICIES[request.policy], request.model or self._served.default
        if model not in self._models:
            raise HTTPException(422, f"model: {model!r} is none of {', '.join(self._models)}")
        known = self._served.thresholds.get(model, {})
        try:
            threshold = calibration.of_request(request.policy, request.threshold, known)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        question, choices = request.asked()
        prompt_ids = prompts.sampling_ids(question)
        room = prompts.room(config.engine.max_model_len, config.answering.max_tokens)
        if len(prompt_ids) > room:
            raise HTTPException(
                422,
                f"question: its prompt has {len(prompt_ids)} tokens, and {room} fit; "
                "the server's engine.max_model_len sets the limit",
            )
        sampler = QuerySampler(
            self._models[model],
            self._drawing,
            config.seed if request.seed is None else request.seed,
            request.query_id or request.question,
            prompt_ids,
            request.kind,
            choices,
        )
        with self._metrics.query():
            outcome = await answer_adaptively(
                sampler,
                family,
                threshold or 0.0,
                min(request.budget, config.serve.max_budget),
                config.serve.samples_ahead,
            )
        self._done(len(outcome.samples), asdict(sampler.counters))
        return Response.of(outcome, threshold, family.needs_confidence)

    @api.get("/health")
    async def health(self) -> dict[str, str]:
        return {"status": "ok"}

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
