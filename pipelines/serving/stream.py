"""A chat completion as server-sent events: what is going on, then the message as it stands.

Every OpenAI client survives a chunk whose delta is empty; those carry a `scaling` event. The text
follows when it is settled, then the usage, then [DONE].
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from pipelines.engine.sampling import Sample
from pipelines.serving.adaptive import Tell
from pipelines.serving.errors import RequestError, of_failure, of_refusal
from pipelines.serving.reply import ChatCompletion

_OVER = object()


async def events(
    answer: Callable[[Tell | None], Awaitable[ChatCompletion]],
    name: str,
    created: int,
    model: str,
    with_usage: bool,
    live: bool,
) -> AsyncIterator[str]:
    """What an answer tells while it is made, and then the answer. Ends with it: a reader that goes
    away cancels it. live: of one sample alone, whose text is the message's as it comes."""
    queue: asyncio.Queue[Any] = asyncio.Queue()
    head = {"id": name, "object": "chat.completion.chunk", "created": created, "model": model}

    def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return _sent(head | {"choices": [choice]} | more)

    async def run() -> ChatCompletion:
        try:
            return await answer(lambda index, what, more: queue.put_nowait((index, what, more)))
        finally:
            queue.put_nowait(_OVER)

    task = asyncio.create_task(run())
    try:
        yield chunk({"role": "assistant", "content": ""})
        while (told := await queue.get()) is not _OVER:
            index, what, more = told
            if live and what == "text":
                yield chunk({"content": more})
            else:
                yield chunk({}, scaling=_event_of(index, what, more))
        try:
            made = await task
        except RequestError as error:
            yield _sent(of_refusal(error))
            return
        except Exception:  # of any kind: the status is sent, so no handler can tell
            logging.getLogger("ray.serve").exception("a request failed amid its stream")
            yield _sent(of_failure())
            return
        (choice,) = made.choices
        if not live:
            yield chunk({"content": choice.message.content})
        yield chunk({}, choice.finish_reason, scaling=made.scaling.model_dump(mode="json"))
        if with_usage:
            yield _sent(head | {"choices": [], "usage": made.usage.model_dump(mode="json")})
        yield "data: [DONE]\n\n"
    finally:
        task.cancel()


def _event_of(index: int, what: str, more: Any) -> dict[str, Any]:
    event: dict[str, Any] = {"event": what, "index": index}
    if isinstance(more, str):
        return event | {"text": more}
    if isinstance(more, Sample):
        p_true = None if more.p_true != more.p_true else more.p_true  # NaN where it is not scored
        tokens = more.generated.num_tokens
        return event | {"answer": more.answer, "p_true": p_true, "tokens": tokens}
    return event


def _sent(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"
