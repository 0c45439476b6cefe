"""One request's samples: drawn several at once, decided one by one, and ended when that is settled.

A policy sees samples in the order of their index, whichever ends first, so that a seeded request
has one answer whatever the timing: the one of its offline replay. By arrival the answer comes
sooner, but leans to short responses, and depends on the timing.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from pipelines.engine.sampling import QuerySampler, Sample
from pipelines.method.consistency import self_consistency, soft_self_consistency
from pipelines.method.policies import NAMED, GivingUp, GivingUpTally
from pipelines.method.recalibration import Line
from pipelines.serving.scaling import Plan
from pipelines.serving.schedule import soonest, started

Reason = Literal["policy", "gave up", "budget", "deadline"]
# What happens to sample `index`: (index, "started"), ("text", piece), ("finished", sample),
# ("used", (sample, confidence)), ...
Tell = Callable[[int, str, object], None]


@dataclass(frozen=True)
class Decision:
    """What was decided, and on what.

    answer: None where no sample has one. used: the samples that the policy saw, in its order.
    confidences: of these, as the policy had them; None where it needs none. reason: what ended it.
    started, finished: of all samples; the others were cancelled.
    """

    answer: str | None
    used: Sequence[Sample]
    confidences: Sequence[float] | None
    reason: Reason
    started: int
    finished: int

    @property
    def chosen(self) -> Sample:
        """The sample that is shown: of those with the answer, or of all where none has one, the
        surest; the first of equals, and where there are no confidences."""
        return self.used[self._place]

    @property
    def confidence(self) -> float | None:
        """The chosen sample's."""
        return None if self.confidences is None else self.confidences[self._place]

    @property
    def _place(self) -> int:
        answered = [place for place, one in enumerate(self.used) if one.answer == self.answer]
        return max(answered, key=lambda place: self.confidences[place] if self.confidences else 0.0)

    @property
    def votes(self) -> dict[str, int]:
        """By answer, in the order in which they were first seen."""
        answers = [one.answer for one in self.used if one.answer is not None]
        return {answer: answers.count(answer) for answer in dict.fromkeys(answers)}

    @property
    def weights(self) -> dict[str, float]:
        """Each answer's share of confidence, or of votes where there is none."""
        answers = [one.answer for one in self.used]
        shares = (
            soft_self_consistency(answers, self.confidences)
            if self.confidences
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
    what it has: by the deadline, though the policy be sure, where in its order one is missing.
    tell: is told of each sample as it goes on. When it ends, however it does, what is under way in
    the engine is aborted, draws and scores alike.
    """
    family = NAMED[plan.policy]
    policy = family.make(plan.threshold or 0.0, **plan.fitted)
    tally = (GivingUp(policy, *plan.give_up) if plan.give_up else policy).start()
    tasks: list[asyncio.Task[Sample]] = []
    ended: asyncio.Queue[asyncio.Task[Sample]] = asyncio.Queue()
    used: list[Sample] = []
    confidences: list[float] = []
    reason: Reason
    begun: list[int] = []  # samples that found room

    def telling(index: int, what: str, more: object = None) -> None:
        if tell is not None:
            tell(index, what, more)

    async def sample(index: int) -> Sample:
        async with room:
            begun.append(index)
            telling(index, "started")
            heard = partial(telling, index, "text") if tell is not None else None
            drawn = await sampler.sample(index, family.scored, heard)
        telling(index, "finished", drawn)
        return drawn

    async def take(drawn: Sample) -> bool:
        """Whether the policy stops with a sample."""
        used.append(await sampler.classed(drawn))
        confidences.append(_confidence(drawn, family.source, plan.line))
        telling(drawn.index, "used", (used[-1], confidences[-1]))
        return tally.add(used[-1].answer, confidences[-1])

    def stopped() -> Reason:
        return "gave up" if isinstance(tally, GivingUpTally) and tally.gave_up else "policy"

    async def run() -> Reason:
        for count in range(plan.budget):
            answers = [one.answer for one in used]
            ahead = partial(soonest, tally, answers, plan.budget - count)
            for index in range(len(tasks), started(plan.schedule, count, plan.budget, ahead)):
                tasks.append(asyncio.create_task(sample(index)))
                tasks[-1].add_done_callback(ended.put_nowait)
            drawn = await (await ended.get() if plan.by_arrival else tasks[count])
            if await take(drawn):
                return stopped()
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
                # One that skipped a sample was not ended by what its replay ends at.
                if plan.by_arrival or [one.index for one in used] == list(range(len(used))):
                    reason = stopped()
                break
    finally:
        for task in tasks:
            task.cancel()
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:  # also where a caller goes away meanwhile
            await sampler.abort()
    done = {one.index for one in _finished(tasks)}
    for index in begun:
        if index not in done:
            telling(index, "aborted", sampler.generated(index))
    had = confidences if family.needs_confidence else None
    return Decision(tally.answer(), used, had, reason, len(begun), len(done))


def _confidence(drawn: Sample, source: str, line: Line | None) -> float:
    """As the policy has it; of a response without a token, of which nothing is known, 0."""
    if line is None:
        return drawn.p_true
    return line.of(source, drawn.sources[source]) if drawn.sources else 0.0


def _finished(tasks: Sequence[asyncio.Task[Sample]]) -> list[Sample]:
    """The samples of those that ended well."""
    ended = [task for task in tasks if task.done() and not task.cancelled()]
    return [task.result() for task in ended if task.exception() is None]
