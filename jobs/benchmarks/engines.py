"""Plain vLLM at its best settings for this machine, which the baselines drive, in a subprocess."""

import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jobs.benchmarks import work
from jobs.benchmarks.measurement import Pair
from pipelines.config import Config
from pipelines.engine.arguments import engine_arguments
from pipelines.engine.protocol import Drawing
from pipelines.method.prompts import Prompts
from pipelines.storage.models import fetch


class PlainEngine:
    """vllm.LLM, as its own users call it, with our plugin loaded and the prompts as we render."""

    def __init__(self, config: Config, adapter: Path | None = None):
        from vllm import LLM
        from vllm.lora.request import LoRARequest

        model = fetch(config.model.source)
        adapters = [adapter] if adapter else []
        self.llm = LLM(**engine_arguments(str(model), config.engine, adapters))
        self._adapter = LoRARequest("adapter", 1, str(adapter)) if adapter else None
        self.prompts = Prompts.load(model)

    def prompt_ids(self, questions: Sequence[str]) -> list[list[int]]:
        return [self.prompts.sampling_ids(question) for question in questions]

    def generate(self, prompts: Sequence[Sequence[int]], params: Any) -> list[Any]:
        """vLLM's outputs for token ids; params: one for all, or one each."""
        from vllm.inputs import tokens_input

        inputs: Any = [tokens_input(list(ids)) for ids in prompts]
        return self.llm.generate(inputs, params, use_tqdm=False, lora_request=self._adapter)

    def score_alone(self, sequences: Sequence[Sequence[int]]) -> list[Any]:
        """Outputs with the log-probabilities of Yes and No after each, nothing reused."""
        from vllm import SamplingParams

        params = SamplingParams(
            temperature=0, max_tokens=1, skip_reading_prefix_cache=True,
            logprob_token_ids=[self.prompts.yes_id, self.prompts.no_id],
        )  # fmt: skip
        return self.generate(sequences, params)

    def rate(self, prompts: Sequence[Sequence[int]], params: Any) -> float:
        """Generated tokens/s."""
        start = time.perf_counter()
        outputs = self.generate(prompts, params)
        tokens = sum(len(one.token_ids) for output in outputs for one in output.outputs)
        return tokens / (time.perf_counter() - start)


@cache
def of_this_process(compiled: bool = False) -> PlainEngine:
    """One that stays for several calls."""
    return PlainEngine(work.config(compiled=compiled))


def edt_against(
    engine: PlainEngine, prompts: Sequence[Sequence[int]], other: Any, times: int
) -> list[Pair]:
    """Tokens/s of EDT as the label stage asks for it, and of another sampling, alternately.

    `other` sets how long all sequences get; they are never ended before.
    """
    from pipelines.config import SamplingConfig
    from pipelines.engine.vllm_draw import respond_params

    other.ignore_eos, other.detokenize = True, False
    drawing = Drawing.of(SamplingConfig(max_tokens=other.max_tokens))
    ours = [respond_params(drawing, i, end_ids=()) for i in range(len(prompts))]
    for one in ours:
        one.ignore_eos = True
    return [(engine.rate(prompts, ours), engine.rate(prompts, other)) for _ in range(times)]
