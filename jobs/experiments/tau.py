"""What a threshold buys: accuracy against samples and tokens, of each policy that has one.

At the full budget, on the test queries that the report opens with. No training and no new
responses: policies are replayed from those of the evaluate stage, at thresholds that stand where
these queries' confidences do, and at the one that calibration queries chose. Seconds are tokens at
the rate of the evaluate stage, whose engines answer many queries at once: a share of the machine's
time, and not how long one query waits. At one rate, the frontier of seconds is that of tokens.
What a lower threshold saves stands beside (giving_up.py).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter

from jobs.experiments import giving_up, reading, recorded
from jobs.experiments.reading import Cell, Reading, Table, Value
from pipelines import pipeline
from pipelines.config import Config
from pipelines.method import metrics, thresholds
from pipelines.method.metrics import Array
from pipelines.method.policies import POLICIES
from pipelines.method.replay import Recorded, Replayed, replay
from pipelines.running.dag import Step
from pipelines.stages.report.replays import SC, Queries, Replays
from pipelines.storage.location import Location
from pipelines.storage.schemas import MODELS

SWEPT = ("early_stopping", "asc_conf", "asc", "esc")
_VERSION = 5  # the frontier of samples, beside that of tokens; and giving up
_SAMPLES, _TOKENS = attrgetter("samples"), attrgetter("tokens")
_QUANTILES = 2  # of a confidence's, every second one: ten rows tell a curve


@dataclass(frozen=True)
class Point:
    """A policy at a threshold, [queries] each. threshold: None of self-consistency. chosen: whether
    calibration queries chose it."""

    policy: str
    threshold: float | None
    chosen: bool
    right: Array
    samples: Array
    tokens: Array


def steps(config: Config) -> list[Step]:
    made = pipeline.steps(config, "evaluate")
    return [
        *made,
        reading.step(
            "tau", partial(read, config), recorded.spec(config), ("evaluate",), version=_VERSION
        ),
    ]


def read(config: Config, inputs: Mapping[str, Location]) -> Reading:
    from jobs.experiments.picture import Line, Panel, curves

    title, datasets = recorded.first_group(config)
    tables, panels, said, lower_said = [], [], [], []
    groups = {}
    rate = recorded.tokens_a_second(inputs["evaluate"])
    seconds = {}
    for model in MODELS:
        replays = recorded.replays(config, inputs["evaluate"], model)
        points = list(_points(config, replays, replays.of_sets(datasets)))
        weights = recorded.resampled(config, replays.of_sets(datasets))
        heading = f"{title.replace('_', ' ')}, {len(weights[0])} queries"
        tables.append(_table(f"Thresholds on the {model} model, {heading}", points, weights))
        lines = []
        for policy in SWEPT:
            own = sorted(
                (one for one in points if one.policy == policy), key=lambda one: one.samples.mean()
            )
            x, y = [one.samples.mean() for one in own], [one.right.mean() for one in own]
            lines.append(Line(policy, x, y))
        panels.append(Panel(f"{model} model", "samples a query", "accuracy", lines, log2=True))
        said.append(_said(model, points, weights))
        groups[model] = _groups(replays, datasets, title.replace("_", " "))
        shown = {name: replays.evidence[name] for name in SWEPT if name in replays.evidence}
        lower_said.append(giving_up.said(model, shown))
        seconds[model] = {
            f"{one.policy} {one.threshold or ''}".strip(): round(one.tokens.mean() / rate, 4)
            for one in points
        }
    lower = giving_up.table(config, groups, SWEPT)
    return Reading(
        [*tables, *([lower] if lower else [])],
        " ".join([*said, *filter(None, lower_said), recorded.of_one_run(config)]),
        curves(panels),
        {
            "computed tokens a second, while with an engine": round(rate, 1),
            "seconds a query at that rate": seconds,
        },
    )


def _groups(replays: Replays, datasets: set[str], title: str) -> dict[str, Recorded]:
    """The calibration queries, where there are any, and the test queries of some data sets."""
    found = {"calibration": replays.calibration.recorded} if replays.calibration else {}
    found[title] = replays.test.recorded.of(replays.of_sets(datasets))
    return {f"{name}, {len(of.answers)}": of for name, of in found.items()}


def _points(config: Config, replays: Replays, queries: Queries) -> Iterator[Point]:
    recorded_samples = replays.test.recorded
    wanted: list[tuple[str, float | None]] = [(SC, None)]
    for policy in SWEPT:
        several = thresholds.candidates(policy, recorded_samples, config.evaluate.windows)
        if POLICIES[policy].threshold == "confidence":
            several = several[::_QUANTILES]
        if (chosen := _chosen(replays, policy)) is not None:
            several = sorted({*several, chosen})
        wanted += [(policy, one) for one in several]
    policies = [POLICIES[name].make(threshold or 0.0) for name, threshold in wanted]
    found = replay(policies, recorded_samples, config.evaluate.orders, config.seed)
    for (name, threshold), one in zip(wanted, found, strict=True):
        yield _point(name, threshold, one, replays, queries)


def _point(
    name: str, threshold: float | None, one: Replayed, replays: Replays, queries: Queries
) -> Point:
    tokens = replays.test.prices.spent(one.samples, POLICIES[name].needs_confidence)
    chosen = threshold is not None and threshold == _chosen(replays, name)
    right, samples, tokens = (each[queries, -1] for each in (one.right, one.samples, tokens))
    return Point(name, threshold, chosen, right, samples, tokens)


def _chosen(replays: Replays, policy: str) -> float | None:
    """None where there are no calibration queries, or the config has not this policy."""
    return replays.chosen[policy].threshold if policy in replays.chosen else None


def _table(title: str, points: Sequence[Point], weights: Array) -> Table:
    sc = points[0]
    rows: list[list[Value]] = []
    for one in points:
        threshold = "" if one.threshold is None else f"{one.threshold:.3g}"
        rows.append(
            [
                one.policy, threshold, _mean(one.right, weights),
                _mean(one.right - sc.right, weights) if one is not sc else "",
                _mean(one.samples, weights), _mean(one.tokens, weights),
                "yes" if one.chosen else "",
                "yes" if _on_frontier(one, points, _SAMPLES) else "",
                "yes" if _on_frontier(one, points, _TOKENS) else "",
            ]
        )  # fmt: skip
    return Table(
        title,
        [
            ("policy", ""), ("τ", ""), ("accuracy", ".3f"), ("less SC's", "+.3f"),
            ("samples", ".1f"), ("tokens", ",.0f"), ("chosen", ""), ("frontier of samples", ""),
            ("frontier of tokens", ""),
        ],
        rows,
    )  # fmt: skip


def _mean(values: Array, weights: Array) -> Cell:
    return Cell(float(values.mean()), metrics.interval(metrics.mean(values, weights)))


def _on_frontier(one: Point, points: Sequence[Point], spent: Callable[[Point], Array]) -> bool:
    """Whether none is as accurate for less that is spent, or more accurate for as much."""
    mine = (one.right.mean(), -spent(one).mean())
    others = [(other.right.mean(), -spent(other).mean()) for other in points]
    return not any(
        other[0] >= mine[0] and other[1] >= mine[1] and other != mine for other in others
    )


def _said(model: str, points: Sequence[Point], weights: Array) -> str:
    """The chosen points or, where no threshold was chosen, the cheapest of each policy whose
    accuracy is not shown to be under SC's."""
    sc = points[0]
    named = [one for one in points if one.chosen]
    how = "at the thresholds that calibration queries chose"
    if not named:
        named = [one for policy in SWEPT for one in _cheapest(policy, points, weights)]
        how = (
            "the cheapest threshold whose accuracy is not shown to be less, picked on these test "
            "queries, for there are no others"
        )
    parts = [
        f"{one.policy} at {one.threshold:.3g} ({one.right.mean():.3f} with "
        f"{one.samples.mean():.1f} samples and {one.tokens.mean():,.0f} tokens)"
        for one in named
    ]
    return (
        f"On the {model} model self-consistency is right in {sc.right.mean():.3f} for "
        f"{sc.samples.mean():.0f} samples and {sc.tokens.mean():,.0f} tokens; {how}: "
        f"{', '.join(parts)}."
    )


def _cheapest(policy: str, points: Sequence[Point], weights: Array) -> list[Point]:
    good = []
    for one in points:
        if one.policy == policy:
            between = metrics.interval(metrics.mean(one.right - points[0].right, weights))
            if between is not None and between[1] >= 0:
                good.append(one)
    return [min(good, key=lambda one: one.tokens.mean())] if good else []
