"""What a lower threshold saves: giving up early where more samples will not help.

After a part of the budget a query is given up of whose samples fewer than a share agree
(method/policies/giving_up.py), and its answer so far is kept. Here that is all that ends sampling
early, so it saves alike whatever the policy; what is lost is a right answer that the policy would
have had with all samples. Counted as the evidence for a promise is (method/guarantees.py): one run
a query, over its samples in the order in which they were drawn.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from jobs.experiments.reading import Table, Value
from jobs.experiments.stops import share
from pipelines.config import Config
from pipelines.method.guarantees import CONFIDENCE, Evidence, give_up, grid
from pipelines.method.policies import POLICIES
from pipelines.method.replay import Recorded, as_recorded
from pipelines.method.trials import Lower, give_up_after, lower_thresholds

LIMIT = 0.1  # of queries that lose a right answer, which is tried to be promised

Groups = Mapping[str, Mapping[str, Recorded]]  # by model and group of queries


def table(config: Config, groups: Groups, policies: Sequence[str]) -> Table | None:
    """None where the budget is too small to give up a part of it."""
    some = next(iter(next(iter(groups.values())).values()))
    if not (after := give_up_after(some)):
        return None
    rows = [row for model in groups for row in _rows(config, model, groups[model], policies)]
    return Table(
        f"Giving up after {after} of {some.answers.shape[1]} samples where fewer than a share of "
        "them agree, were it all that ends sampling early: samples a query, and right answers lost "
        "by it [95% over queries]",
        [
            ("model", ""), ("fewer than", ""), ("queries", ""), ("samples", ".1f"),
            *((f"lost, {name}", ".3f") for name in policies),
        ],
        rows,
    )  # fmt: skip


def _rows(
    config: Config, model: str, groups: Mapping[str, Recorded], policies: Sequence[str]
) -> Iterator[list[Value]]:
    """Of a threshold after the other, each group of queries."""
    found = {
        where: [_lower(config, name, recorded) for name in policies]
        for where, recorded in groups.items()
    }
    for place, lower in enumerate(next(iter(found.values()))[0]):
        for where, several in found.items():
            cells = [share(config, own[place].lost.astype(np.float64)) for own in several]
            samples = several[0][place].samples.astype(np.float64)  # the same of every policy
            yield [model, f"{lower.below:.0%}", where, share(config, samples), *cells]


def _lower(config: Config, name: str, recorded: Recorded) -> list[Lower]:
    policy = POLICIES[name].make(grid(name, config.evaluate.windows)[0])
    (run,) = as_recorded([policy], recorded)
    assert run.right_after is not None, "it has a rule for replay"
    return lower_thresholds(policy, run.right_after, recorded)


def said(model: str, evidence: Mapping[str, Evidence]) -> str:
    """What can be promised of giving up alone, by policy; empty without evidence."""
    found: dict[str, list[str]] = {}
    for name, shown in evidence.items():
        below = give_up(shown, LIMIT).threshold
        where = "nowhere" if below is None else f"where fewer than {below:.0%} agree"
        found.setdefault(where, []).append(name)
    parts = [f"{', '.join(names)} {where}" for where, names in found.items()]
    if not parts:
        return ""
    return (
        f"That at most {LIMIT:.0%} of queries lose a right answer can be promised of a lower "
        f"threshold on the {model} model (confidence {CONFIDENCE:.0%}): {'; '.join(parts)}."
    )
