"""Tokens/s with EDT against greedy decoding, at a full batch; and of the label stage against it.

The label stage's are all tokens that the model computes for it (prompt, generated, scored), over
questions with answers of very different lengths, from the first query to the last sample.
"""

from collections.abc import Iterator

from jobs.benchmarks import work
from jobs.benchmarks.label import label_stage
from jobs.benchmarks.measurement import Measurement, Pair, Process, Reach, in_subprocess


def run(quick: bool) -> Iterator[Measurement]:
    pairs = in_subprocess(_against_greedy, *((32, 4, 1) if quick else (256, 24, 2)))
    yield Measurement.of("decode.greedy", "tokens/s", pairs, Reach("at least", 0.9))
    if quick:
        return
    half, samples, max_tokens = 8, 32, 100
    asked = [
        question
        for both in zip(
            work.questions(work.SHORT, half), work.questions(work.LONG, half), strict=True
        )
        for question in both
    ]
    with Process() as rays:
        did = work.on(rays, label_stage, asked, samples, max_tokens)
    computed = sum(did[f"{kind}_tokens"] for kind in ("prompt", "generated", "scored"))
    full = [(computed / did["busy_seconds"], ours) for ours, _ in pairs]
    yield Measurement.of("decode.label_stage", "tokens/s", full, Reach("at least", 0.9))


def _against_greedy(sequences: int, tokens: int, times: int) -> list[Pair]:
    from vllm import SamplingParams

    from jobs.benchmarks.engines import PlainEngine, edt_against

    engine = PlainEngine(work.config())
    few = engine.prompt_ids(work.questions(work.LONG, 32))
    prompts = [few[i % len(few)] for i in range(sequences)]
    greedy = SamplingParams(temperature=0, max_tokens=tokens)
    engine.rate(few, greedy)  # warm-up; it fills the prefix cache for both
    return edt_against(engine, prompts, greedy, times)
