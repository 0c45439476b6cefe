"""What becomes of promised thresholds on other questions than those that they were promised on.

Of each kind of promise (method/guarantees.py) a table: the limit, the threshold that the
calibration queries certify for it, and the share that it is of, in each of some groups of queries.
"""

from collections.abc import Mapping

from jobs.experiments.reading import Cell, Table, Value
from jobs.experiments.stops import cells, lost_by, share, stops_of
from pipelines.config import Config
from pipelines.method.guarantees import CONFIDENCE, Evidence, max_error, max_loss
from pipelines.method.policies import POLICIES
from pipelines.method.replay import Recorded
from pipelines.stages.report.headline import FEW
from pipelines.stages.report.promises import KINDS

ERRORS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)  # of wrong stops; each a promise of its own
LOSSES = KINDS["max_loss"].limits
NOTHING = "nothing"

Shown = Mapping[tuple[str, str], Evidence]  # by model and policy
Samples = Mapping[str, Mapping[str, Recorded]]  # by model and group of queries


def wrong_stops(config: Config, shown: Shown, samples: Samples) -> Table:
    """The least of ERRORS that can be promised of a policy, and how many stops are wrong then."""
    rows: list[list[Value]] = []
    for (model, name), evidence in shown.items():
        made = ((limit, max_error(evidence, limit, CONFIDENCE).threshold) for limit in ERRORS)
        limit, threshold = next((one for one in made if one[1] is not None), (None, None))
        if limit is None or threshold is None:
            rows.append([model, name, NOTHING, "", *("" for _ in samples[model])])
            continue
        policy = POLICIES[name].make(threshold)
        runs = [stops_of(policy, one, config.seed) for one in samples[model].values()]
        wrong = [cells(config, one)[-1] for one in runs]
        rows.append([model, name, f"{limit:.0%}", f"{threshold:.3g}", *wrong])
    title = (
        f"The least share of wrong stops that can be promised, confidence {CONFIDENCE:.0%}; –: "
        f"fewer than {FEW} queries with stops"
    )
    return Table(title, _columns("wrong", samples), rows)


def lost_answers(config: Config, shown: Shown, samples: Samples) -> Table:
    """Each of LOSSES that can be promised of each policy, and how many queries lose a right answer
    by stopping then."""
    rows: list[list[Value]] = []
    for (model, name), evidence in shown.items():
        made = [(limit, max_loss(evidence, limit, CONFIDENCE).threshold) for limit in LOSSES]
        kept = [(limit, threshold) for limit, threshold in made if threshold is not None]
        if not kept:
            rows.append([model, name, NOTHING, "", *("" for _ in samples[model])])
        for limit, threshold in kept:
            policy = POLICIES[name].make(threshold)
            runs = [lost_by(policy, one, config.seed) for one in samples[model].values()]
            lost = [share(config, one) for one in runs]
            rows.append([model, name, f"{limit:.0%}", f"{threshold:.3g}", *lost])
    tried = ", ".join(f"{limit:.0%}" for limit in LOSSES)
    title = (
        f"Shares of queries that lose a right answer by stopping that can be promised, of {tried}, "
        f"confidence {CONFIDENCE:.0%}"
    )
    return Table(title, _columns("lost", samples), rows)


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
