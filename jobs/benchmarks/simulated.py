"""An engine that takes as long as a stated GPU would, and computes nothing.

All that is around an engine (Ray Data, actors, object store, Parquet) is real. So it shows what
the workflow itself costs, at more engines than there are GPUs here.
"""

import asyncio
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.config import Config
from pipelines.engine.protocol import Counters, Drawing, Engine, Generated, Scored
from pipelines.running.progress import Count
from pipelines.storage.location import Location
from pipelines.storage.schemas import QUERIES

SEQUENCES = 32  # in a batch
STEP = 0.032  # seconds a token takes: 1,000 tokens/s at a full batch
MEAN_TOKENS = 200  # of a response; its lengths are exponential
TURN = 21  # tokens of P(True)'s turn


class SimulatedEngine:
    """SEQUENCES at once, `step` seconds a token; lengths and P(True) follow from a draw's key.

    Writes a line into `{root}/work/{pid}` for each sample: when it began and when it ended.
    """

    step = STEP

    def __init__(self, config: Config):
        self.count = Count()
        self._engines = config.engine.count
        self._room = asyncio.Semaphore(SEQUENCES)
        self._place = Path(config.root, "work")
        self._place.mkdir(exist_ok=True)
        self._work = open(self._place / str(os.getpid()), "w", buffering=1)  # noqa: SIM115

    async def draw(
        self,
        prompt_ids: Sequence[int],
        key: int,
        drawing: Drawing,
        spent: Counters,
        heard: Callable[[str], None] | None = None,
        live: bool = False,
    ) -> "SimulatedDraw":
        # Processes start one after the other here; none works before all of them can.
        while len(os.listdir(self._place)) < self._engines:
            await asyncio.sleep(0.05)
        uniform = (key % 2**32 + 1) / 2**32
        tokens = min(drawing.max_tokens, 1 + int(-MEAN_TOKENS * math.log(uniform)))
        await self._room.acquire()
        began = time.time()
        await asyncio.sleep(tokens * self.step)
        self.count.done += 1
        self.count.tokens += tokens
        spent.generated_tokens += tokens
        spent.cached_tokens += len(prompt_ids)

        def end() -> None:
            self._room.release()
            print(began, time.time(), file=self._work)

        return SimulatedDraw(end, spent, len(prompt_ids), tokens, key, self.step)

    def shutdown(self) -> None:
        """Nothing was started."""


class InstantEngine(SimulatedEngine):
    """As fast as what is around it."""

    step = 0.0


class SimulatedDraw:
    def __init__(
        self,
        end: Callable[[], None],
        spent: Counters,
        prompt_tokens: int,
        tokens: int,
        key: int,
        step: float,
    ):
        self._end: Callable[[], None] | None = end
        self._spent, self._key, self._step = spent, key, step
        ids = [(key + i) % 50_000 for i in range(tokens)]
        text = f"The answer is {key % 5}. " + "word " * tokens
        self.generated = Generated(ids, text, tokens, "stop", prompt_tokens, prompt_tokens)

    async def score(self) -> Scored:
        self._spent.scored_tokens += TURN
        await asyncio.sleep(self._step)
        self.release()
        whole = self.generated.prompt_tokens + self.generated.num_tokens + TURN
        self._spent.cached_tokens += whole - TURN
        self._spent.scored_responses += 1
        self._spent.mass += 1.0
        return Scored((self._key % 100) / 100, 1.0, whole, whole - TURN)

    def release(self) -> None:
        if self._end:
            self._end()
        self._end = None


def label(
    place: str,
    queries: int,
    sampling: Mapping[str, Any],
    engine: Mapping[str, Any],
    make_engine: Callable[[Config], Engine] = SimulatedEngine,
) -> None:
    """Runs the label stage on so many made-up queries; `place` is the root."""
    from pipelines.stages import label as stage

    config = Config.model_validate(
        {
            "root": place,
            "model": {"source": "simulated"},
            "data": {"train": [{"name": "capitals"}]},
            "sampling": sampling,
            "engine": engine,
        }
    )
    root = Location.of(config.root)
    (root / "queries").make_dir()
    (root / "label").make_dir()
    row = dict.fromkeys(QUERIES.names, "") | {
        "kind": "number",
        "choices": None,
        "prompt_ids": [1] * 50,
    }
    with pq.ParquetWriter(f"{root.path}/queries/train.parquet", QUERIES) as writer:
        for start in range(0, queries, 1000):
            ids = range(start, min(start + 1000, queries))
            rows = [row | {"query_id": f"{i:012}", "question": f"Question {i}?"} for i in ids]
            writer.write_table(pa.Table.from_pylist(rows, schema=QUERIES))
    stage.run(config, {"queries": root / "queries"}, root / "label", make_engine)
