"""What labeling and training cost against what inference saves, over accuracy targets.

In computed tokens, as the report's break-even (stages/report/cost.py): self-consistency (SC) on the
base model and each policy on the calibrated one are read where they first reach a target, and
calibration has paid after as many queries as its tokens hold of the difference. A target is a share
of what SC reaches at the full budget, on each resample of the queries its own. Where a curve never
gets there it spends without end.

Seconds are those in which queries were with an engine, and of training's steps: in all sessions of
a stage that was resumed, and without starts.
"""

from collections.abc import Mapping
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
from pipelines.stages.report.cost import cost
from pipelines.stages.report.replays import SC
from pipelines.storage.location import MANIFEST, Location
from pipelines.storage.schemas import MODELS

POLICIES_HERE = ("early_stopping", "asc_conf", "sc_conf")
_VERSION = 2  # says that it is of one training run; seconds are those at work
SHARES = (0.6, 0.7, 0.8, 0.9, 0.95, 0.98)  # of SC's accuracy; its last samples buy nothing


def steps(config: Config) -> list[Step]:
    recorded.check_calibration(config)
    made = pipeline.steps(config, "evaluate")
    inputs = ("label", "train", "evaluate")
    spec = recorded.spec(config)
    return [*made, reading.step("cost", partial(read, config), spec, inputs, _VERSION)]


def read(config: Config, inputs: Mapping[str, Location]) -> Reading:
    from jobs.experiments.picture import Line, Panel, curves

    title, datasets = recorded.first_group(config)
    base, calibrated = (recorded.replays(config, inputs["evaluate"], model) for model in MODELS)
    queries = base.of_sets(datasets)
    weights = recorded.resampled(config, queries)
    manifests = {name: (place / MANIFEST).read_json() for name, place in inputs.items()}
    both = dict(zip(MODELS, (base, calibrated), strict=True))
    evaluate = config.evaluate
    spent = cost(manifests, both, datasets, evaluate.bootstrap, config.seed)["tokens_spent"]
    sc = base.token_curve(SC, base.replayed[SC][None], queries)
    policies = {
        name: calibrated.token_curve(name, final, queries)
        for name in POLICIES_HERE
        if name in calibrated.chosen and (final := calibrated.final(name)) is not None
    }
    rows: list[list[Value]] = []
    lines = []
    for name, curve in policies.items():
        read = [_row(sc, curve, share, spent, weights) for share in SHARES]
        rows += [[name, *row] for row, _ in read]
        paid = [(share, after) for share, (_, after) in zip(SHARES, read, strict=True)]
        paid = [one for one in paid if np.isfinite(one[1])]
        lines.append(Line(name, *(zip(*paid, strict=True) if paid else ((), ()))))
    spending = [
        Line("SC, base", *_spending(sc, sc)),
        *(Line(name, *_spending(sc, curve)) for name, curve in policies.items()),
    ]
    table = Table(
        f"Tokens a query, {title.replace('_', ' ')}, {len(queries)} queries (∞: never) [95%]",
        [
            ("policy, calibrated", ""), ("of SC's accuracy", ""), ("accuracy", ".3f"),
            ("tokens of SC, base", ",.0f"), ("tokens", ",.0f"), ("saved a query", "+,.0f"),
            ("queries to break even", ",.0f"),
        ],
        rows,
    )  # fmt: skip
    return Reading(
        [table],
        f"{_said(rows, spent)} {recorded.of_one_run(config)}",
        curves(
            [
                Panel("To reach an accuracy", "share of SC's accuracy", "tokens a query", spending),
                Panel("To repay calibration", "share of SC's accuracy", "queries", lines, log=True),
            ]
        ),
        _seconds(manifests, recorded.tokens_a_second(inputs["evaluate"])),
    )


def _row(
    sc: Curve, policy: Curve, share: float, spent: float, weights: Array
) -> tuple[list[Value], float]:
    unweighted = metrics.each_once(len(sc.right))
    aim = share * float(sc.right[:, -1].mean())
    sc_tokens, policy_tokens = (
        float(to_reach(one, sc, share, unweighted)[0]) for one in (sc, policy)
    )
    resampled = [to_reach(one, sc, share, weights) for one in (sc, policy)]
    ends = _ends(np.array([_less(*pair) for pair in zip(*resampled, strict=True)]))
    saved = _less(sc_tokens, policy_tokens)
    after = repaid_after(spent, saved)
    row: list[Value] = [
        f"{share:.0%}",
        Cell(aim),
        Cell(sc_tokens),
        Cell(policy_tokens),
        Cell(saved, ends),
        Cell(after, [repaid_after(spent, ends[1]), repaid_after(spent, ends[0])]),
    ]
    return row, after


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


def _seconds(manifests: Mapping[str, Any], rate: float) -> dict[str, Any]:
    """Of what calibration took, and the rate at which inference computes."""
    return {
        "label, seconds with an engine": manifests["label"]["metrics"]["busy_seconds"],
        "train, seconds of steps": manifests["train"]["metrics"]["busy_seconds"],
        "computed tokens a second, while with an engine": round(rate, 1),
    }
