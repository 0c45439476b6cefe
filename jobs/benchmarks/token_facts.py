"""Draws whose tokens' facts are told, against the same draws alone, and against them with P(True).

One engine, the same samples, by turns; tokens/s of responses, at evaluation's plain temperature.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace

from jobs.benchmarks import work
from jobs.benchmarks.measurement import Measurement, Pair, Reach, in_subprocess
from pipelines.engine.protocol import Drawing


def run(quick: bool) -> Iterator[Measurement]:
    queries, samples, times = (2, 4, 1) if quick else (16, 16, 3)
    alone, scored = in_subprocess(_pairs, queries, samples, times)
    yield Measurement.of("token_facts.draws", "tokens/s", alone, Reach("at least", 0.95))
    yield Measurement.of("token_facts.p_true", "tokens/s", scored, Reach("at least", 1))


def _pairs(queries: int, samples: int, times: int) -> tuple[list[Pair], list[Pair]]:
    """Of each time, telling beside the draws alone, and beside scored ones."""
    from pipelines.engine.sampling import QuerySampler, sample_room
    from pipelines.engine.vllm_engine import VLLMEngine

    config = work.config(max_tokens=64)
    plain = Drawing.of(config.answering)
    asked = work.questions(work.SHORT, queries)

    async def rate(engine: VLLMEngine, drawing: Drawing, scores: bool) -> float:
        room = sample_room(config.engine.max_num_seqs)

        async def one(sampler: QuerySampler, index: int) -> int:
            async with room:
                return (await sampler.sample(index, scores)).generated.num_tokens

        start = time.perf_counter()
        tokens = await asyncio.gather(
            *(
                one(sampler, index)
                for name in asked
                for ids in [engine.prompts.sampling_ids(name)]
                for sampler in [QuerySampler(engine, drawing, 0, name, ids, "text")]
                for index in range(samples)
            )
        )
        return sum(tokens) / (time.perf_counter() - start)

    async def measured() -> tuple[list[Pair], list[Pair]]:
        engine = VLLMEngine.of(config, work.MODEL)
        alone, scored = [], []
        await rate(engine, plain, False)  # warm-up; it fills the prefix cache for all
        for _ in range(times):
            told = await rate(engine, replace(plain, tells=True), False)
            alone.append((told, await rate(engine, plain, False)))
            scored.append((told, await rate(engine, plain, True)))
        engine.shutdown()
        return alone, scored

    return asyncio.run(measured())
