"""A response as server-sent events: what is going on, then the message as it stands.

Every OpenAI client survives a chunk whose choice is empty; those carry a `scaling` event. The text
follows when it is settled, then the usage, then [DONE].
"""

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi.responses import StreamingResponse

from pipelines.serving.errors import RequestError, of_failure, of_refusal
from pipelines.serving.form import Form
from pipelines.serving.reply import Outcome
from pipelines.serving.wire import Told

_AT_ONCE = {"cache-control": "no-cache", "x-accel-buffering": "no"}  # or proxies hold it back


async def chunks(told: AsyncIterator[Told], form: Form, with_usage: bool) -> AsyncIterator[str]:
    """told: events, and last the outcome. Pieces of the message are sent as they come."""
    head = form.head | {"object": form.chunks}
    said = False

    def chunk(choice: dict[str, Any], finish: str | None = None, **more: Any) -> str:
        choice = {"index": 0, **choice, "finish_reason": finish, "logprobs": None}
        return _sent(head | {"choices": [choice]} | more)

    yield chunk(form.first)
    made: Outcome | None = None
    try:
        async for one in told:
            if isinstance(one, Outcome):
                made = one
                break
            for event in one:
                if event["event"] == "message":
                    said = True
                    yield chunk(form.piece(event["text"]))
                else:
                    yield chunk(form.piece(None), scaling=event)
    except RequestError as error:
        yield _sent(of_refusal(error))
        return
    except Exception:  # of any kind: the status is sent, so no handler can tell
        logging.getLogger("ray.serve").exception("a request failed amid its stream")
        yield _sent(of_failure())
        return
    assert made, "an outcome ends what is told"
    if not said:
        yield chunk(form.piece(made.text))
    yield chunk(form.piece(None), made.finish_reason, scaling=made.scaling.model_dump(mode="json"))
    if with_usage:
        yield _sent(head | {"choices": [], "usage": made.usage.model_dump(mode="json")})
    yield "data: [DONE]\n\n"


def _sent(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


class EventStream(StreamingResponse):
    """A response of `chunks`; `told` ends with it, even if no client reads it."""

    def __init__(self, told: AsyncGenerator[Told, None], form: Form, with_usage: bool):
        super().__init__(
            chunks(told, form, with_usage), headers=_AT_ONCE, media_type="text/event-stream"
        )
        self._told = told

    async def __call__(self, *asgi: Any) -> None:
        async with aclosing(self._told):
            await super().__call__(*asgi)
