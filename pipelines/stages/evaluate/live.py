"""Some of the recorded test queries asked again over HTTP: each answer must be its replay's."""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import Config
from pipelines.method.policies import POLICIES, in_order
from pipelines.storage.location import Location

LIVE_POLICIES = ("early_stopping", "asc")  # one needs confidences, and the other is not given any
_COLUMNS = ["query_id", "role", "question", "system", "kind", "choices", "samples"]


def chosen(artifact: Location, model: str, count: int) -> list[dict[str, Any]]:
    """So many of a model's recorded test queries, evenly, in the order of their ids, which is not
    how they happened to end."""
    asked = artifact.read_table(f"{model}-", ["query_id", "role"])
    ids = sorted(asked.filter(pc.equal(asked["role"], "eval"))["query_id"].to_pylist())
    wanted = pa.array(ids[:: max(1, len(ids) // max(1, count))][:count], pa.string())
    found = [
        row
        for batch in artifact.batches(_COLUMNS, f"{model}-")
        for row in batch.filter(pc.is_in(batch["query_id"], wanted)).to_pylist()
    ]
    return sorted(found, key=lambda row: str(row["query_id"]))


def live_thresholds(policy: str, rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """Thresholds so spread that some runs stop and some spend the budget, whatever the model.

    rows: the recorded samples of queries (schemas.LABELS).
    """
    if POLICIES[policy].threshold == "share":
        return [0.5, 0.75, 1.0]
    samples = [one for row in rows for one in row["samples"]]
    c = [one["p_true"] for one in samples if one["answer"] is not None] or [1.0]
    return [float(threshold) for threshold in np.quantile(c, (0.5, 0.9, 1.0))]


def answer_live(
    config: Config, route: str, model: str, rows: Sequence[Mapping[str, Any]], key: str
) -> dict[str, Any]:
    """Answers queries live, by each policy; RuntimeError where an answer is not the replay's.

    rows: as `chosen`'s. key: of the service's API.

    Returns counts: runs, runs that stopped early, samples, runs whose samples are the recorded ones
    to the letter (the engine's arithmetic may differ in other batches); and the seconds of all.
    """
    import ray
    from ray import serve
    from ray.serve.schema import ProxyStatus
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from pipelines.serving.service import address

    host, port = address()
    here = "127.0.0.1" if host == "0.0.0.0" else host
    url = f"http://{here}:{port}{route}/v1/chat/completions"
    # Serve listens on the nodes of its controller and its replicas, and a driver may be on another.
    proxies = serve.status().proxies
    node = max(proxies, key=lambda one: proxies[one] == ProxyStatus.HEALTHY)
    where: Any = {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}
    asking = ray.remote(_ask_all).options(num_cpus=0, **where)
    return ray.get(asking.remote(config, url, model, rows, key))


def _ask_all(
    config: Config, url: str, model: str, rows: Sequence[Mapping[str, Any]], key: str
) -> dict[str, Any]:
    asked = [
        (row, policy, spread[number % len(spread)])
        for policy in LIVE_POLICIES
        for spread in [live_thresholds(policy, rows)]
        for number, row in enumerate(rows)
    ]

    async def ask() -> list[dict[str, Any]]:
        import aiohttp

        headers = {"authorization": f"Bearer {key}"}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=60)  # they wait for each other

        async def post(body: Mapping[str, Any]) -> dict[str, Any]:
            async with session.post(url, json=body) as response:
                if response.status != 200:
                    raise RuntimeError(f"{url}: HTTP {response.status}, {await response.text()}")
                scaling: dict[str, Any] = (await response.json())["scaling"]
                return scaling

        async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
            return await asyncio.gather(*(post(_request(config, model, *one)) for one in asked))

    start = time.monotonic()
    answered = asyncio.run(ask())
    compared = [_compared(*one, scaling) for one, scaling in zip(asked, answered, strict=True)]
    keys = ("stopped_early", "same_samples", "samples")
    sums = {key: sum(one[key] for one in compared) for key in keys}
    return {"runs": len(compared), **sums, "seconds": time.monotonic() - start}


def _request(
    config: Config, model: str, row: Mapping[str, Any], policy: str, threshold: float
) -> dict[str, Any]:
    said = {"system": row["system"], "user": row["question"]}
    return {
        "model": model,
        "messages": [{"role": role, "content": text} for role, text in said.items() if text],
        "seed": config.seed,
        "scaling": {
            "policy": policy,
            "threshold": threshold,
            "budget": config.evaluate.num_samples,
            "details": True,
            **{key: row[key] for key in ("kind", "choices", "query_id")},
        },
    }


def _compared(
    row: Mapping[str, Any], policy: str, threshold: float, scaling: Mapping[str, Any]
) -> dict[str, int]:
    """What a live answer adds to the counts. scaling: as the service told it."""
    details = scaling["details"]
    # In the order of the samples, with what the policy was given live.
    samples = [
        (one["answer"], math.nan if one["confidence"] is None else one["confidence"])
        for one in details
    ]
    again = in_order(POLICIES[policy].make(threshold), samples)
    live, replay = (scaling["answer"], len(samples)), (again.answers[-1], again.samples[-1])
    if live != replay:
        raise RuntimeError(
            f"{row['query_id']}: {policy} at {threshold} answered {live[0]!r} after {live[1]} "
            f"live, {replay[0]!r} after {replay[1]} in replay"
        )
    recorded = [one["text"] for one in row["samples"][: len(samples)]]
    stopped = scaling["stop_reason"] == "sure" and len(samples) < len(row["samples"])
    return {
        "samples": len(samples),
        "stopped_early": int(stopped),
        "same_samples": int(recorded == [one["text"] for one in details]),
    }
