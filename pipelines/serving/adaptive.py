"""One request's samples: drawn in waves, decided one by one, and ended when the answer is settled.

A policy sees samples in the order of their index, whichever ends first, so that a seeded request
has one answer whatever the timing: the one of its offline replay. By arrival the answer comes
sooner, but leans to short responses, and depends on the timing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from pipelines.engine.sampling import QuerySampler, Sample
from pipelines.method.consistency import self_consistency, soft_self_consistency
from pipelines.method.policies import POLICIES
from pipelines.serving.scaling import Plan, waves

Reason = Literal["policy", "budget", "deadline"]
# What happens to sample `index`: (index, "started"), ("text", piece), ("finished", sample), ...
Tell = Callable[[int, str, object], None]


@dataclass(frozen=True)
class Decision:
    """What was decided, and on what.

    answer: None where no sample has one. used: the samples that the policy saw, in its order.
    reason: what ended it. started, finished: of all samples; the others were cancelled.
    """

    answer: str | None
    used: Sequence[Sample]
    reason: Reason
    started: int
    finished: int
    scored: bool

    @property
    def chosen(self) -> Sample:
        """The sample that is shown: of those with the answer, or of all where none has one, the
        surest; the first of equals, and where nothing was scored."""
        answered = [one for one in self.used if one.answer == self.answer]
        return max(answered, key=lambda one: one.p_true if self.scored else 0.0)

    @property
    def votes(self) -> dict[str, int]:
        """By answer, in the order in which they were first seen."""
        answers = [one.answer for one in self.used if one.answer is not None]
        return {answer: answers.count(answer) for answer in dict.fromkeys(answers)}

    @property
    def weights(self) -> dict[str, float]:
        """Each answer's share of P(True), or of votes where nothing was scored."""
        answers = [one.answer for one in self.used]
        shares = (
            soft_self_consistency(answers, [one.p_true for one in self.used])
            if self.scored
            else self_consistency(answers)
        )
        return {
            answer: share
            for answer, share in zip(answers, shares, strict=True)
            if answer is not None and share is not None
        }


async def decide(
    sampler: QuerySampler,
    plan: Plan,
    room: asyncio.Semaphore,
    seconds: float | None = None,
    tell: Tell | None = None,
) -> Decision:
    """Draws samples as the plan has it, until its policy stops or the budget is spent.

    room: samples of all requests that the engine takes at once. seconds: after which it ends with
    what it has. tell: is told of each sample as it goes on. When it ends, however it does, what is
    under way in the engine is aborted, draws and scores alike.
    """
    family = POLICIES[plan.policy]
    tally = family.make(plan.threshold or 0.0).start()
    tasks: list[asyncio.Task[Sample]] = []
    used: list[Sample] = []
    reason: Reason
    started = 0

    def telling(index: int, what: str, more: object = None) -> None:
        if tell is not None:
            tell(index, what, more)

    async def sample(index: int) -> Sample:
        nonlocal started
        async with room:
            started += 1
            telling(index, "started")
            heard = partial(telling, index, "text") if tell is not None else None
            drawn = await sampler.sample(index, family.needs_confidence, heard)
        telling(index, "finished", drawn)
        return drawn

    async def take(drawn: Sample) -> bool:
        """Whether the policy stops with a sample."""
        used.append(await sampler.classed(drawn))
        telling(drawn.index, "used", used[-1])
        return tally.add(used[-1].answer, used[-1].p_true)

    async def run() -> Reason:
        for size in waves(plan.schedule, plan.budget):
            first = len(tasks)
            tasks.extend(asyncio.create_task(sample(first + i)) for i in range(size))
            async for drawn in _ended(tasks[first:], plan.by_arrival):
                if await take(drawn):
                    return "policy"
        return "budget"

    try:
        async with asyncio.timeout(seconds) as deadline:
            reason = await run()
    except TimeoutError:
        if not deadline.expired():
            raise
        reason = "deadline"
        seen = {one.index for one in used}
        for drawn in _finished(tasks):  # those that waited for one before them
            if drawn.index not in seen and await take(drawn):
                reason = "policy"
                break
    finally:
        finished = len(_finished(tasks))
        for task in tasks:
            task.cancel()
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:  # also where a caller goes away meanwhile
            await sampler.abort()
    return Decision(tally.answer(), used, reason, started, finished, family.needs_confidence)


def _finished(tasks: Sequence[asyncio.Task[Sample]]) -> list[Sample]:
    """The samples of those that ended well."""
    ended = [task for task in tasks if task.done() and not task.cancelled()]
    return [task.result() for task in ended if task.exception() is None]


async def _ended(tasks: Sequence[asyncio.Task[Sample]], by_arrival: bool) -> AsyncIterator[Sample]:
    """The samples of a wave, as they stand or as they end."""
    for one in asyncio.as_completed(tasks) if by_arrival else tasks:
        yield await one
