"""What happens to a request's samples, on its way from the replica that draws them.

An event has its name and its sample's index: `started`; `text`, a piece as it is drawn; `finished`,
with answer, p_true and tokens; `used`, which is when the policy saw it, with the confidence that it
had of it, too; `aborted`, with the tokens that it had. Pieces of the text of a message that is one
sample's alone are `message` instead. `restarted` says that what was told is void, for another
replica begins anew; but for a message's text, which goes on where it was.
"""

import asyncio
from collections.abc import AsyncIterator
from math import isnan
from typing import Any

from pipelines.engine.sampling import Sample

Event = dict[str, Any]
RESTARTED: Event = {"event": "restarted"}


class Events:
    """Events as they come, and as they are read: all that came meanwhile at once, where pieces of
    one text that follow each other are one. So a busy process has less to send, not more to wait.

    one: whether all text is the message's.
    """

    def __init__(self, one: bool) -> None:
        self._text = "message" if one else "text"
        self._new: list[Event] = []
        self._some = asyncio.Event()
        self._over = False

    def add(self, index: int, what: str, more: object) -> None:
        last = self._new[-1] if self._new else {}
        if what == "text" and (last.get("index"), last.get("event")) == (index, self._text):
            last["text"] += more
        else:
            self._new.append(self._event(index, what, more))
        self._some.set()

    def close(self) -> None:
        self._over = True
        self._some.set()

    async def batches(self) -> AsyncIterator[list[Event]]:
        while self._new or not self._over:
            await self._some.wait()
            self._some.clear()
            new, self._new = self._new, []
            if new:
                yield new

    def _event(self, index: int, what: str, more: object) -> Event:
        event = {"event": what, "index": index}
        if isinstance(more, str):
            return event | {"event": self._text, "text": more}
        if isinstance(more, int):
            return event | {"tokens": more}
        if isinstance(more, Sample):
            tokens = more.generated.num_tokens
            return event | {"answer": more.answer, "p_true": _known(more.p_true), "tokens": tokens}
        if isinstance(more, tuple):
            used, confidence = more
            return self._event(index, what, used) | {"confidence": _known(confidence)}
        return event


def _known(confidence: float) -> float | None:
    """None for NaN: of a sample that was not scored, and of a policy that needs none."""
    return None if isnan(confidence) else confidence
