"""What labeling and training cost against what inference saves, over accuracy targets.

In computed tokens, as the report's break-even (stages/report/cost.py): self-consistency (SC) on the
base model and each policy on the calibrated one are read where they first reach a target, and
calibration has paid after as many queries as its tokens hold of the difference. A target is a share
of what SC reaches at the full budget, on each resample of the queries its own. Where a curve never
gets there it spends without end.

Seconds tell the same, in `seconds.json`, for the machine decides them. Of labels they are those in
which queries were with an engine, and of training those of its steps: in all sessions of a stage
that was resumed, and without starts. Of inference, and of responses to the calibration queries,
they are tokens at the rate of the evaluate stage, whose engines answer many queries at once: a
share of the machine's time, and not how long one query waits. So the break-even in seconds is
another where labeling or training has another rate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from jobs.experiments import reading, recorded
from jobs.experiments.reading import Cell, Reading, Table, Value
from pipelines import pipeline
from pipelines.config import Config
from pipelines.method import metrics
from pipelines.method.metrics import Array
from pipelines.method.savings import Curve, repaid_after, spent_to_reach
from pipelines.running.dag import Step
from pipelines.stages.report.cost import calibration_tokens
from pipelines.stages.report.replays import SC
from pipelines.storage.location import MANIFEST, Location
from pipelines.storage.schemas import MODELS

POLICIES_HERE = ("early_stopping", "asc_conf", "sc_conf")
_VERSION = 3  # the parts of calibration, and seconds saved
_AFTER = "queries to break even"
SHARES = (0.6, 0.7, 0.8, 0.9, 0.95, 0.98)  # of SC's accuracy; its last samples buy nothing


def steps(config: Config) -> list[Step]:
    recorded.check_calibration(config)
    made = pipeline.steps(config, "evaluate")
    inputs = ("label", "train", "evaluate")
    spec = recorded.spec(config)
    return [*made, reading.step("cost", partial(read, config), spec, inputs, _VERSION)]


@dataclass(frozen=True)
class Target:
    """A policy and SC where they reach a share of SC's accuracy. by_sc, by_policy: tokens a query;
    ends: of the 95% interval of what the policy saves."""

    policy: str
    share: float
    accuracy: float
    by_sc: float
    by_policy: float
    ends: Sequence[float]

    def cells(self, spent: float, a_second: float = 1.0) -> list[Cell]:
        """What SC and the policy take a query, what that saves, and after how many queries it has
        repaid what was spent: in tokens or, at so many of them a second, in seconds."""
        sc, policy, saved, low, high = (
            of / a_second
            for of in (self.by_sc, self.by_policy, _less(self.by_sc, self.by_policy), *self.ends)
        )
        after, latest, first = (repaid_after(spent, of) for of in (saved, low, high))
        return [Cell(sc), Cell(policy), Cell(saved, [low, high]), Cell(after, [first, latest])]

    @property
    def names(self) -> list[str]:
        return [self.policy, f"{self.share:.0%}"]


def read(config: Config, inputs: Mapping[str, Location]) -> Reading:
    from jobs.experiments.picture import Line, Panel, curves

    title, datasets = recorded.first_group(config)
    base, calibrated = (recorded.replays(config, inputs["evaluate"], model) for model in MODELS)
    queries = base.of_sets(datasets)
    weights = recorded.resampled(config, queries)
    manifests = {name: (place / MANIFEST).read_json() for name, place in inputs.items()}
    parts = calibration_tokens(manifests, calibrated)
    spent = sum(parts.values())
    sc = base.token_curve(SC, base.replayed[SC][None], queries)
    policies = {
        name: calibrated.token_curve(name, final, queries)
        for name in POLICIES_HERE
        if name in calibrated.chosen and (final := calibrated.final(name)) is not None
    }
    targets = [
        _target(name, sc, curve, share, weights)
        for name, curve in policies.items()
        for share in SHARES
    ]
    rows: list[list[Value]] = [
        [*one.names, Cell(one.accuracy), *one.cells(spent)] for one in targets
    ]
    table = Table(
        f"Tokens a query, {title.replace('_', ' ')}, {len(queries)} queries (∞: never) [95%]",
        [
            ("policy, calibrated", ""), ("of SC's accuracy", ""), ("accuracy", ".3f"),
            ("tokens of SC, base", ",.0f"), ("tokens", ",.0f"), ("saved a query", "+,.0f"),
            (_AFTER, ",.0f"),
        ],
        rows,
    )  # fmt: skip
    spending = [
        Line("SC, base", *_spending(sc, sc)),
        *(Line(name, *_spending(sc, curve)) for name, curve in policies.items()),
    ]
    paying = [Line(name, *_paying(targets, name, spent)) for name in policies]
    return Reading(
        [_parts(parts), table],
        f"{_said(rows, spent)} {recorded.of_one_run(config)}",
        curves(
            [
                Panel("To reach an accuracy", "share of SC's accuracy", "tokens a query", spending),
                Panel(
                    "To repay calibration", "share of SC's accuracy", "queries", paying, log=True
                ),
            ]
        ),
        _seconds(manifests, parts, targets, recorded.tokens_a_second(inputs["evaluate"])),
    )


def _target(name: str, sc: Curve, policy: Curve, share: float, weights: Array) -> Target:
    unweighted = metrics.each_once(len(sc.right))
    aim = share * float(sc.right[:, -1].mean())
    by_sc, by_policy = (float(to_reach(one, sc, share, unweighted)[0]) for one in (sc, policy))
    resampled = [to_reach(one, sc, share, weights) for one in (sc, policy)]
    ends = _ends(np.array([_less(*pair) for pair in zip(*resampled, strict=True)]))
    return Target(name, share, aim, by_sc, by_policy, ends)


def to_reach(curve: Curve, sc: Curve, share: float, weights: Array) -> Array:
    """Tokens a query, [resamples], at which a curve first reaches a share of SC's accuracy at the
    full budget; infinite where it never does."""
    aim = share * metrics.mean(sc.right[:, -1], weights)
    right, spent = metrics.mean(curve.right, weights), metrics.mean(curve.spent, weights)
    found = spent_to_reach(aim, spent, right)
    return np.where(np.isnan(found), np.inf, found)


def _less(sc_tokens: float, policy_tokens: float) -> float:
    """What the policy saves; nothing where neither gets there."""
    if np.isinf(sc_tokens) and np.isinf(policy_tokens):
        return 0.0
    return float(sc_tokens - policy_tokens)


def _ends(values: Array) -> list[float]:
    return [float(end) for end in np.quantile(values, [0.025, 0.975], method="inverted_cdf")]


def _spending(sc: Curve, curve: Curve) -> tuple[list[float], list[float]]:
    unweighted = metrics.each_once(len(sc.right))
    pairs = [(share, float(to_reach(curve, sc, share, unweighted)[0])) for share in SHARES]
    reached = [pair for pair in pairs if np.isfinite(pair[1])]
    return [x for x, _ in reached], [y for _, y in reached]


def _paying(targets: Sequence[Target], name: str, spent: float) -> tuple[list[float], list[float]]:
    pairs = [
        (one.share, repaid_after(spent, _less(one.by_sc, one.by_policy)))
        for one in targets
        if one.policy == name
    ]
    paid = [pair for pair in pairs if np.isfinite(pair[1])]
    return [x for x, _ in paid], [y for _, y in paid]


def _said(rows: list[list[Value]], spent: float) -> str:
    """At how many targets each policy repays, and where that is shown."""
    parts = []
    for name in dict.fromkeys(str(row[0]) for row in rows):
        own = [row for row in rows if row[0] == name]
        cells = [row[-1] for row in own if isinstance(row[-1], Cell)]
        repaid = [one for one in cells if one.value is not None and np.isfinite(one.value)]
        sure = [one for one in cells if one.ci95 and np.isfinite(one.ci95[1])]
        parts.append(
            f"{name} repays at {len(repaid)} of {len(own)} accuracies, by its whole interval at "
            f"{len(sure)}"
        )
    return f"Calibration took {spent:,.0f} tokens. {'; '.join(parts)}."


def _parts(tokens: Mapping[str, float]) -> Table:
    rows: list[list[Value]] = [[name, Cell(float(of))] for name, of in tokens.items()]
    rows.append(["in all", Cell(float(sum(tokens.values())))])
    return Table(
        "What calibration took; a trained token counts twice", [("", ""), ("tokens", ",.0f")], rows
    )


def _seconds(
    manifests: Mapping[str, Any],
    parts: Mapping[str, float],
    targets: Sequence[Target],
    rate: float,
) -> dict[str, Any]:
    """What calibration took, the rate at which inference computes, and what it saves at that rate;
    null of what is without end, or never."""
    took = {
        "label, seconds with an engine": manifests["label"]["metrics"]["busy_seconds"],
        "train, seconds of steps": manifests["train"]["metrics"]["busy_seconds"],
        "calibration responses, seconds at the rate": parts["calibration responses"] / rate,
    }
    spent = sum(took.values())
    names = [
        "policy, calibrated", "of SC's accuracy", "seconds of SC, base", "seconds",
        "saved a query", _AFTER,
    ]  # fmt: skip
    rows: list[list[Value]] = [[*one.names, *one.cells(spent, rate)] for one in targets]
    by_target = Table("", [(name, "") for name in names], rows).as_json()["rows"]
    return took | {
        "computed tokens a second, while with an engine": round(rate, 1),
        "seconds a query at the rate": by_target,
    }
