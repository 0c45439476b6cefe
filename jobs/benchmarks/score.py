"""Model tokens computed for P(True), against prompt + response + turn for each sample. Counts."""

import asyncio
from collections.abc import Iterator

from jobs.benchmarks import work
from jobs.benchmarks.measurement import Measurement, Pair, Reach, in_subprocess
from pipelines.engine.protocol import Drawing


def run(quick: bool) -> Iterator[Measurement]:
    samples = 8 if quick else 32
    short, long = in_subprocess(
        _computed,
        [
            (work.SHORT, 2 if quick else 4, samples, 64),
            (work.LONG, 1, samples, 150),
        ],
    )
    yield Measurement.of("score.short", "tokens", [short], Reach("at most", 0.45))
    yield Measurement.of("score.long", "tokens", [long], Reach("at most", 0.2))


def _computed(sets: list[tuple[str, int, int, int]]) -> list[Pair]:
    """(tokens computed, tokens of the scored sequences) for (template, queries, N, max_tokens)."""
    from pipelines.engine.sampling import label_query, sample_room
    from pipelines.engine.vllm_engine import VLLMEngine

    async def label(
        engine: VLLMEngine, template: str, queries: int, samples: int, drawing: Drawing
    ) -> Pair:
        prompts, room = engine.prompts, sample_room(work.config().engine.max_num_seqs)
        rows = await asyncio.gather(
            *(
                label_query(
                    engine,
                    drawing,
                    0,
                    {"query_id": one, "prompt_ids": prompts.sampling_ids(one), "kind": "text"},
                    samples,
                    room,
                )
                for one in work.questions(template, queries)
            )
        )
        whole = sum(
            len(prompts.scoring_ids(row["prompt_ids"], ids))
            for row in rows
            for ids in row["response_ids"]
        )
        return sum(row["counters"]["scored_tokens"] for row in rows), whole

    async def label_all() -> list[Pair]:
        config = work.config(max_tokens=max(most for *_, most in sets))
        pairs = []
        for template, queries, samples, max_tokens in sets:
            sampling = config.sampling.model_copy(update={"max_tokens": max_tokens})
            engine = VLLMEngine.of(config, work.MODEL)
            drawing = Drawing.of(sampling)
            pairs.append(await label(engine, template, queries, samples, drawing))
            engine.shutdown()
        return pairs

    return asyncio.run(label_all())
