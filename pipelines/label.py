"""Stage `label`: N samples a query, P(True) of each, SSC; one streaming pass of Ray Data.

A row is a query from start to end. Engine actors are async and hold many queries at once, so
the engine's batch stays full while single queries drain. Finished rows are checkpointed by
Ray Data: a run that was killed goes on with the rows that are missing.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.config import Config
from pipelines.consistency import self_consistency, soft_self_consistency
from pipelines.dag import Result
from pipelines.engine_protocol import Engine
from pipelines.sampling import QuerySampler, Sample
from pipelines.schemas import LABELS
from pipelines.storage import Location

CHECKPOINT = "_rows"  # finished rows' ids, deleted once the manifest stands


def spec(config: Config) -> dict[str, Any]:
    return {
        "seed": config.seed,
        "model": config.model.source,
        "sampling": config.sampling.model_dump(mode="json"),
        "confidence": config.confidence.model_dump(mode="json"),
        "dtype": config.engine.dtype,
        "target": config.examples.target,
    }


def run(config: Config, inputs: Mapping[str, Location], out: Location) -> Result:
    """Labels the queries of role train; Result.metrics holds the sums of all counters."""
    import ray.data
    from ray.data import ActorPoolStrategy, DataContext
    from ray.data.checkpoint import CheckpointConfig

    source = inputs["queries"] / "train.parquet"
    engine = config.engine
    context = DataContext.get_current().copy()
    context.checkpoint_config = CheckpointConfig(
        id_column="query_id",
        checkpoint_path=(out / CHECKPOINT).uri,
        override_filesystem=out.filesystem,
        delete_checkpoint_on_success=False,
    )
    with DataContext.current(context):
        # A block is what is checkpointed at once: a few of them fill an engine.
        rows_a_block = max(1, engine.queries_in_flight // 4)
        blocks_at_once = -(-engine.queries_in_flight // rows_a_block) + 1
        (
            ray.data.read_parquet(source.path, filesystem=source.filesystem)
            .repartition(target_num_rows_per_block=rows_a_block)
            .map(
                QueryLabeler,  # type: ignore[arg-type]
                fn_constructor_args=(config,),
                compute=ActorPoolStrategy(
                    size=engine.count,
                    max_tasks_in_flight_per_actor=blocks_at_once,
                ),
                num_cpus=engine.cpus,
                num_gpus=engine.gpus * engine.tensor_parallel_size or None,
                max_concurrency=blocks_at_once,
                max_restarts=engine.max_restarts,
                max_task_retries=engine.max_restarts,
            )
            .map_batches(_typed, batch_format="pyarrow", batch_size=None, zero_copy_batch=True)
            .write_parquet(out.path, filesystem=out.filesystem)
        )
    return finish(source, out)


def finish(source: Location, out: Location) -> Result:
    """Checks that every query is labeled exactly once, and sums up what that cost."""
    wanted = pq.read_table(source.path, filesystem=source.filesystem, columns=["query_id"])
    done = out.read_table(columns=["query_id", "counters"])
    ids = done["query_id"].to_pylist()
    if sorted(ids) != sorted(wanted["query_id"].to_pylist()):
        raise RuntimeError(
            f"{out.uri}: {len(ids)} rows with {len(set(ids))} queries, expected {len(wanted)}; "
            "delete the directory and run again"
        )
    totals: dict[str, float] = {}
    for counters in done["counters"].to_pylist():
        for name, value in counters.items():
            totals[name] = totals.get(name, 0) + value
    (out / CHECKPOINT).delete()
    return Result(len(ids), str(LABELS), totals)


def _typed(table: pa.Table) -> pa.Table:
    """Ray infers types from values; the artifact's are fixed."""
    return pa.Table.from_pylist(table.to_pylist(), schema=LABELS)


class QueryLabeler:
    """The actor: an engine and a limit on the queries that it holds at once."""

    def __init__(self, config: Config):
        from pipelines.engine import VLLMEngine
        from pipelines.models import fetch

        logging.getLogger("vllm").setLevel(logging.WARNING)
        self._config = config
        self._engine: Engine = VLLMEngine(
            str(fetch(config.model.source)), config.engine, config.sampling, config.confidence
        )
        self._room = asyncio.Semaphore(config.engine.queries_in_flight)

    async def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        async with self._room:
            return await label_query(
                self._engine, self._config, row, self._config.sampling.num_samples
            )


async def label_query(
    engine: Engine, config: Config, row: Mapping[str, Any], num_samples: int
) -> dict[str, Any]:
    """A row of the queries artifact -> the row of the label artifact."""
    start = time.monotonic()
    prompt_ids = [int(i) for i in row["prompt_ids"]]
    sampler = QuerySampler(engine, config.seed, row["query_id"], prompt_ids, row["kind"])
    samples = await asyncio.gather(*(sampler.sample(index) for index in range(num_samples)))
    counters = asdict(sampler.counters) | {"seconds": time.monotonic() - start}
    return {
        **row,
        "prompt_ids": prompt_ids,
        "samples": sample_rows(samples, targets(samples, config.examples.target)),
        "response_ids": [sample.generated.token_ids for sample in samples],
        "counters": counters,
    }


def targets(samples: Sequence[Sample], kind: str) -> list[float | None]:
    """The training target of each sample: SSC, or an ablation's."""
    answers = [sample.answer for sample in samples]
    if kind == "vote":
        return self_consistency(answers)
    if kind == "p_true":
        return [None if s.answer is None else s.p_true for s in samples]
    return soft_self_consistency(answers, [sample.p_true for sample in samples])


def sample_rows(samples: Sequence[Sample], labels: Sequence[float | None]) -> list[dict[str, Any]]:
    """The `samples` column of one query (schemas.SAMPLE)."""
    return [
        {
            "index": sample.index,
            "text": sample.generated.text,
            "answer": sample.answer,
            "p_true": sample.p_true,
            "target": label,
            "num_tokens": sample.generated.num_tokens,
            "finish_reason": sample.generated.finish_reason,
        }
        for sample, label in zip(samples, labels, strict=True)
    ]
