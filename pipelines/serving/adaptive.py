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
    run = _Run(sampler, plan, room, tell)
    try:
        async with asyncio.timeout(seconds) as deadline:
            reason = await run.until_settled()
    except TimeoutError:
        if not deadline.expired():
            raise
        reason = await run.take_finished()
    finally:
        await run.abort()
    return run.decision(reason)


class _Run:
    """Of `decide`: the samples that were begun, and what the policy has seen of them."""

    def __init__(
        self, sampler: QuerySampler, plan: Plan, room: asyncio.Semaphore, tell: Tell | None
    ):
        self._sampler, self._plan, self._room, self._tell = sampler, plan, room, tell
        self._family = NAMED[plan.policy]
        policy = self._family.make(plan.threshold or 0.0, **plan.fitted)
        self._tally = (GivingUp(policy, *plan.give_up) if plan.give_up else policy).start()
        self._tasks: list[asyncio.Task[Sample]] = []
        self._ended: asyncio.Queue[asyncio.Task[Sample]] = asyncio.Queue()
        self._begun: list[int] = []  # samples that found room
        self._used: list[Sample] = []
        self._confidences: list[float] = []

    async def until_settled(self) -> Reason:
        for count in range(self._plan.budget):
            self._start_more(count)
            by_arrival = self._plan.by_arrival
            drawn = await (await self._ended.get() if by_arrival else self._tasks[count])
            if await self._take(drawn):
                return self._stopped()
        return "budget"

    async def take_finished(self) -> Reason:
        """After the deadline: those that waited for one before them."""
        seen = {one.index for one in self._used}
        for drawn in self._finished():
            if drawn.index not in seen and await self._take(drawn):
                # One that skipped a sample was not ended by what its replay ends at.
                in_order = [one.index for one in self._used] == list(range(len(self._used)))
                return self._stopped() if self._plan.by_arrival or in_order else "deadline"
        return "deadline"

    async def abort(self) -> None:
        for task in self._tasks:
            task.cancel()
        try:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:  # also where a caller goes away meanwhile
            await self._sampler.abort()

    def decision(self, reason: Reason) -> Decision:
        """When all have ended; those that were aborted are told."""
        done = {one.index for one in self._finished()}
        for index in self._begun:
            if index not in done:
                self._telling(index, "aborted", self._sampler.generated(index))
        had = self._confidences if self._family.needs_confidence else None
        return Decision(self._tally.answer(), self._used, had, reason, len(self._begun), len(done))

    def _start_more(self, count: int) -> None:
        """What is drawn while so many are used."""
        plan = self._plan
        answers = [one.answer for one in self._used]
        ahead = partial(soonest, self._tally, answers, plan.budget - count)
        for index in range(len(self._tasks), started(plan.schedule, count, plan.budget, ahead)):
            task = asyncio.create_task(self._sample(index))
            task.add_done_callback(self._ended.put_nowait)
            self._tasks.append(task)

    async def _sample(self, index: int) -> Sample:
        async with self._room:
            self._begun.append(index)
            self._telling(index, "started")
            heard = partial(self._telling, index, "text") if self._tell is not None else None
            drawn = await self._sampler.sample(index, self._family.scored, heard)
        self._telling(index, "finished", drawn)
        return drawn

    async def _take(self, drawn: Sample) -> bool:
        """Whether the policy stops with a sample."""
        used = await self._sampler.classed(drawn)
        confidence = _confidence(drawn, self._family.source, self._plan.line)
        self._used.append(used)
        self._confidences.append(confidence)
        self._telling(drawn.index, "used", (used, confidence))
        return self._tally.add(used.answer, confidence)

    def _stopped(self) -> Reason:
        tally = self._tally
        return "gave up" if isinstance(tally, GivingUpTally) and tally.gave_up else "policy"

    def _finished(self) -> list[Sample]:
        """The samples of those that ended well."""
        ended = [task for task in self._tasks if task.done() and not task.cancelled()]
        return [task.result() for task in ended if task.exception() is None]

    def _telling(self, index: int, what: str, more: object = None) -> None:
        if self._tell is not None:
            self._tell(index, what, more)


def _confidence(drawn: Sample, source: str, line: Line | None) -> float:
    """As the policy has it; of a response without a token, of which nothing is known, 0."""
    if line is None:
        return drawn.p_true
    return line.of(source, drawn.sources[source]) if drawn.sources else 0.0
