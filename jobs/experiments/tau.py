"""What a threshold buys: accuracy against samples and tokens, of each policy that has one.

At the full budget, on the test queries that the report opens with. No training and no new
responses: every policy is replayed from those of the evaluate stage, at thresholds that stand where
these queries' confidences do.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from jobs.experiments import reading, recorded
from jobs.experiments.reading import Cell, Reading, Table, Value
from pipelines import pipeline
from pipelines.config import Config
from pipelines.method import metrics, thresholds
from pipelines.method.metrics import Array
from pipelines.method.policies import POLICIES
from pipelines.method.replay import Replayed, replay
from pipelines.running.dag import Step
from pipelines.stages.report.replays import SC, Queries, Replays
from pipelines.storage.location import Location
from pipelines.storage.schemas import MODELS

SWEPT = ("early_stopping", "asc_conf", "asc", "esc")
_QUANTILES = 2  # of a confidence's, every second one: ten rows tell a curve


@dataclass(frozen=True)
class Point:
    """A policy at a threshold, [queries] each. threshold: None of self-consistency."""

    policy: str
    threshold: float | None
    right: Array
    samples: Array
    tokens: Array


def steps(config: Config) -> list[Step]:
    made = pipeline.steps(config, "evaluate")
    return [
        *made,
        reading.step("tau", partial(read, config), recorded.spec(config), ("evaluate",)),
    ]


def read(config: Config, inputs: Mapping[str, Location]) -> Reading:
    from jobs.experiments.picture import Line, Panel, curves

    title, datasets = recorded.first_group(config)
    tables, panels, said = [], [], []
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
        seconds[model] = {
            f"{one.policy} {one.threshold or ''}".strip(): round(one.tokens.mean() / rate, 4)
            for one in points
        }
    return Reading(
        tables,
        " ".join(said),
        curves(panels),
        {
            "computed tokens a second, in the evaluate stage": round(rate, 1),
            "seconds a query at that rate": seconds,
        },
    )


def _points(config: Config, replays: Replays, queries: Queries) -> Iterator[Point]:
    recorded_samples = replays.test.recorded
    wanted: list[tuple[str, float | None]] = [(SC, None)]
    for policy in SWEPT:
        several = thresholds.candidates(policy, recorded_samples, config.evaluate.windows)
        if POLICIES[policy].threshold == "confidence":
            several = several[::_QUANTILES]
        wanted += [(policy, one) for one in several]
    policies = [POLICIES[name].make(threshold or 0.0) for name, threshold in wanted]
    found = replay(policies, recorded_samples, config.evaluate.orders, config.seed)
    for (name, threshold), one in zip(wanted, found, strict=True):
        yield _point(name, threshold, one, replays, queries)


def _point(
    name: str, threshold: float | None, one: Replayed, replays: Replays, queries: Queries
) -> Point:
    tokens = replays.test.prices.spent(one.samples, POLICIES[name].needs_confidence)
    return Point(
        name, threshold, one.right[queries, -1], one.samples[queries, -1], tokens[queries, -1]
    )


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
                "yes" if _on_frontier(one, points) else "",
            ]
        )  # fmt: skip
    return Table(
        title,
        [
            ("policy", ""), ("τ", ""), ("accuracy", ".3f"), ("less SC's", "+.3f"),
            ("samples", ".1f"), ("tokens", ",.0f"), ("on the frontier", ""),
        ],
        rows,
    )  # fmt: skip


def _mean(values: Array, weights: Array) -> Cell:
    return Cell(float(values.mean()), metrics.interval(metrics.mean(values, weights)))


def _on_frontier(one: Point, points: Sequence[Point]) -> bool:
    """Whether none is as accurate for fewer tokens, or more accurate for as many."""
    mine = (one.right.mean(), -one.tokens.mean())
    others = [(other.right.mean(), -other.tokens.mean()) for other in points]
    return not any(
        other[0] >= mine[0] and other[1] >= mine[1] and other != mine for other in others
    )


def _said(model: str, points: Sequence[Point], weights: Array) -> str:
    """The cheapest point of each policy whose accuracy is not shown to be under SC's."""
    sc = points[0]
    parts = []
    for policy in SWEPT:
        good = []
        for one in points:
            if one.policy == policy:
                apart = metrics.interval(metrics.mean(one.right - sc.right, weights))
                if apart is not None and apart[1] >= 0:
                    good.append(one)
        if good:
            best = min(good, key=lambda one: one.tokens.mean())
            parts.append(
                f"{policy} at {best.threshold:.3g} ({best.right.mean():.3f} with "
                f"{best.samples.mean():.1f} samples and {best.tokens.mean():,.0f} tokens)"
            )
    return (
        f"On the {model} model self-consistency is right in {sc.right.mean():.3f} for "
        f"{sc.samples.mean():.0f} samples and {sc.tokens.mean():,.0f} tokens; the cheapest "
        f"threshold whose accuracy is not shown to be less: {', '.join(parts)}. These are picked "
        "on the test queries, to show the curve; a run's own are chosen on calibration queries."
    )
