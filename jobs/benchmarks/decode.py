"""A full batch: tokens/s with EDT sampling against greedy decoding."""

from collections.abc import Iterator

from jobs.benchmarks import work
from jobs.benchmarks.figure import Figure, Pair, Reach, apart


def run(quick: bool) -> Iterator[Figure]:
    pairs = apart(_against_greedy, *((32, 4, 1) if quick else (256, 32, 3)))
    yield Figure.of("decode.greedy", "tokens/s", pairs, Reach("at least", 0.9))


def _against_greedy(sequences: int, tokens: int, times: int) -> list[Pair]:
    from vllm import SamplingParams

    from jobs.benchmarks.engines import PlainEngine, edt_against

    engine = PlainEngine(work.config())
    few = engine.prompt_ids(work.questions(work.LONG, 32))
    prompts = [few[i % len(few)] for i in range(sequences)]
    greedy = SamplingParams(temperature=0, max_tokens=tokens)
    engine.rate(few, greedy)  # warm-up; it fills the prefix cache for both
    return edt_against(engine, prompts, greedy, times)
