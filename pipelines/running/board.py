"""What workers in other processes count, for the run's own process to show: Ray's key-value store.

It needs no process of its own, and what stands there outlives who wrote it.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial

from pipelines.running.progress import Count, Progress, repeated, watched

_POST_EVERY = 2.0  # seconds


@dataclass(frozen=True)
class Board:
    """Counts by who counts. Workers are handed the board, and post; who waits for them reads."""

    name: str = field(default_factory=lambda: f"progress-{uuid.uuid4().hex}")

    def post(self, who: str, count: Count) -> None:
        from ray.experimental.internal_kv import _internal_kv_put

        _internal_kv_put(who, json.dumps(asdict(count)), namespace=self.name)

    def posted(self, who: str) -> Count | None:
        """What stands there of someone."""
        from ray.experimental.internal_kv import _internal_kv_get

        text = _internal_kv_get(who, namespace=self.name)
        return Count(**json.loads(text)) if text else None

    @contextmanager
    def posting(self, who: str, count: Count) -> Iterator[Callable[[], None]]:
        """Posts a count that its owner goes on changing, every other second and when what it gives
        is called."""
        post = partial(self.post, who, count)
        post()
        with repeated(post, _POST_EVERY):
            yield post

    @contextmanager
    def engine(self, count: Count) -> Iterator[Callable[[], None]]:
        """Posts an engine's, under its actor's name. Where Ray has restarted the actor, the count
        goes on from what stays of the last one."""
        if before := self.posted(own_name()):
            count.done = count.kept = before.kept
            count.tokens = before.tokens
        with self.posting(own_name(), count) as post:
            yield post

    def sum(self, before: int = 0) -> Count | None:
        """All counts together, after so many that were done before; None where none is posted."""
        from ray.experimental.internal_kv import _internal_kv_list

        everyone = _internal_kv_list("", namespace=self.name)
        posted = [self.posted(who.decode()) for who in everyone]
        counts = [one for one in posted if one is not None]
        if not counts:
            return None
        done, tokens = sum(one.done for one in counts), sum(one.tokens for one in counts)
        return Count(before + done, tokens, more=counts[0].more)

    @contextmanager
    def watched(self, progress: Progress, before: int = 0) -> Iterator[None]:
        """Shows how far all are while the context lasts, and forgets them when it ends."""
        from ray.experimental.internal_kv import _internal_kv_del

        try:
            with watched(progress, partial(self.sum, before)):
                yield
        finally:
            _internal_kv_del("", del_by_prefix=True, namespace=self.name)


def own_name() -> str:
    """Of the actor whose process this is; an actor that Ray restarts keeps it."""
    import ray

    return ray.get_runtime_context().get_actor_id() or "no actor"
