"""Stage `evaluate`: responses of the base and the calibrated model, through Ray Serve.

Each model's replicas answer every calibration and test query N times, once; all policies are
replayed from those responses (stage report). Some test queries are then answered live over HTTP
(live.py).

The artifact holds `base-*.parquet` and `calibrated-*.parquet` (schemas.LABELS, or RESPONSES where
evaluate.confidences or a policy names confidences of tokens) and `live.json`; of a further training
run, the calibrated model's alone.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.config import Config
from pipelines.config.serving import ServeConfig
from pipelines.engine.mass import near_zero
from pipelines.engine.sampling import queries_at_once, totals
from pipelines.running import cluster
from pipelines.running.board import Board
from pipelines.running.dag import Result
from pipelines.running.progress import Count, Progress
from pipelines.stages.evaluate.live import answer_live, chosen
from pipelines.storage.location import Location
from pipelines.storage.schemas import LABELS, LIVE_FILE, MODELS, RESPONSES

_ROWS_A_FILE = 64  # the rows of files that stand are not answered again by a rerun
VERSION = 3  # answers are read by what a sentence is about


def spec(config: Config, models: Sequence[str] = MODELS) -> dict[str, Any]:
    # Whichever it names, all are recorded: naming others makes another report alone.
    recorded = {}
    if config.evaluate.records_tokens:
        recorded = {"group_size": config.evaluate.group_size, "token_confidences": "as drawn"}
    return recorded | {
        "models": list(models),
        "seed": config.seed,
        "model": config.model.source,
        "sampling": config.answering.model_dump(mode="json"),
        "confidence": config.confidence.model_dump(mode="json"),
        "num_samples": config.evaluate.num_samples,
        "live_queries": config.evaluate.live_queries,
        "dtype": config.engine.dtype,
        "adapter": config.engine.adapter,
    }


def run(
    config: Config,
    inputs: Mapping[str, Location],
    out: Location,
    models: Sequence[str] = MODELS,
) -> Result:
    """Asks the models for which `export` and the config have engines, one after the other.

    ValueError where engines do not start with this config; RuntimeError where a live answer is not
    its replay's.
    """
    from ray import serve

    from pipelines.serving import keys
    from pipelines.serving.served import base_model, calibrated_model
    from pipelines.serving.service import deploy, removed_on_failure

    cluster.connect(config)
    # As the service is by default: what a config has it do for others is not what is measured.
    own = ServeConfig(
        port=config.serve.port,
        max_budget=max(ServeConfig().max_budget, config.evaluate.num_samples),
        max_queue=2**31 - 1,
    )
    config = config.model_copy(update={"serve": own})
    rows: list[dict[str, Any]] = []
    for role in ("calibration", "eval"):
        rows += inputs["held_out"].read_table(role).to_pylist()
    tuned = calibrated_model(config, inputs["export"])
    # With adapters on it, the base model's engines answer for both.
    engines = [tuned] if tuned.adapters else [base_model(config), tuned]
    live: dict[str, Any] = {}
    key = secrets.token_hex()  # Serve may run already, at an address that others reach
    for served in engines:
        names = [name for name in served.names if name in models]
        if not names:
            continue
        print(f"evaluate: engines of the {' and the '.join(names)} model start", flush=True)
        with Board.open() as board:
            digests = [keys.digest(key)]
            app = f"{applications(out.parent)}{served.name}"
            _, handle = deploy(config, served, app, f"/{app}", digests, board)
            drawn = Count()
            with removed_on_failure(app):
                for name in names:
                    asyncio.run(_collect(config, handle, rows, out, name, board, drawn))
                for name in names:
                    asked = chosen(out, name, config.evaluate.live_queries)
                    live[name] = answer_live(config, f"/{app}", name, asked, key)
            serve.delete(app)
    (out / LIVE_FILE).write_json(live)
    spent = costs(out, models)
    for line in noise(spent):
        print(line, flush=True)
    return Result(len(models) * len(rows), str(_schema(config)), {"live": live, **spent})


def remove_left(root: Location) -> None:
    """Removes from the cluster what an evaluation of this root left, whose driver was killed:
    Serve's applications outlive it, and would keep their GPUs from the stages before. The caller
    holds the root's lease."""
    from ray import serve

    for name in serve.status().applications:
        if name.startswith(applications(root)):
            serve.delete(name)


def applications(root: Location) -> str:
    """What the names of its applications begin with: a cluster may run those of other roots."""
    return f"evaluate-{hashlib.sha256(root.uri.encode()).hexdigest()[:8]}-"


def write_rows(rows: list[dict[str, Any]], file: Location, schema: pa.Schema = LABELS) -> None:
    """Writes a Parquet file whole: readers and reruns see it complete or not at all."""
    part = file.path + ".part"
    table = pa.Table.from_pylist(rows, schema=schema)
    pq.write_table(table, part, filesystem=file.filesystem)
    file.filesystem.move(part, file.path)


def costs(artifact: Location, models: Sequence[str]) -> dict[str, Any]:
    """Sums of the counters of each model's responses."""
    return {
        name: totals(batch["counters"] for batch in artifact.batches(["counters"], f"{name}-"))
        for name in models
    }


def noise(spent: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each model whose replies are neither Yes nor No. spent: what `costs` gives."""
    told = {
        name: near_zero(one["mass"], int(one["scored_responses"])) for name, one in spent.items()
    }
    return [f"evaluate: the {name} model: {line}" for name, line in told.items() if line]


async def _collect(
    config: Config,
    handle: Any,
    rows: list[dict[str, Any]],
    out: Location,
    name: str,
    board: Board,
    drawn: Count,
) -> None:
    """Answers every row once, in files as rows end; those that an earlier run wrote stand.

    drawn: what the same engines drew for another model, and count; this model's is added.
    """
    from ray.exceptions import OutOfMemoryError, RayActorError
    from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

    files = 0
    done: set[str] = set()
    while (file := _file(out, name, files)).exists():
        done |= set(out.read_table(file.name, ["query_id"])["query_id"].to_pylist())
        files += 1
    left = [row for row in rows if row["query_id"] not in done]
    # Enough to keep all replicas full; the rest of the rows waits here, not in the router.
    at_once = queries_at_once(config.engine.max_num_seqs, config.evaluate.num_samples)
    room = asyncio.Semaphore(config.engine.count * at_once)

    # A replica whose engine died is replaced, and its rows go to the next one.
    @retry(
        retry=retry_if_exception_type((RayActorError, OutOfMemoryError)),
        stop=stop_after_attempt(1 + config.engine.max_restarts),
        wait=wait_random_exponential(max=30),
        reraise=True,
    )
    async def answer(row: dict[str, Any]) -> dict[str, Any]:
        async with room:
            return await handle.collect.remote(row, name)

    finished: list[dict[str, Any]] = []
    samples = config.evaluate.num_samples
    progress = Progress(
        f"evaluate: {name}", samples * len(rows), "samples", longest=config.answering.max_tokens
    )
    before = Count(samples * len(done) - drawn.done, -drawn.tokens)
    with board.watched(progress, before):
        for count, next_one in enumerate(
            asyncio.as_completed([asyncio.ensure_future(answer(row)) for row in left]), start=1
        ):
            finished.append(await next_one)
            drawn.done += samples
            drawn.tokens += finished[-1]["counters"]["generated_tokens"]
            if len(finished) == _ROWS_A_FILE or count == len(left):
                write_rows(finished, _file(out, name, files), _schema(config))
                finished, files = [], files + 1


def _schema(config: Config) -> pa.Schema:
    return RESPONSES if config.evaluate.records_tokens else LABELS


def _file(out: Location, name: str, number: int) -> Location:
    return out / f"{name}-{number:05}.parquet"
