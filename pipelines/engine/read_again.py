"""A query's responses once they are drawn, read again for the confidences in their own tokens."""

import asyncio
from collections.abc import Mapping
from typing import Any

from pipelines.engine.protocol import ReadingEngine
from pipelines.method.token_confidences import SOURCES, token_confidences


async def with_token_confidences(
    engine: ReadingEngine, labeled: Mapping[str, Any], size: int, room: asyncio.Semaphore
) -> dict[str, Any]:
    """A row of schemas.LABELS -> a row of schemas.RESPONSES. size: tokens of a group.

    Equal responses are read once, and one without a token has no such confidence. The counters
    leave it out: who samples has these numbers as they come, and pays for no forward.
    """

    async def of(response_ids: tuple[int, ...]) -> dict[str, float]:
        async with room:
            return token_confidences(await engine.read(labeled["prompt_ids"], response_ids), size)

    responses = [tuple(ids) for ids in labeled["response_ids"]]
    different = [ids for ids in dict.fromkeys(responses) if ids]
    found: dict[tuple[int, ...], Mapping[str, float | None]]
    found = dict(zip(different, await asyncio.gather(*map(of, different)), strict=True))
    none = dict.fromkeys(SOURCES)
    samples = [
        sample | found.get(ids, none)
        for sample, ids in zip(labeled["samples"], responses, strict=True)
    ]
    return {**labeled, "samples": samples}
