"""The label stage's actor: an engine, and all the queries that it works on at once."""

import asyncio
import os
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pyarrow as pa

from pipelines.config import Config
from pipelines.engine.mass import MassCheck
from pipelines.engine.protocol import Drawing, Engine
from pipelines.engine.sampling import label_query, sample_room
from pipelines.running.board import Board
from pipelines.running.placement import own_number
from pipelines.storage.schemas import LABELS


class QueryLabeler:
    """The actor: an engine, and the samples that it is given at once."""

    def __init__(self, config: Config, board: Board, make_engine: Callable[[Config], Engine]):
        from pipelines.engine.metrics import EngineMetrics

        self._config, self._drawing = config, Drawing.of(config.sampling)
        self._wrong = ""
        self._leaving = ExitStack()
        start = time.monotonic()
        print("label: an engine starts", flush=True)
        try:
            self._engine = make_engine(config)
        except ValueError as error:
            if _restarted():  # the one before did start, or was killed while it did
                print(f"label: {error}", flush=True)
                os._exit(1)  # Ray starts another, engine.max_restarts times in all
            if own_number() > config.engine.count:
                # The run grew to it and can do without. Until its constructor ends, Ray Data gives
                # it no rows and starts no other in its place; one that raised would end the run.
                print(f"label: the run goes on with fewer engines: {error}", flush=True)
                threading.Event().wait()  # Ray ends this process with the stage
            # Raised here, Ray prints its whole trace again and again. A row's ends the run.
            self._wrong = str(error)
        else:
            print(f"label: it took {time.monotonic() - start:.0f} s to start", flush=True)
            self._leaving.callback(self._engine.shutdown)
            self._post = self._leaving.enter_context(board.posting(self._engine.count))
        self._metrics = EngineMetrics("label")
        self._mass = MassCheck()
        self._room = sample_room(config.engine.max_num_seqs)

    async def __call__(self, block: pa.Table) -> pa.Table:
        """Rows of schemas.QUERIES -> rows of schemas.LABELS, in their order.

        ValueError where replies to the confidence turn are neither Yes nor No.
        """
        if self._wrong:
            raise ValueError(self._wrong)
        labeled = await asyncio.gather(*(self._label(row) for row in block.to_pylist()))
        self._engine.count.kept += len(block) * self._config.sampling.num_samples
        self._post()
        return pa.Table.from_pylist(labeled, LABELS)

    async def _label(self, row: dict[str, Any]) -> dict[str, Any]:
        config = self._config
        with self._metrics.query():
            labeled = await label_query(
                self._engine,
                self._drawing,
                config.seed,
                row,
                config.sampling.num_samples,
                self._room,
            )
        self._metrics.done(config.sampling.num_samples, labeled["counters"])
        if wrong := self._mass.add(labeled["counters"]):
            raise ValueError(wrong)
        return labeled

    def __del__(self) -> None:  # Ray Data's hook for an actor that is about to leave
        self._leaving.close()


def _restarted() -> bool:
    """Whether Ray has started this actor anew."""
    import ray
    from ray.util.annotations import RayDeprecationWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RayDeprecationWarning)  # of what Ray itself calls in there
        return bool(ray.get_runtime_context().was_current_actor_reconstructed)
