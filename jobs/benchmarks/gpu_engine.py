"""The engine on a GPU: speed beside plain vLLM's, and numbers beside transformers'."""

import asyncio
import math
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

from jobs.benchmarks import work
from jobs.benchmarks.measurement import Measurement, Pair, Process, Reach, in_subprocess
from pipelines.engine.protocol import Counters, Drawing

Drawn = tuple[list[int], list[int], float]  # prompt ids, response ids, log P(True)


RATE = "tokens/s"


def speed_and_numbers(model: str, quick: bool) -> Iterator[Measurement]:
    """What matters most is measured first; by the older of vLLM's two runners, last."""
    samples, tokens = (8, 8) if quick else (32, 128)
    with Process() as engines:
        labeled, together, alone = engines.call(_ours, model, samples, tokens)
        yield _same("gpu.same_alone", together[: len(alone)], alone)
        own, exact = in_subprocess(_reference, model, together)
        gaps = _gap([log_p for _, _, log_p in together], exact), _gap(own, exact)
        yield Measurement.of("gpu.p_true", "nats", [gaps], Reach("at most", 1))
        generated, greedy, sampled = engines.call(_plain, model, samples, tokens)
    yield Measurement.of("gpu.label", RATE, [(labeled, generated)], Reach("at least", 0.95))
    yield Measurement.of("gpu.decode_greedy", RATE, greedy, Reach("at least", 0.98))
    yield Measurement.of("gpu.decode_sampled", RATE, sampled, Reach("at least", 0.98))
    yield _same("gpu.same_v1", together, in_subprocess(_drawn_by_v1, model, samples, tokens))


def _gap(some: Sequence[float], others: Sequence[float]) -> float:
    return statistics.median(abs(a - b) for a, b in zip(some, others, strict=True)) or 1e-12


def _same(name: str, some: Sequence[Drawn], others: Sequence[Drawn]) -> Measurement:
    """Tokens that are equal, of those with equal ones before them: rounding that moves one token
    moves all that follow."""
    equal = compared = 0
    for (_, x, _), (_, y, _) in zip(some, others, strict=True):
        both = min(len(x), len(y))
        length = next((i for i in range(both) if x[i] != y[i]), both)
        equal += length
        compared += min(length + 1, len(x))
    return Measurement.of(name, "tokens", [(equal, compared)], Reach("at least", 0.95))


def _requests(prompts: Any, count: int) -> list[tuple[list[int], int]]:
    """(prompt ids, key) of so many samples."""
    ids = [prompts.sampling_ids(question) for question in work.questions(work.LONG, 32)]
    return [(ids[i % len(ids)], 7919 * i + 1) for i in range(count)]


def _ours(model: str, samples: int, tokens: int) -> tuple[float, list[Drawn], list[Drawn]]:
    """Tokens/s of labeling 32 queries; some samples with their scores, at once; and one by one."""
    from pipelines.engine.sampling import label_query, sample_room
    from pipelines.engine.vllm_engine import VLLMEngine

    config = work.config(samples, tokens, model=model)
    room, drawing = sample_room(config.engine.max_num_seqs), Drawing.of(config.sampling)

    async def label(engine: VLLMEngine, seed: int) -> float:
        def query(question: str) -> dict[str, Any]:
            ids = engine.prompts.sampling_ids(question)
            return {"query_id": question, "prompt_ids": ids, "kind": "text"}

        start = time.perf_counter()
        rows = await asyncio.gather(
            *(
                label_query(engine, drawing, seed, query(question), samples, room)
                for question in work.questions(work.LONG, samples)
            )
        )
        made = sum(row["counters"]["generated_tokens"] for row in rows)
        return made / (time.perf_counter() - start)

    async def run() -> tuple[float, list[Drawn], list[Drawn]]:
        start = time.perf_counter()
        engine = VLLMEngine.of(config, model)
        print(f"bench: gpu: the engine took {time.perf_counter() - start:.0f} s", flush=True)
        try:
            await label(engine, seed=1)  # warm-up
            rate = await label(engine, seed=2)
            print(f"bench: gpu: labeled {rate:.0f} tokens/s", flush=True)
            requests = _requests(engine.prompts, 2 * samples)
            together = await _draw(engine, drawing, requests)
            alone = [(await _draw(engine, drawing, [one]))[0] for one in requests[:8]]
            return rate, together, alone
        finally:
            engine.shutdown()

    return asyncio.run(run())


async def _draw(
    engine: Any, drawing: Drawing, requests: Sequence[tuple[list[int], int]]
) -> list[Drawn]:
    async def one(ids: list[int], key: int) -> Drawn:
        draw = await engine.draw(ids, key, drawing, Counters())
        scored = await draw.score()
        return ids, draw.generated.token_ids, math.log(scored.p_true)

    return await asyncio.gather(*(one(*request) for request in requests))


def _drawn_by_v1(model: str, samples: int, tokens: int) -> list[Drawn]:
    """The same samples through vLLM's older model runner, which takes another interface of ours."""
    os.environ["VLLM_USE_V2_MODEL_RUNNER"] = "0"
    from pipelines.engine.vllm_engine import VLLMEngine

    config = work.config(samples, tokens, model=model)
    # To start it takes half.
    engine = config.engine.model_copy(update={"enforce_eager": True})
    eager = config.model_copy(update={"engine": engine})

    async def run() -> list[Drawn]:
        engine = VLLMEngine.of(eager, model)
        try:
            drawing = Drawing.of(eager.sampling)
            return await _draw(engine, drawing, _requests(engine.prompts, 2 * samples))
        finally:
            engine.shutdown()

    return asyncio.run(run())


def _plain(model: str, samples: int, tokens: int) -> tuple[float, list[Pair], list[Pair]]:
    """Tokens/s of bare `generate`; of EDT beside greedy decoding and vLLM's own sampling."""
    from vllm import SamplingParams

    from jobs.benchmarks.engines import PlainEngine, edt_against

    engine = PlainEngine(work.config(samples, tokens, model=model))
    few = engine.prompt_ids(work.questions(work.LONG, samples))
    batch = engine.llm.llm_engine.vllm_config.scheduler_config.max_num_seqs
    full = [few[i % len(few)] for i in range(batch if tokens > 8 else samples)]
    greedy = SamplingParams(temperature=0, max_tokens=tokens)
    sampled = SamplingParams(temperature=0.8, max_tokens=tokens)
    engine.rate(full, greedy)  # warm-up
    against_greedy = edt_against(engine, full, greedy, 3)
    against_sampled = edt_against(engine, full, sampled, 3)
    whole = SamplingParams(n=samples, temperature=0.8, max_tokens=tokens)
    engine.rate(few, whole)
    return engine.rate(few, whole), against_greedy, against_sampled


def _reference(model: str, drawn: Sequence[Drawn]) -> tuple[list[float], list[float]]:
    """transformers' log P(True) of the same sequences, one at a time: in bfloat16, in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    from pipelines.method.prompts import Prompts

    device = "cuda" if torch.cuda.is_available() else "cpu"
    prompts = Prompts.load(model)

    @torch.inference_mode()
    def log_p(dtype: torch.dtype) -> list[float]:
        reference: Any = AutoModelForCausalLM.from_pretrained(model, dtype=dtype)
        reference.to(device).eval()
        found = []
        for ids, response, _ in drawn:
            whole = torch.tensor([prompts.scoring_ids(ids, response)], device=device)
            last = reference(whole).logits[0, -1].float()
            found.append(float(last.log_softmax(-1)[prompts.yes_id]))
        return found

    return log_p(torch.bfloat16), log_p(torch.float32)
