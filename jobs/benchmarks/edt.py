"""EDT's tokens/s at 32 sequences, against a fixed temperature and against transformers loops.

The loops want a process of their own, so their runs follow ours and do not alternate with them.
"""

import time
from collections.abc import Iterator
from typing import Any

from jobs.benchmarks import work
from jobs.benchmarks.figure import Figure, Pair, Reach, apart

SEQUENCES = 32


def run(quick: bool) -> Iterator[Figure]:
    tokens, times = (8, 1) if quick else (100, 3)
    pairs = apart(_against_fixed, tokens, times)
    yield Figure.of("edt.fixed_temperature", "tokens/s", pairs, Reach("at least", 0.98))
    ours = [pair[0] for pair in pairs]
    cached, uncached = apart(_transformers, tokens, times if quick else 2)
    yield Figure.of(
        "edt.transformers_cached", "tokens/s",
        list(zip(ours, cached, strict=False)), Reach("at least", 3),
    )  # fmt: skip
    yield Figure.of(
        "edt.transformers_uncached", "tokens/s",
        list(zip(ours, uncached, strict=False)), Reach("at least", 30),
    )  # fmt: skip


def _against_fixed(tokens: int, times: int) -> list[Pair]:
    from vllm import SamplingParams

    from jobs.benchmarks.engines import PlainEngine, edt_against

    engine = PlainEngine(work.config())
    prompts = engine.prompt_ids(work.questions(work.LONG, SEQUENCES))
    fixed = SamplingParams(temperature=0.8, max_tokens=tokens)
    engine.rate(prompts, fixed)  # warm-up; it fills the prefix cache for both
    return edt_against(engine, prompts, fixed, times)


def _transformers(tokens: int, times: int) -> tuple[list[float], list[float]]:
    """Tokens/s of `generate` on the whole batch, and of one sequence without a KV cache."""
    import torch
    from transformers import AutoModelForCausalLM, LogitsProcessor

    from pipelines.models import fetch
    from pipelines.prompts import Prompts

    directory = fetch(work.MODEL)
    cuda = torch.cuda.is_available()
    model: Any = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.bfloat16 if cuda else torch.float32
    )
    model.to("cuda" if cuda else "cpu")
    prompts = Prompts.load(directory)
    texts = [prompts.sampling_text(q) for q in work.questions(work.LONG, SEQUENCES)]

    def scaled(logits: torch.Tensor) -> torch.Tensor:
        entropy = torch.special.entr(logits.softmax(-1)).sum(-1, keepdim=True)
        return logits / (0.8 * 0.8 ** (1.0 / entropy)).clamp_min(1e-5)

    class EDT(LogitsProcessor):
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            return scaled(scores)

    prompts.tokenizer.padding_side = "left"
    batch = prompts.tokenizer(
        texts, return_tensors="pt", padding=True, add_special_tokens=False
    ).to(model.device)
    cached, uncached = [], []
    for _ in range(times):
        start = time.perf_counter()
        with torch.inference_mode():
            model.generate(
                **batch, do_sample=True, temperature=1.0, top_k=0, logits_processor=[EDT()],
                max_new_tokens=tokens, min_new_tokens=tokens,
            )  # fmt: skip
        cached.append(SEQUENCES * tokens / (time.perf_counter() - start))
        start = time.perf_counter()
        ids = torch.tensor([prompts.sampling_ids(work.LONG.format("Peru"))], device=model.device)
        with torch.inference_mode():
            for _ in range(tokens):
                p = scaled(model(ids, use_cache=False).logits[:, -1]).softmax(-1)
                ids = torch.cat([ids, torch.multinomial(p, 1)], dim=1)
        uncached.append(tokens / (time.perf_counter() - start))
    return cached, uncached
