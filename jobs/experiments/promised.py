"""What becomes of promised thresholds on other questions than those that they were promised on.

Of each kind of promise (method/guarantees.py) a table: the limit, the threshold that the
calibration queries certify for it, and the share that it is of, in each of some groups of queries.
"""

from collections.abc import Callable, Mapping, Sequence

from jobs.experiments.reading import Cell, Table, Value
from jobs.experiments.stops import lost_by, share, stops_of, wrong_of
from pipelines.config import Config
from pipelines.method.guarantees import CONFIDENCE, Evidence, Promise, max_error, max_loss
from pipelines.method.policies import POLICIES, Policy
from pipelines.method.replay import Recorded
from pipelines.stages.report.promises import KINDS
from pipelines.stages.report.verdicts import FEW

ERRORS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)  # of wrong stops; each a promise of its own
LOSSES = KINDS["max_loss"].limits
NOTHING = "nothing"

Shown = Mapping[tuple[str, str], Evidence]  # by model and policy
Samples = Mapping[str, Mapping[str, Recorded]]  # by model and group of queries
Limited = tuple[float, float]  # a limit, and the threshold that is certified for it


def wrong_stops(config: Config, shown: Shown, samples: Samples) -> Table:
    """The least of ERRORS that can be promised of a policy, and how many stops are wrong then."""

    def wrong(policy: Policy, recorded: Recorded) -> Cell:
        return wrong_of(config, stops_of(policy, recorded, config.seed))

    title = (
        f"The least share of wrong stops that can be promised, confidence {CONFIDENCE:.0%}; –: "
        f"fewer than {FEW} queries with stops"
    )
    made = {key: _made(max_error, ERRORS, evidence)[:1] for key, evidence in shown.items()}
    return Table(title, _columns("wrong", samples), _rows(made, samples, wrong))


def lost_answers(config: Config, shown: Shown, samples: Samples) -> Table:
    """Each of LOSSES that can be promised of each policy, and how many queries lose a right answer
    by stopping then."""

    def lost(policy: Policy, recorded: Recorded) -> Cell:
        return share(config, lost_by(policy, recorded, config.seed))

    tried = ", ".join(f"{limit:.0%}" for limit in LOSSES)
    title = (
        f"Shares of queries that lose a right answer by stopping that can be promised, of {tried}, "
        f"confidence {CONFIDENCE:.0%}"
    )
    made = {key: _made(max_loss, LOSSES, evidence) for key, evidence in shown.items()}
    return Table(title, _columns("lost", samples), _rows(made, samples, lost))


def _made(
    promise: Callable[[Evidence, float, float], Promise],
    limits: Sequence[float],
    evidence: Evidence,
) -> list[Limited]:
    made = ((limit, promise(evidence, limit, CONFIDENCE).threshold) for limit in limits)
    return [(limit, threshold) for limit, threshold in made if threshold is not None]


def _rows(
    made: Mapping[tuple[str, str], Sequence[Limited]],
    samples: Samples,
    measured: Callable[[Policy, Recorded], Cell],
) -> list[list[Value]]:
    rows: list[list[Value]] = []
    for (model, name), limits in made.items():
        groups = samples[model].values()
        if not limits:
            rows.append([model, name, NOTHING, "", *("" for _ in groups)])
        for limit, threshold in limits:
            policy = POLICIES[name].make(threshold)
            found = [measured(policy, one) for one in groups]
            rows.append([model, name, f"{limit:.0%}", f"{threshold:.3g}", *found])
    return rows


def _columns(what: str, samples: Samples) -> list[tuple[str, str]]:
    groups = next(iter(samples.values()))
    names = [("model", ""), ("policy", ""), ("promised at most", ""), ("threshold", "")]
    return [*names, *((f"{what}, {where}", ".3f") for where in groups)]


def said(wrong: Table, lost: Table) -> str:
    """Which promises do not hold in the last group of queries, of either kind."""
    return (
        f"{_said(wrong, 'promised limits on wrong stops')} "
        f"{_said(lost, 'promised limits on lost right answers')} "
        "A promise is for queries like the calibration queries."
    )


def _said(table: Table, what: str) -> str:
    made = [
        (one, float(str(limit).rstrip("%")) / 100)
        for _, _, limit, *_, one in table.rows
        if isinstance(one, Cell)
    ]
    if not made:
        return f"Of {what} there is none."
    seen = [(one, one.value, limit) for one, limit in made if one.value is not None]
    few = f"fewer than {FEW} queries with stops"
    if not seen:
        return f"Of {len(made)} {what} none is seen there: {few}."
    over = [one for one, value, limit in seen if value > limit]
    sure = [one for one, _, limit in seen if one.ci95 and one.ci95[0] > limit]
    unseen = f" ({len(made) - len(seen)} more are not seen: {few})" if len(seen) < len(made) else ""
    return (
        f"Of {len(seen)} {what} {len(over)} are passed there, {len(sure)} by the whole "
        f"interval{unseen}."
    )
