"""The service on one engine, asked over HTTP, with the time that each request's samples inside."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

from jobs.benchmarks import work
from pipelines.config.serving import ServeConfig

Body = dict[str, Any]
MAX_TOKENS = 64
PORT = 8331  # not the default: a service may run here


@dataclass(frozen=True)
class Got:
    """seconds: of a request, by its client. inside: those that its replica had it, without HTTP and
    Serve. scaling: of the response."""

    seconds: float
    inside: float
    scaling: dict[str, Any]

    @property
    def tokens(self) -> int:
        """That the model computed."""
        return int(self.scaling["receipt"]["tokens"])

    @property
    def decision(self) -> tuple[str | None, int, str]:
        """What is equal where answers are: the answer, samples used, and why it stopped."""
        return self.scaling["answer"], self.scaling["samples"]["used"], self.scaling["stop_reason"]


def ask(rounds: Sequence[Sequence[Body]]) -> list[list[Got]]:
    """The requests of a round are sent at once, each of a seed of its own; rounds one after the
    other. Runs in `in_subprocess`."""
    import aiohttp
    from ray import serve

    from pipelines.running import cluster
    from pipelines.serving import answerer, service
    from pipelines.serving.served import base_model
    from pipelines.serving.wire import Asked

    config = work.config(max_tokens=MAX_TOKENS)
    config = config.model_copy(update={"serve": ServeConfig(port=PORT)})
    cluster.connect(config)

    class Timed(answerer.Answerer.func_or_class):  # type: ignore[name-defined]
        """Tells how long it had each request, by its seed."""

        def __init__(self, *arguments: Any):
            super().__init__(*arguments)
            self.had: dict[int, float] = {}

        async def answer(self, asked: Asked) -> Any:
            start = time.perf_counter()
            try:
                return await super().answer(asked)
            finally:
                self.had[asked.plan.seed] = time.perf_counter() - start

        async def times(self) -> dict[int, float]:
            return self.had

    with mock.patch.object(service, "Answerer", serve.deployment(Timed, name="Answerer")):
        _, engines = service.deploy(config, base_model(config), "bench", "/bench")
    url = f"http://{config.serve.host}:{config.serve.port}/bench/v1/chat/completions"

    async def one(session: aiohttp.ClientSession, body: Body) -> tuple[float, Any]:
        start = time.perf_counter()
        async with session.post(url, json=body) as response:
            response.raise_for_status()
            scaling = (await response.json())["scaling"]
        return time.perf_counter() - start, scaling

    async def all_rounds() -> list[list[Got]]:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=900)) as session:
            found = []
            # The first is to warm up.
            for number, bodies in enumerate([max(rounds, key=len), *rounds]):
                print(f"\rbench: round {number} of {len(rounds)}", end="", flush=True)
                answered = await asyncio.gather(*(one(session, body) for body in bodies))
                inside = await engines.times.remote()
                found.append(
                    [
                        Got(seconds, inside[scaling["seed"]], scaling)
                        for seconds, scaling in answered
                    ]
                )
            print()
            return found[1:]

    return asyncio.run(all_rounds())
