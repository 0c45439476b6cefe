"""Thresholds tried on the calibration queries: the counts that a guarantee is made of."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipelines.method.guarantees import GIVE_UP_PARTS, Evidence, GivenUp, Tried
from pipelines.method.policies import GivingUp, Policy
from pipelines.method.replay import Flags, Integers, Recorded, as_recorded


def evidence(policies: Sequence[tuple[float, Policy]], recorded: Recorded) -> Evidence | None:
    """What the calibration queries show of a policy; None where its answers with all samples are
    not known, for it is replayed by its tally alone (Outcome).

    policies: it at each threshold of a grid, by threshold. recorded: of the calibration queries, in
    the order in which the samples were drawn.
    """
    outcomes = as_recorded([policy for _, policy in policies], recorded)
    right_after = outcomes[0].right_after  # whatever the threshold
    if right_after is None:
        return None
    at_end = right_after[-1]
    tried = [
        Tried(
            threshold,
            int(one.stopped.sum()),
            int((one.stopped & ~one.right).sum()),
            int((at_end & ~one.right).sum()),
            float(one.samples.mean()),
        )
        for (threshold, _), one in zip(policies, outcomes, strict=True)
    ]
    after = give_up_after(recorded)
    given_up = [
        GivenUp(one.below, int(one.lost.sum()), float(one.samples.mean()))
        for one in lower_thresholds(policies[0][1], right_after, recorded)
    ]
    return Evidence(len(at_end), tried, after, given_up)


class Lower(NamedTuple):
    """A lower threshold in single runs, were it all that ends sampling early; [queries] each."""

    below: float
    lost: Flags  # answered wrongly, and rightly with all samples
    samples: Integers  # used


def give_up_after(recorded: Recorded) -> int:
    """The samples after which it may give up; 0 where there are too few in all."""
    samples = recorded.answers.shape[1]
    return samples // GIVE_UP_PARTS if samples >= 2 * GIVE_UP_PARTS else 0


def lower_thresholds(policy: Policy, right_after: Flags, recorded: Recorded) -> list[Lower]:
    """Each that there is, the most careful first. right_after: an Outcome's, of the policy."""
    after, samples = give_up_after(recorded), recorded.answers.shape[1]
    first = recorded.answers[:, :after]
    agree = np.array([np.bincount(row[row >= 0], minlength=1).max() for row in first])
    lost = right_after[-1] & ~right_after[after - 1]
    limits = [GivingUp(policy, after, votes / after) for votes in range(1, after + 1)]
    return [
        Lower(
            one.below,
            lost & one.gives_up(agree),
            np.where(one.gives_up(agree), after, samples),
        )
        for one in limits
    ]
