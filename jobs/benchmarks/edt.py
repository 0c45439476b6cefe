"""EDT's tokens/s at 32 sequences, against a fixed temperature and against transformers loops.

The engine compiles the model, as it does by default. `generate` does not, on a CPU; compiled by
hand, with its static cache, it made 0 to 9% more. The two processes take turns.
"""

import time
from collections.abc import Iterator
from functools import cache
from typing import Any

from jobs.benchmarks import work
from jobs.benchmarks.measurement import Measurement, Pair, Process, Reach
from pipelines.storage.models import fetch

SEQUENCES = 32


def run(quick: bool) -> Iterator[Measurement]:
    tokens, times = (8, 1) if quick else (64, 2)
    fixed, cached, uncached = [], [], []
    with Process() as engine, Process() as loops:
        for _ in range(times):
            pair = engine.call(against_fixed, tokens, compiled=not quick)
            whole_batch, alone = loops.call(transformers, tokens)
            fixed.append(pair)
            cached.append((pair[0], whole_batch))
            uncached.append((pair[0], alone))
    for baseline, pairs, bound in (
        ("fixed_temperature", fixed, 0.98),
        ("transformers_cached", cached, 3),
        ("transformers_uncached", uncached, 30),
    ):
        yield Measurement.of(f"edt.{baseline}", "tokens/s", pairs, Reach("at least", bound))


def against_fixed(tokens: int, compiled: bool) -> Pair:
    from vllm import SamplingParams

    from jobs.benchmarks.engines import edt_against, of_this_process

    engine = of_this_process(compiled)
    prompts = engine.prompt_ids(work.questions(work.LONG, SEQUENCES))
    fixed = SamplingParams(temperature=0.8, max_tokens=tokens)
    engine.rate(prompts, fixed)  # warm-up; it fills the prefix cache for both
    (pair,) = edt_against(engine, prompts, fixed, 1)
    return pair


@cache
def _model() -> Any:
    """transformers' own of this process."""
    import torch
    from transformers import AutoModelForCausalLM

    cuda = torch.cuda.is_available()
    model: Any = AutoModelForCausalLM.from_pretrained(
        fetch(work.MODEL), dtype=torch.bfloat16 if cuda else torch.float32
    )
    return model.to("cuda" if cuda else "cpu")


def transformers(tokens: int) -> tuple[float, float]:
    """Tokens/s of `generate` on the whole batch, and of one sequence without a KV cache."""
    import torch
    from transformers import LogitsProcessor

    from pipelines.method.prompts import Prompts

    model, prompts = _model(), Prompts.load(fetch(work.MODEL))
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
    start = time.perf_counter()
    with torch.inference_mode():
        model.generate(
            **batch, do_sample=True, temperature=1.0, top_k=0, logits_processor=[EDT()],
            max_new_tokens=tokens, min_new_tokens=tokens,
        )  # fmt: skip
    whole_batch = SEQUENCES * tokens / (time.perf_counter() - start)
    ids = torch.tensor([prompts.sampling_ids(work.LONG.format("Peru"))], device=model.device)
    start = time.perf_counter()
    with torch.inference_mode():
        for _ in range(tokens):
            p = scaled(model(ids, use_cache=False).logits[:, -1]).softmax(-1)
            ids = torch.cat([ids, torch.multinomial(p, 1)], dim=1)
    return whole_batch, tokens / (time.perf_counter() - start)
