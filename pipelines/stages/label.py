"""Stage `label`: N samples a query, P(True) of each, SSC; one streaming pass of Ray Data.

A row is a query from start to end. Engine actors are async and hold several blocks of rows at
once, so the engine's batch stays full while single queries drain. Finished rows are checkpointed
by Ray Data: a run that was killed goes on with the rows that are missing.
"""

import asyncio
import hashlib
import logging
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.config import Config
from pipelines.engine.protocol import Engine
from pipelines.engine.sampling import label_query, queries_at_once, sample_room, totals
from pipelines.running import cluster, placement
from pipelines.running.dag import Result
from pipelines.running.progress import Progress
from pipelines.storage.location import Location
from pipelines.storage.schemas import LABELS

CHECKPOINT = "_rows"  # finished rows' ids, deleted once the manifest stands
# Ray Data's driver holds 10 KB and more of a block: so many at most, whatever the number of
# queries, but so many for each engine that it idles little while others do their last ones.
_MOST_BLOCKS, _BLOCKS_AN_ENGINE = 2_000, 32
_MOST_FILES = 1_000


def spec(config: Config) -> dict[str, Any]:
    return {
        "seed": config.seed,
        "model": config.model.source,
        "sampling": config.sampling.model_dump(mode="json"),
        "confidence": config.confidence.model_dump(mode="json"),
        "dtype": config.engine.dtype,
    }


def _vllm(config: Config) -> Engine:
    from pipelines.engine.vllm_engine import VLLMEngine

    return VLLMEngine.of(config, config.model.source)


def run(
    config: Config,
    inputs: Mapping[str, Location],
    out: Location,
    make_engine: Callable[[Config], Engine] = _vllm,
) -> Result:
    """Labels the queries of role train; Result.metrics holds the sums of all counters.

    make_engine: called in each actor; benchmarks and tests bring engines without a model.
    """
    cluster.connect(config)  # before ray.data is imported, which reads its log level then

    import ray.data
    from ray.data import ActorPoolStrategy, DataContext
    from ray.exceptions import RayActorError, RayTaskError
    from ray.util.annotations import RayDeprecationWarning

    source = inputs["queries"] / "train.parquet"
    engine = config.engine
    placement.tell_if_short("engine.count", engine.count, placement.bundles(engine))
    total = pq.ParquetFile(source.filesystem.open_input_file(source.path)).metadata.num_rows
    rows_a_block, blocks_at_once = blocks(config, total)
    with (
        DataContext.current(_context(out)),
        warnings.catch_warnings(),
        placement.engine_actors(engine) as next_actor,
    ):
        # Ray Data has no other way yet to say how often an actor may restart.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        labeled = (
            ray.data.read_parquet(source.path, filesystem=source.filesystem)
            .repartition(target_num_rows_per_block=rows_a_block)
            .map_batches(
                QueryLabeler,
                batch_size=rows_a_block,
                batch_format="pyarrow",
                fn_constructor_args=(config, total, make_engine),
                compute=ActorPoolStrategy(
                    min_size=engine.count,
                    max_size=engine.most,
                    max_tasks_in_flight_per_actor=blocks_at_once,
                    max_concurrent_calls_per_actor=blocks_at_once,
                ),
                num_cpus=engine.cpus,
                num_gpus=placement.actor_gpus(engine) or None,
                # Its own restarts are without end: an engine that keeps dying would never be told.
                # A block is tried as long as its engine may restart: until Ray misses a host that
                # was killed, each try ends at once.
                ray_remote_args_fn=lambda: {
                    "max_restarts": engine.max_restarts,
                    "max_task_retries": -1,
                    **next_actor(),
                },
            )
        )
        try:
            labeled.write_parquet(
                out.path,
                filesystem=out.filesystem,
                # So of a large run, a thousandth waits to be written.
                min_rows_per_file=max(1, total // _MOST_FILES),
                # A writer is a process that takes seconds of a CPU to start.
                concurrency=engine.most,
            )
        except RayTaskError as error:
            if isinstance(error, ValueError):  # Ray Data's advice on retries follows in more lines
                raise ValueError(str(error.cause).splitlines()[0]) from None
            raise
        except RayActorError as error:
            raise RuntimeError(
                f"label: the engines keep dying, more than engine.max_restarts "
                f"({engine.max_restarts}) times; what is labeled stays in {out.uri}, and the same "
                "command goes on from there"
            ) from error
    return finish(source, out)


def blocks(config: Config, total: int) -> tuple[int, int]:
    """Rows a block for so many queries in all, and the blocks that an engine holds at once.

    A block is what is checkpointed at once, and what is done again where an engine dies. A few of
    them fill an engine, and one more follows; there are some for each engine, whose share no
    other takes.
    """
    engines = config.engine.most
    at_once = queries_at_once(config.engine.max_num_seqs, config.sampling.num_samples)
    most_blocks = max(_MOST_BLOCKS, _BLOCKS_AN_ENGINE * engines)
    rows = max(1, min(at_once, total // engines) // 8, math.ceil(total / most_blocks))
    share = math.ceil(total / rows / engines)
    return rows, max(1, min(math.ceil(at_once / rows) + 1, share))


def _context(out: Location) -> Any:
    """Ray Data's settings for this stage alone: finished rows are recorded, and no bars."""
    from ray.data import DataContext
    from ray.data.checkpoint import CheckpointConfig
    from ray.data.context import AutoscalingConfig

    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # says it has no bars
    # What fails is raised, to be told in a line; these two print its whole trace before that.
    for name in ("exceptions", "_internal.execution.streaming_executor_state"):
        logging.getLogger(f"ray.data.{name}").setLevel(logging.CRITICAL)
    context = DataContext.get_current().copy()
    # They ask what an actor would take, by which one more placement group would be made.
    context.issue_detectors_config.detectors = []
    context.raise_original_map_exception = True  # so that a ValueError is told as one
    context.enable_progress_bars = False  # the engines say how far they are
    # Ray's newer reader starts 32 actors to look at a file's footer, and ends the job where one
    # of them dies.
    context.use_datasource_v2 = False
    # One task cuts a file of queries into blocks, and Ray fetches this many of them every tenth
    # of a second. Its own 2 made ten blocks a second, whatever the number of engines.
    context._max_num_blocks_in_streaming_gen_buffer = 64
    # An engine more wherever there is room, up to max_count, and none less before the end. Ray Data
    # grows where actors have tasks waiting, and ours are given no more than they hold.
    context.autoscaling_config = AutoscalingConfig(
        actor_pool_util_upscaling_threshold=0.01, actor_pool_util_downscaling_threshold=0
    )
    context.checkpoint_config = CheckpointConfig(
        id_column="query_id",
        checkpoint_path=(out / CHECKPOINT).uri,
        override_filesystem=out.filesystem,
        delete_checkpoint_on_success=False,
    )
    return context


def finish(source: Location, out: Location) -> Result:
    """Checks that every query is labeled exactly once, and sums up what that cost."""
    wanted, labeled = _Ids(), _Ids()
    with source.filesystem.open_input_file(source.path) as file:
        for batch in pq.ParquetFile(file).iter_batches(columns=["query_id"]):
            wanted.add(batch["query_id"])

    def counters() -> Iterator[pa.StructArray]:
        for batch in out.batches(["query_id", "counters"]):
            labeled.add(batch["query_id"])
            yield batch["counters"]

    spent = totals(counters())
    if labeled != wanted:
        raise RuntimeError(
            f"{out.uri}: its {labeled.count} rows are not the {wanted.count} queries, each once; "
            "delete the directory and run again"
        )
    (out / CHECKPOINT).delete()
    return Result(labeled.count, str(LABELS), spent)


@dataclass
class _Ids:
    """Any number of ids, of which only how many and the sum of their 128-bit hashes are kept.

    So two collections compare as equal if each id is in both as often, in whatever order.
    """

    count: int = 0
    hashes: int = 0

    def add(self, ids: pa.StringArray) -> None:
        self.count += len(ids)
        for one in ids.to_pylist():
            digest = hashlib.blake2b(one.encode(), digest_size=16).digest()
            self.hashes += int.from_bytes(digest, "big")


class QueryLabeler:
    """The actor: an engine, and the samples that it is given at once."""

    def __init__(self, config: Config, total: int, make_engine: Callable[[Config], Engine]):
        from pipelines.engine.metrics import EngineMetrics

        self._config = config
        self._wrong = ""
        start = time.monotonic()
        print("label: an engine starts", flush=True)
        try:
            self._engine = make_engine(config)
        except ValueError as error:
            from ray import get_runtime_context

            if get_runtime_context().was_current_actor_reconstructed:  # it did start once
                print(f"label: {error}", flush=True)
                os._exit(1)  # Ray starts another, engine.max_restarts times in all
            # Raised here, Ray prints its whole trace again and again. A row's ends the run.
            self._wrong = str(error)
        self._metrics = EngineMetrics("label")
        self._room = sample_room(config.engine.max_num_seqs)
        print(f"label: it took {time.monotonic() - start:.0f} s to start", flush=True)
        share = math.ceil(total / config.engine.count)
        self._progress = Progress("label: this engine did", share, "queries")
        self._tokens, self._start = 0, time.monotonic()

    async def __call__(self, block: pa.Table) -> pa.Table:
        """Rows of schemas.QUERIES -> rows of schemas.LABELS, in their order."""
        if self._wrong:
            raise ValueError(self._wrong)
        labeled = await asyncio.gather(*(self._label(row) for row in block.to_pylist()))
        return pa.Table.from_pylist(labeled, LABELS)

    async def _label(self, row: dict[str, Any]) -> dict[str, Any]:
        config = self._config
        with self._metrics.query():
            labeled = await label_query(
                self._engine, config.seed, row, config.sampling.num_samples, self._room
            )
        self._metrics.done(config.sampling.num_samples, labeled["counters"])
        self._tokens += labeled["counters"]["generated_tokens"]
        rate = self._tokens / (time.monotonic() - self._start)
        self._progress.did(more=f"{rate:.0f} generated tokens/s")
        return labeled

    def __del__(self) -> None:  # Ray Data's hook for an actor that is about to leave
        if hasattr(self, "_engine"):
            self._engine.shutdown()
