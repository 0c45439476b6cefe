"""Clients of the service, many at once: what each is told, and how long it took."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import httpx


@dataclass
class Told:
    """said: what is the same whenever a seeded request is asked; of one that is refused, why.
    began: by a clock, in seconds. seconds: from the first byte sent to the last one read."""

    status: int
    said: Any = None
    began: float = 0.0
    seconds: float = 0.0
    headers: Any = field(default_factory=dict)


def request(number: int, **fields: Any) -> dict[str, Any]:
    """A seeded request; by its number plain, a stream of one sample, or one of several."""
    shape = (
        {"scaling": {"policy": "best_of_n", "budget": 2}},
        {"scaling": {"policy": "self_consistency", "budget": 1}, "stream": True, "max_tokens": 24},
        {"scaling": {"policy": "sc_conf", "budget": 3, "schedule": "all"}, "stream": True},
    )[number % 3]
    messages = [{"role": "user", "content": f"What is {number} + 7?"}]
    return {"messages": messages, "seed": number, **shape, **fields}


def _of_body(body: dict[str, Any]) -> Any:
    scaling = body.get("scaling")
    if scaling is None:
        return body["error"]["message"]
    text = body["choices"][0]["message"]["content"]
    return text, scaling["answer"], scaling["samples"]["used"], scaling["stop_reason"]


def _of_stream(lines: list[str]) -> Any:
    """Of one that goes on to its [DONE]; what else it ends with is told as it stands."""
    *events, last = [line.removeprefix("data: ") for line in lines if line]
    if last != "[DONE]":
        return last
    chunks = [json.loads(event) for event in events]
    deltas = [chunk["choices"][0]["delta"].get("content") for chunk in chunks]
    return _of_body({"choices": [{"message": {"content": "".join(filter(None, deltas))}}],
                     "scaling": chunks[-1]["scaling"]})  # fmt: skip


@asynccontextmanager
async def client(url: str, key: str = "none", timeout: float = 300) -> AsyncIterator[Any]:
    async with httpx.AsyncClient(
        base_url=url, timeout=timeout, limits=httpx.Limits(max_connections=None),
        headers={"authorization": f"Bearer {key}"},
    ) as made:  # fmt: skip
        yield made


async def ask(client: httpx.AsyncClient, body: dict[str, Any]) -> Told:
    began = time.monotonic()
    async with client.stream("POST", "/v1/chat/completions", json=body) as got:
        if got.headers["content-type"].startswith("text/event-stream"):
            said = _of_stream([line async for line in got.aiter_lines()])
        else:
            said = _of_body(json.loads(await got.aread()))
    return Told(got.status_code, said, began, time.monotonic() - began, got.headers)


async def ask_all(client: httpx.AsyncClient, bodies: list[Any], at_once: int) -> list[Told]:
    """In their order, so many at once."""
    room = asyncio.Semaphore(at_once)

    async def one(body: dict[str, Any]) -> Told:
        async with room:
            return await ask(client, body)

    return await asyncio.gather(*map(one, bodies))


def most_at_once(told: list[Told]) -> int:
    """How many of these were asked and not yet answered."""
    changes = [(one.began, 1) for one in told] + [(one.began + one.seconds, -1) for one in told]
    return max(accumulate(change for _, change in sorted(changes)))


def percentile(told: list[Told], share: float) -> float:
    """Of their seconds."""
    seconds = sorted(one.seconds for one in told)
    return seconds[min(len(seconds) - 1, int(share * len(seconds)))]
