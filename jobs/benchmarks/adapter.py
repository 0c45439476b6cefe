"""Tokens/s of a merged model, against the base model with its adapter by vLLM's LoRA.

Responses as the label stage samples them, at a full batch; and whole sequences, as they are scored
where nothing is cached. A merged model is as fast as the base model alone, which stands for it. The
two engines take turns.
"""

import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jobs.benchmarks import work
from jobs.benchmarks.engines import PlainEngine
from jobs.benchmarks.measurement import Measurement, Pair, Process, Reach, in_subprocess
from pipelines.engine.protocol import Drawing


def run(quick: bool) -> Iterator[Measurement]:
    sequences, tokens, times = (16, 4, 1) if quick else (256, 8, 2)
    pairs: list[tuple[Pair, Pair]] = []
    with tempfile.TemporaryDirectory() as directory, Process() as lora, Process() as merged:
        in_subprocess(_write_adapter, directory)
        for _ in range(times):
            ours = merged.call(_rates, sequences, tokens)
            pairs.append((ours, lora.call(_rates, sequences, tokens, directory)))
    for name, place in (("decode", 0), ("score", 1)):
        rates = [(ours[place], theirs[place]) for ours, theirs in pairs]
        yield Measurement.of(f"adapter.lora_{name}", "tokens/s", rates, Reach("at least", 1))


def _write_adapter(directory: str) -> None:
    """A fresh one, of the rank and modules of the paper: its weights are nothing to its speed."""
    from pipelines.storage.models import fetch
    from pipelines.training.lora import attach

    config = work.config()
    tuned: Any = attach(fetch(config.model.source), config)
    tuned.save_pretrained(directory)


def _rates(sequences: int, tokens: int, adapter: str | None = None) -> Pair:
    """(tokens/s sampled, tokens/s scored)."""
    from pipelines.config import SamplingConfig
    from pipelines.engine.vllm_draw import respond_params

    engine = _engine(adapter)
    few = engine.prompt_ids(work.questions(work.LONG, 32))
    prompts = [few[i % len(few)] for i in range(sequences)]
    drawing = Drawing.of(SamplingConfig(max_tokens=tokens))
    params = [respond_params(drawing, i, end_ids=()) for i in range(sequences)]
    for one in params:
        one.ignore_eos = True
    sampled = engine.rate(prompts, params)
    scored = [engine.prompts.scoring_ids(ids, range(100, 127)) for ids in few]
    start = time.perf_counter()
    engine.score_alone(scored)
    return sampled, sum(map(len, scored)) / (time.perf_counter() - start)


@cache
def _engine(adapter: str | None) -> PlainEngine:
    """The one of this process, warm."""
    engine = PlainEngine(work.config(), Path(adapter) if adapter else None)
    engine.score_alone(engine.prompt_ids(work.questions(work.LONG, 32)))
    return engine
