"""How many of a request's samples have been started by the time that some of them were used.

Schedules differ in time and in what is drawn in vain, never in the answer: samples decide in their
order, whenever they were started.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import accumulate, chain, repeat

from pipelines.config.serving import Schedule
from pipelines.method.policies import Tally

_NEW = "\0"  # an answer that no sample has


def started(schedule: Schedule, used: int, budget: int, soonest: Callable[[], int]) -> int:
    """Of the budget, by the time that `used` samples were; used < budget.

    soonest: tells, of the samples that follow, the first at which the policy may stop. Waves alone
    ask it: they draw all up to it together, for none of them is in vain, and else one more than
    were used; so in the end fewer have been drawn in vain than were used. Listed sizes, the last
    one again and again, are drawn one after the other.
    """
    if schedule == "all":
        return budget
    if schedule == "sequential":
        return used + 1
    if schedule == "waves":
        return min(budget, used + max(used + 1, soonest()))
    ends = accumulate(chain(schedule, repeat(schedule[-1])))
    return min(budget, next(end for end in ends if end > used))


def soonest(tally: Tally, answers: Sequence[str | None], left: int) -> int:
    """How many more samples it takes at the least until the policy stops; `left` where so many do
    not stop it.

    answers: of the samples so far. What stops it soonest is one answer again and again, each time
    sure: the one that leads, the last one, or a new one; or none, where it gives up.
    """
    for answer in {tally.answer(), *answers[-1:], _NEW, None}:
        ahead = deepcopy(tally)
        steps = (number for number in range(1, left) if ahead.add(answer, 1.0))
        left = next(steps, left)
    return left
