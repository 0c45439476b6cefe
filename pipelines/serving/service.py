"""The Ray Serve app: adaptive answers over HTTP, and responses in bulk for evaluation.

    curl --json '{"question": "What is 7 + 5?", "kind": "number", "policy": "early_stopping",
         "threshold": 0.8, "budget": 16}' localhost:8000/answer

A replica holds one engine and many requests at once. The policies are the ones that offline
replay runs (policies.py), over samples drawn as the label stage draws them (sampling.py).
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self

from fastapi import FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from ray import serve
from ray.serve.handle import DeploymentHandle

from pipelines.config import Config
from pipelines.engine.mass import MassCheck
from pipelines.engine.metrics import EngineMetrics
from pipelines.engine.protocol import Engine
from pipelines.engine.sampling import (
    Outcome,
    QuerySampler,
    answer_adaptively,
    label_query,
    queries_at_once,
    sample_room,
)
from pipelines.method.consistency import soft_self_consistency
from pipelines.method.policies import POLICIES
from pipelines.running import placement
from pipelines.serving.request import Request, refuse
from pipelines.serving.served import CALIBRATED, Served

api = FastAPI(title="Self-calibrated answers", exception_handlers={RequestValidationError: refuse})


class UsedSample(BaseModel):
    text: str
    answer: str | None
    p_true: float
    mass: float  # p(Yes) + p(No); near 0, p_true is noise


class Response(BaseModel):
    """The answer (null where no sample had one), its share of confidence, and what it took."""

    answer: str | None
    confidence: float | None
    samples_used: int
    stopped_early: bool
    samples: list[UsedSample]

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        samples, answer = outcome.samples, outcome.answer
        answers = [sample.answer for sample in samples]
        shares = soft_self_consistency(answers, [sample.p_true for sample in samples])
        return cls(
            answer=answer,
            confidence=None if answer is None else shares[answers.index(answer)],
            samples_used=len(samples),
            stopped_early=outcome.stopped,
            samples=[
                UsedSample(text=s.generated.text, answer=s.answer, p_true=s.p_true, mass=s.mass)
                for s in samples
            ],
        )


@serve.deployment
@serve.ingress(api)
class Answerer:
    """One engine behind HTTP (`POST /answer`) and behind a handle (`collect`)."""

    def __init__(self, config: Config, served: Served):
        from pipelines.engine.vllm_engine import VLLMEngine

        self._config = config
        self._engine = VLLMEngine.of(config, served.source, served.adapters)
        self._models: dict[str, Engine] = {served.name: self._engine}
        self._models |= {name: self._engine.adapted(name) for name in served.adapters}
        self._default = CALIBRATED if CALIBRATED in self._models else served.name
        self._metrics = EngineMetrics("serve")
        self._mass = MassCheck()
        self._room = sample_room(config.engine.max_num_seqs)

    async def collect(self, row: dict[str, Any], model: str | None = None) -> dict[str, Any]:
        """A row of the queries artifact -> the row of a responses file (schemas.LABELS)."""
        engine = self._models[model or self._default]
        config = self._config
        with self._metrics.query():
            labeled = await label_query(
                engine, config.seed, row, config.evaluate.num_samples, self._room
            )
        self._done(config.evaluate.num_samples, labeled["counters"])
        return labeled

    @api.post("/answer")
    async def answer(self, request: Request) -> Response:
        config, prompts = self._config, self._engine.prompts
        question, choices = request.asked()
        engine = self._models.get(request.model or self._default)
        if engine is None:
            raise HTTPException(
                422, f"model: {request.model!r} is none of {', '.join(self._models)}"
            )
        prompt_ids = prompts.sampling_ids(question)
        room = prompts.room(config.engine.max_model_len, config.sampling.max_tokens)
        if len(prompt_ids) > room:
            raise HTTPException(
                422,
                f"question: its prompt has {len(prompt_ids)} tokens, and {room} fit; "
                "the server's engine.max_model_len sets the limit",
            )
        sampler = QuerySampler(
            engine,
            config.seed if request.seed is None else request.seed,
            request.query_id or request.question,
            prompt_ids,
            request.kind,
            choices,
        )
        with self._metrics.query():
            outcome = await answer_adaptively(
                sampler,
                POLICIES[request.policy].make(request.threshold),
                min(request.budget, config.serve.max_budget),
                config.serve.samples_ahead,
            )
        self._done(len(outcome.samples), asdict(sampler.counters))
        return Response.of(outcome)

    @api.get("/health")
    async def health(self) -> dict[str, str]:
        return {"status": "ok"}

    def _done(self, samples: int, counters: Mapping[str, Any]) -> None:
        self._metrics.done(samples, counters)
        if wrong := self._mass.add(counters):
            logging.getLogger("ray.serve").warning(wrong)

    def __del__(self) -> None:  # Serve's hook for a replica that is about to leave
        if hasattr(self, "_engine"):
            self._engine.shutdown()


_QUIET = {"log_level": "WARNING", "enable_access_log": False}


def application(config: Config, served: Served) -> serve.Application:
    """Replicas that answer with a model: engine.count, or more by load up to max_count."""
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
    ).bind(config, served)


def deploy(config: Config, served: Served, name: str, route: str) -> DeploymentHandle:
    """Runs the application under a route; returns its handle when it is ready.

    ValueError where its replicas do not start with this config.
    """
    engine = config.engine
    placement.tell_if_short("engine.count", engine.count, placement.bundles(engine))
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    where = {"host": config.serve.host, "port": config.serve.port}
    serve.start(http_options=where, logging_config=_QUIET)
    try:
        return serve.run(application(config, served), name=name, route_prefix=route)
    except RuntimeError:  # it names no reason; the status of the deployment ends with it
        (deployment,) = serve.status().applications[name].deployments.values()
        *_, reason = deployment.message.strip().splitlines() or [""]
        if not reason.startswith("ValueError: "):
            raise
        raise ValueError(reason.removeprefix("ValueError: ")) from None
