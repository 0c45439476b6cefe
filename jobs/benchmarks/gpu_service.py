"""Adaptive answers over HTTP from a replica on a GPU: a full batch of requests, and one by one."""

import asyncio
import time

from jobs.benchmarks import work
from jobs.benchmarks.measurement import Measurement, Reach

BUDGET = 4  # samples a request, each scored


def figures(model: str, quick: bool) -> list[Measurement]:
    import aiohttp

    from pipelines.running import cluster
    from pipelines.serving.served import base_model
    from pipelines.serving.service import deploy

    at_once, alone, tokens = (4, 1, 8) if quick else (256, 4, 128)
    config = work.config(max_tokens=tokens, model=model)
    cluster.connect(config)
    deploy(config, base_model(config), "bench", "/bench")
    url = f"http://{config.serve.host}:{config.serve.port}/bench/v1/chat/completions"

    async def ask(session: aiohttp.ClientSession, number: int) -> None:
        body = {
            "messages": [{"role": "user", "content": work.LONG.format(number)}],
            "scaling": {"policy": "sc_conf", "budget": BUDGET},
        }
        async with session.post(url, json=body) as response:
            response.raise_for_status()
            assert (await response.json())["scaling"]["samples"]["used"] == BUDGET

    async def measure() -> tuple[float, float]:
        timeout = aiohttp.ClientTimeout(total=600)
        connections = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connections) as session:
            await asyncio.gather(*(ask(session, i) for i in range(at_once)))  # warm-up
            start = time.perf_counter()
            await asyncio.gather(*(ask(session, at_once + i) for i in range(at_once)))
            full = at_once / (time.perf_counter() - start)
            start = time.perf_counter()
            for i in range(alone):
                await ask(session, 2 * at_once + i)
            return full, alone / (time.perf_counter() - start)

    pair = asyncio.run(measure())
    return [Measurement.of("gpu.service", "requests/s", [pair], Reach("at least", 20))]
