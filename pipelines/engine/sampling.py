"""One query's samples: drawn, read for an answer, scored. The same for label and the service.

A sample is scored the moment it ends, on the KV blocks that it was drawn with; identical
responses of a query are scored once, and none where a policy needs no confidences. Everything
waits on the engine alone, so the engine sees samples and scores of many queries at once.
"""

import asyncio
import hashlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.engine.protocol import Counters, Draw, Drawing, Engine, Generated, Scored
from pipelines.method.answers import Kind, extract
from pipelines.method.answers.said import after_thoughts
from pipelines.method.consistency import soft_self_consistency
from pipelines.method.formulas import Classes
from pipelines.method.token_confidences import SOURCES, token_confidences
from pipelines.storage.schemas import COUNTERS


@dataclass(frozen=True)
class Sample:
    """A response with its answer, confidence c = P(True), and the mass of Yes and No together.

    Both are NaN where the response was not scored. sources: confidences of its own tokens, by name
    (method/token_confidences.py); none where it has none, or the drawing does not tell. They and c
    are in single precision, as schemas.SAMPLE keeps them: what a threshold is chosen on is what it
    is held against.
    """

    index: int
    generated: Generated
    answer: str | None
    p_true: float
    mass: float
    sources: Mapping[str, float] = field(default_factory=dict)


@dataclass
class QuerySampler:
    """Draws samples of one query; sample i is the same whenever and wherever it is drawn.

    kind: None where each text is its own answer. live: whether counters and what hears are told of
    each token as it comes (protocol.py). group_size: tokens of a group, where the drawing tells of
    each. What they cost, the engine counts.
    """

    engine: Engine
    drawing: Drawing
    seed: int
    query_id: str
    prompt_ids: Sequence[int]
    kind: Kind | None
    choices: Sequence[str] | None = None
    live: bool = False
    group_size: int = 1
    _spent: dict[int, Counters] = field(default_factory=dict)
    _scores: dict[tuple[int, ...], "asyncio.Task[Scored]"] = field(default_factory=dict)
    _classes: Classes = field(default_factory=Classes)

    async def sample(
        self, index: int, scored: bool, heard: Callable[[str], None] | None = None
    ) -> Sample:
        """Sample `index`: a function of (seed, query_id, index) up to the engine's arithmetic.

        heard: is told its text as it comes.
        """
        key = request_key(self.seed, self.query_id, index)
        spent = self._spent[index] = Counters()
        draw = await self.engine.draw(self.prompt_ids, key, self.drawing, spent, heard, self.live)
        generated = draw.generated
        p_true = mass = math.nan
        if scored:
            score = await self._score_once(draw)
            p_true, mass = float(np.float32(score.p_true)), score.mass
        else:
            draw.release()
        return Sample(
            index, generated, self._answer(generated), p_true, mass, self._sources(generated)
        )

    @property
    def counters(self) -> Counters:
        """What all samples cost so far."""
        spent = [asdict(one) for one in self._spent.values()]
        return Counters(**{name: sum(one[name] for one in spent) for name in asdict(Counters())})

    @property
    def started(self) -> int:
        """Samples, of which some may not end."""
        return len(self._spent)

    def generated(self, index: int) -> int:
        """Tokens of sample `index` so far."""
        return self._spent[index].generated_tokens

    async def classed(self, sample: Sample) -> Sample:
        """A sample whose answer stands for its class; to be asked for in the order of samples.

        A formula becomes the first that is equal to it, or no answer (formulas.py).
        """
        if self.kind != "math" or sample.answer is None:
            return sample
        # In a thread: it waits for another process.
        answer = await asyncio.to_thread(self._classes.of, sample.answer)
        return replace(sample, answer=answer)

    async def abort(self) -> None:
        """Ends the scores that are under way, and returns when the engine is rid of them.

        A sample that is cancelled leaves its score to those with an equal response; where there are
        none to come, nobody needs it.
        """
        under_way = {ids: score for ids, score in self._scores.items() if not score.done()}
        for ids, score in under_way.items():
            score.cancel()
            del self._scores[ids]  # a sample that comes later is scored anew
        await asyncio.gather(*under_way.values(), return_exceptions=True)

    def _sources(self, generated: Generated) -> dict[str, float]:
        if generated.facts is None:
            return {}
        found = token_confidences(generated.facts, self.group_size)
        return {name: float(np.float32(value)) for name, value in found.items()}

    def _answer(self, generated: Generated) -> str | None:
        if self.kind is None:  # but a thought that was cut is none
            return generated.text if after_thoughts(generated.text) else None
        return extract(generated.text, self.kind, generated.finish_reason, self.choices)

    async def _score_once(self, draw: Draw) -> Scored:
        same = tuple(draw.generated.token_ids)
        if same in self._scores:
            draw.release()
        else:
            self._scores[same] = asyncio.ensure_future(draw.score())
            # One that is cancelled before it began holds its blocks.
            self._scores[same].add_done_callback(lambda _: draw.release())
        # A caller that is cancelled must not cancel the score that others wait for.
        return await asyncio.shield(self._scores[same])


def queries_at_once(max_num_seqs: int, num_samples: int) -> int:
    """Queries that an engine must hold for its batch to stay full.

    A query stays until its longest response ends, with ever fewer samples in the batch: for 32
    exponential lengths that is 4 times the mean, and for the 128 of a block of rows 5.4 times.
    """
    return 8 * math.ceil(max_num_seqs / num_samples)


def sample_room(max_num_seqs: int) -> asyncio.Semaphore:
    """Samples of all queries that an engine is given at once: a batch, and what follows next.

    First come, first served: queries end in the order in which they came, and what is killed
    with an engine is little.
    """
    return asyncio.Semaphore(max_num_seqs + max(1, max_num_seqs // 4))


async def label_query(
    engine: Engine,
    drawing: Drawing,
    seed: int,
    query: Mapping[str, Any],
    num_samples: int,
    room: asyncio.Semaphore,
    group_size: int = 1,
) -> dict[str, Any]:
    """A row of schemas.QUERIES -> a row of schemas.LABELS: its samples, scored, with SSC.

    Where the drawing tells of each token it is a row of schemas.RESPONSES; group_size: tokens of
    a group, then.
    """
    began = time.time()
    prompt_ids = [int(i) for i in query["prompt_ids"]]
    sampler = QuerySampler(
        engine,
        drawing,
        seed,
        query["query_id"],
        prompt_ids,
        query["kind"],
        query.get("choices"),
        group_size=group_size,
    )
    told = dict.fromkeys(SOURCES) if drawing.tells else {}

    async def sample(index: int) -> Sample:
        async with room:
            return await sampler.sample(index, scored=True)

    drawn = await asyncio.gather(*(sample(index) for index in range(num_samples)))
    samples = [await sampler.classed(one) for one in drawn]
    labels = soft_self_consistency([s.answer for s in samples], [s.p_true for s in samples])
    return {
        **query,
        "prompt_ids": prompt_ids,
        "samples": [
            {
                "index": sample.index,
                "text": sample.generated.text,
                "answer": sample.answer,
                "p_true": sample.p_true,
                "mass": sample.mass,
                "target": label,
                "num_tokens": sample.generated.num_tokens,
                "finish_reason": sample.generated.finish_reason,
                **told,
                **sample.sources,
            }
            for sample, label in zip(samples, labels, strict=True)
        ],
        "response_ids": [sample.generated.token_ids for sample in samples],
        "counters": asdict(sampler.counters) | {"began": began, "ended": time.time()},
    }


def totals(counters: Iterable[pa.StructArray]) -> dict[str, float]:
    """The sums of batches of a `counters` column (schemas.COUNTERS), but of `mass` the mean of the
    scored responses; and `busy_seconds`: how long at least one of the queries was with an engine.
    """
    sums: dict[str, float] = {n: 0 for n in COUNTERS.names if n not in ("began", "ended")}
    busy = np.empty((2, 0))  # spans that do not touch, in order
    for batch in counters:
        if not len(batch):
            continue
        for name in sums:
            sums[name] += pc.sum(batch.field(name)).as_py()
        began, ended = np.hstack([busy, [batch.field("began"), batch.field("ended")]])
        order = np.argsort(began)
        began, ended = began[order], np.maximum.accumulate(ended[order])
        apart = began[1:] > ended[:-1]
        busy = np.array([began[np.r_[True, apart]], ended[np.r_[apart, True]]])
    sums["mass"] /= max(1, sums["scored_responses"])
    return sums | {"busy_seconds": float((busy[1] - busy[0]).sum())}


def request_key(seed: int, query_id: str, sample: int) -> int:
    """A 63-bit key for the draws of one sample of one query."""
    digest = hashlib.blake2b(f"{seed}\0{query_id}\0{sample}".encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "big") >> 1
