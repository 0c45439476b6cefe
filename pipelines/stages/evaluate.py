"""Stage `evaluate`: responses of the base and the calibrated model, through Ray Serve.

Each model's replicas answer every calibration and test query N times, once; all policies are
replayed from those responses (stage report). Some test queries are then answered live over
HTTP, and each live answer must agree with the replay of the samples that it used.

The artifact holds `base-*.parquet` and `calibrated-*.parquet` (schemas.LABELS, or RESPONSES where
evaluate.confidences or a policy names confidences of tokens) and `live.json`; of a further training
run, the calibrated model's alone.
"""

import asyncio
import math
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.config import Config
from pipelines.config.serving import ServeConfig
from pipelines.engine.mass import near_zero
from pipelines.engine.sampling import queries_at_once, totals
from pipelines.method.policies import POLICIES, in_order
from pipelines.running import cluster
from pipelines.running.board import Board
from pipelines.running.dag import Result
from pipelines.running.progress import Count, Progress
from pipelines.storage.location import Location
from pipelines.storage.schemas import LABELS, LIVE_FILE, MODELS, RESPONSES

LIVE_POLICIES = ("early_stopping", "asc")  # one needs confidences, and the other is not given any
_ROWS_A_FILE = 64  # the rows of files that stand are not answered again by a rerun
VERSION = 2  # the base model has answered


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
            route = f"/{served.name}"  # beside what a Serve that ran before has
            _, handle = deploy(config, served, served.name, route, digests, board)
            drawn = Count()
            with removed_on_failure(served.name):
                for name in names:
                    asyncio.run(_collect(config, handle, rows, out, name, board, drawn))
                for name in names:
                    columns = ["query_id", "role", "question", "kind", "choices", "samples"]
                    recorded = out.read_table(f"{name}-", columns).to_pylist()
                    recorded.sort(key=lambda row: row["query_id"])  # not as they happened to end
                    tests = [row for row in recorded if row["role"] == "eval"]
                    systems = {row["query_id"]: row.get("system") for row in rows}
                    live[name] = asyncio.run(_live(config, route, name, tests, systems, key))
            serve.delete(served.name)
    (out / LIVE_FILE).write_json(live)
    spent = costs(out, models)
    for line in noise(spent):
        print(line, flush=True)
    return Result(len(models) * len(rows), str(_schema(config)), {"live": live, **spent})


def live_thresholds(policy: str, rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """Thresholds so spread that some runs stop and some spend the budget, whatever the model.

    rows: the recorded samples of queries (schemas.LABELS).
    """
    if POLICIES[policy].threshold == "share":
        return [0.5, 0.75, 1.0]
    samples = [one for row in rows for one in row["samples"]]
    c = [one["p_true"] for one in samples if one["answer"] is not None] or [1.0]
    return [float(threshold) for threshold in np.quantile(c, (0.5, 0.9, 1.0))]


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


async def _live(
    config: Config,
    route: str,
    name: str,
    rows: list[dict[str, Any]],
    systems: Mapping[str, str | None],
    key: str,
) -> dict[str, Any]:
    """Answers some test queries live, evenly; RuntimeError where an answer is not the replay's.

    systems: by query_id, its own system prompt.

    Returns counts: runs, runs that stopped early, runs whose samples are the recorded ones to
    the letter (the engine's arithmetic may differ in other batches); and the seconds of all.
    """
    import aiohttp

    from pipelines.serving.service import address

    host, port = address()
    here = "127.0.0.1" if host == "0.0.0.0" else host
    url = f"http://{here}:{port}{route}/v1/chat/completions"
    headers = {"authorization": f"Bearer {key}"}
    step = max(1, len(rows) // max(1, config.evaluate.live_queries))
    chosen = rows[::step][: config.evaluate.live_queries]
    budget = config.evaluate.num_samples
    counts: dict[str, float] = {"runs": 0, "stopped_early": 0, "same_samples": 0, "samples": 0}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=60)  # they wait for each other
    start = time.monotonic()
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:

        async def ask(row: dict[str, Any], policy: str, threshold: float) -> None:
            scaling = {
                "policy": policy,
                "threshold": threshold,
                "budget": budget,
                "kind": row["kind"],
                "choices": row["choices"],
                "query_id": row["query_id"],
                "details": True,
            }
            said = {"system": systems[row["query_id"]], "user": row["question"]}
            request = {
                "model": name,
                "messages": [{"role": r, "content": text} for r, text in said.items() if text],
                "seed": config.seed,
                "scaling": scaling,
            }
            async with session.post(url, json=request) as response:
                if response.status != 200:
                    raise RuntimeError(f"{url}: HTTP {response.status}, {await response.text()}")
                got = (await response.json())["scaling"]
            # In the order of the samples, with what the policy was given live.
            samples = [
                (one["answer"], math.nan if one["confidence"] is None else one["confidence"])
                for one in got["details"]
            ]
            again = in_order(POLICIES[policy].make(threshold), samples)
            if (got["answer"], len(samples)) != (again.answers[-1], again.samples[-1]):
                raise RuntimeError(
                    f"{row['query_id']}: {policy} at {threshold} answered {got['answer']!r} after "
                    f"{len(samples)} live, {again.answers[-1]!r} after {again.samples[-1]} in "
                    "replay"
                )
            recorded = [one["text"] for one in row["samples"][: len(samples)]]
            counts["runs"] += 1
            counts["stopped_early"] += got["stop_reason"] == "sure" and len(samples) < budget
            counts["samples"] += len(samples)
            counts["same_samples"] += recorded == [one["text"] for one in got["details"]]

        await asyncio.gather(
            *(
                ask(row, policy, spread[i % len(spread)])
                for policy in LIVE_POLICIES
                for spread in [live_thresholds(policy, rows)]
                for i, row in enumerate(chosen)
            )
        )
    return counts | {"seconds": time.monotonic() - start}
