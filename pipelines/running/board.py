"""What workers in other processes count, for the run's own process to show.

An actor holds it, and no work waits for it: a post has no result that could come late or fail, and
where the actor is away, nothing is known.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

from pipelines.running.progress import Count, Progress, repeated, watched

_POST_EVERY = 2.0  # seconds
_SILENT = 5 * _POST_EVERY  # seconds without a post: who counted has ended
_PATIENCE = 5.0  # seconds to wait for the actor, where only what is shown waits
_MOST_PENDING = 100  # posts of a process, while the actor is away


class Counts:
    """What each has posted last, and when."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._posted: dict[str, tuple[Count, float]] = {}

    def post(self, who: str, count: Count) -> None:
        self._posted[who] = count, self._clock()

    def sum(self) -> Count | None:
        """All together; None where none is posted.

        Of who has fallen silent, what it keeps: another does again what it had under way. Ray tells
        of no replica whose place another takes, and silence needs nobody to tell.
        """
        if not self._posted:
            return None
        now = self._clock()
        counts = [
            count if now - at < _SILENT else replace(count, done=count.kept)
            for count, at in self._posted.values()
        ]
        done, tokens, kept = (
            sum(getattr(one, name) for one in counts) for name in ("done", "tokens", "kept")
        )
        return Count(done, tokens, kept, counts[0].more)


@dataclass(frozen=True)
class Board:
    """Counts by who counts. Workers are handed the board, and post; who waits for them reads."""

    _counts: Any  # the actor's handle

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Self]:
        """One that lasts as long as the context. Its actor starts meanwhile, beside this process
        and without a CPU of its own."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = ray.get_runtime_context().get_node_id()
        counts: Any = (
            ray.remote(Counts)
            .options(
                num_cpus=0,
                max_restarts=-1,
                max_pending_calls=_MOST_PENDING,
                scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False),
            )
            .remote()
        )
        try:
            yield cls(counts)
        finally:
            ray.kill(counts)

    def post(self, who: str, count: Count) -> None:
        from ray.exceptions import RayError

        with suppress(RayError):  # the next one says it, too
            self._counts.post.options(num_returns=0).remote(who, count)

    @contextmanager
    def posting(self, count: Count, who: str | None = None) -> Iterator[Callable[[], None]]:
        """Posts a count that its owner goes on changing, every other second and when what it gives
        is called.

        who: replaces what the same one posted before it was started anew. Without it the count
        begins at nothing, and what an earlier one kept stays.
        """
        post = partial(self.post, who or uuid.uuid4().hex, count)
        post()
        with repeated(post, _POST_EVERY):
            yield post

    def sum(self, before: Count | None = None) -> Count | None:
        """All counts together, and what was done before; None where none is known."""
        import ray
        from ray.exceptions import RayError

        try:
            now: Count | None = ray.get(self._counts.sum.remote(), timeout=_PATIENCE)
        except RayError:
            return None
        if now is None or before is None:
            return now
        done, kept = before.done + now.done, before.done + now.kept
        return Count(done, before.tokens + now.tokens, kept, now.more)

    @contextmanager
    def watched(self, progress: Progress, before: Count | None = None) -> Iterator[None]:
        """Shows how far all are while the context lasts."""
        with watched(progress, partial(self.sum, before)):
            yield
