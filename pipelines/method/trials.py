"""Thresholds tried on the calibration queries: the counts that a guarantee is made of."""

from collections.abc import Sequence

import numpy as np

from pipelines.method.guarantees import LOOK, Evidence, GivenUp, Tried
from pipelines.method.policies import GivingUp, Policy
from pipelines.method.replay import Recorded, as_recorded


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
    samples = recorded.answers.shape[1]
    if samples < 2 * LOOK:
        return Evidence(len(at_end), tried, 0, [])
    after = samples // LOOK
    first = recorded.answers[:, :after]
    agree = np.array([np.bincount(row[row >= 0], minlength=1).max() for row in first])
    lost = at_end & ~right_after[after - 1]
    limits = [GivingUp(policies[0][1], after, votes / after) for votes in range(1, after + 1)]
    given_up = [
        GivenUp(
            one.below,
            int((lost & one.gives_up(agree)).sum()),
            float(np.where(one.gives_up(agree), after, samples).mean()),
        )
        for one in limits
    ]
    return Evidence(len(at_end), tried, after, given_up)
