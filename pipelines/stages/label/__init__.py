"""Stage `label`: N samples a query, P(True) of each, SSC; one streaming pass of Ray Data.

A row is a query from start to end. Engine actors are async and hold several blocks of rows at
once, so the engine's batch stays full while single queries drain. Finished rows are checkpointed
by Ray Data: a run that was killed goes on with the rows that are missing.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow.parquet as pq

from pipelines.config import Config
from pipelines.engine.protocol import Engine
from pipelines.running import cluster, placement
from pipelines.running.board import Board
from pipelines.running.dag import Result
from pipelines.running.progress import Count, Progress
from pipelines.stages.label.actor import QueryLabeler
from pipelines.stages.label.check import finish, labeled_before
from pipelines.stages.label.streaming import blocks, context
from pipelines.storage.location import Location
from pipelines.storage.models import check_modules

_MOST_FILES = 1_000
VERSION = 3  # answers are read by what a sentence is about


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

    # Not on this machine when the run began, maybe; told before hours of labeling.
    check_modules(config.model.source, config.train.lora.targets)
    source = inputs["queries"] / "train.parquet"
    engine = config.engine
    placement.tell_if_short("engine.count", engine.count, placement.bundles(engine))
    total = pq.ParquetFile(source.filesystem.open_input_file(source.path)).metadata.num_rows
    rows_a_block, blocks_at_once = blocks(config, total)
    samples = config.sampling.num_samples
    before = Count(samples * labeled_before(out))
    progress = Progress("label", samples * total, "samples", longest=config.sampling.max_tokens)
    with (
        DataContext.current(context(out)),
        warnings.catch_warnings(),
        placement.engine_actors(engine) as next_actor,
        Board.open() as board,
        board.watched(progress, before),
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
                fn_constructor_args=(config, board, make_engine),
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
