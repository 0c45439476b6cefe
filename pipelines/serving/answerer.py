"""A replica of the service: one engine, and all the requests that it works on at once.

It knows nothing of HTTP (ingress.py). A request's own `scaling` says how its samples are spent
(scaling.py), and a policy decides when they are enough (adaptive.py). Evaluation collects its
responses from the same replicas.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, replace
from typing import Any

from ray import serve

from pipelines.config import Config
from pipelines.engine.mass import MassCheck
from pipelines.engine.metrics import EngineMetrics
from pipelines.engine.protocol import Counters, Drawing, Engine
from pipelines.engine.sampling import QuerySampler, label_query, sample_room
from pipelines.running.board import Board
from pipelines.serving.adaptive import Tell, decide
from pipelines.serving.errors import RequestError
from pipelines.serving.events import Events
from pipelines.serving.fit import fitted
from pipelines.serving.reply import Answered, Outcome, outcome
from pipelines.serving.scaling import Plan
from pipelines.serving.served import Served
from pipelines.serving.wire import Asked, Told

_LOOK_EVERY = 0.1  # seconds


@serve.deployment
class Answerer:
    """One engine behind a handle. What it refuses is returned, for it has to cross processes."""

    def __init__(self, config: Config, served: Served, board: Board | None = None):
        self._leaving = ExitStack()  # before what may fail, for __del__ closes it
        self._config, self._served = config, served

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
        """A row of the queries artifact -> the row of a responses file (schemas.LABELS, or
        RESPONSES where evaluation records the confidences of tokens)."""
        engine = self._models[model or self._served.default]
        config = self._config
        drawing = Drawing.of(config.answering)
        with self._metrics.query():
            labeled = await label_query(
                engine,
                replace(drawing, tells=config.evaluate.records_tokens),
                config.seed,
                row,
                config.evaluate.num_samples,
                self._room,
                config.evaluate.group_size,
            )
        self._done(config.evaluate.num_samples, labeled["counters"])
        self._engine.count.kept += config.evaluate.num_samples
        if self._post:
            self._post()
        return labeled

    async def answer(self, asked: Asked) -> Outcome | RequestError:
        try:
            return await self._answer(asked, *await self._fitted(asked), None)
        except RequestError as error:
            return error

    async def tell(self, asked: Asked) -> AsyncIterator[Told | RequestError]:
        """What happens, and last the outcome. First of all comes a refusal, or []."""
        try:
            prompt_ids, plan = await self._fitted(asked)
        except RequestError as error:
            yield error
            return
        yield []
        events = Events(one=plan.budget == 1)
        task = asyncio.create_task(self._answer(asked, prompt_ids, plan, events.add))
        task.add_done_callback(lambda _: events.close())
        try:
            async for batch in events.batches():
                yield batch
            yield await task
        except RequestError as error:
            yield error
        finally:
            task.cancel()

    async def ready(self) -> None:
        """Returns once the engine has drawn a token: this one's, or one of requests before it."""
        count = self._engine.count
        before, drawing = count.tokens, asyncio.create_task(self._draw_one())
        try:
            while not drawing.done() and count.tokens == before:
                await asyncio.wait([drawing], timeout=_LOOK_EVERY)
            if drawing.done():
                drawing.result()
        finally:
            drawing.cancel()

    async def _draw_one(self) -> None:
        prompts = self._engine.prompts
        greedy = Drawing(1, 0.0, "fixed", 1.0, 0.0, "none")
        draw = await self._engine.draw(prompts.sampling_ids("Hello."), 0, greedy, Counters())
        draw.release()

    async def _fitted(self, asked: Asked) -> tuple[list[int], Plan]:
        # In a thread: a long text takes a while, and others wait for this loop.
        return await asyncio.to_thread(fitted, self._config, self._engine.prompts, asked)

    async def _answer(
        self, asked: Asked, prompt_ids: list[int], plan: Plan, tell: Tell | None
    ) -> Outcome:
        sampler = QuerySampler(
            self._models[asked.model],
            plan.drawing,
            plan.seed,
            plan.query_id or " ".join(map(str, prompt_ids)),
            prompt_ids,
            plan.kind,
            plan.choices,
            live=True,
            group_size=self._config.evaluate.group_size,
        )
        left = self._config.serve.deadline
        if left is not None:
            left = max(0.0, asked.came + left - time.time())
        try:
            with self._metrics.query():
                decision = await decide(sampler, plan, self._room, left, tell)
        finally:  # also what a client that left had drawn
            self._done(sampler.started, asdict(sampler.counters))
        if not decision.used:
            raise RequestError(408, "no sample ended in time", code="deadline")
        seconds = time.time() - asked.came
        answered = Answered(plan, len(prompt_ids), decision, sampler.counters, seconds)
        return outcome(answered, asked.ignored, asked.details)

    def _done(self, samples: int, counters: Mapping[str, Any]) -> None:
        self._metrics.done(samples, counters)
        if wrong := self._mass.add(counters):
            logging.getLogger("ray.serve").warning(wrong)

    def __del__(self) -> None:  # Serve's hook for a replica that is about to leave
        self._leaving.close()
