"""Where things lie in the picture of policies: accuracy against samples, a panel a model.

A line ends in its policy's name and threshold. Color, dash and mark are of the policy in all
panels, so that lines are told apart without their colors, which are Okabe and Ito's (2008) for the
color-blind, darkened where text needs it. One interval is shown, of the policy that the report
opens with; the others where the reader points at their line (curves.html), cut off at the panel's
edges.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log2
from typing import Any

from pipelines.method.policies import NAMED, joined, split
from pipelines.stages.report.replays import SC, STOPPING
from pipelines.stages.report.wording import named

WIDTH, HEIGHT = 500, 350  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 36, 196, 30, 40  # of the lines, from its edges; on the right at least
_GAP = 15  # between names
_NAME, _LETTER = 22, 7.3  # from the lines to a name; about a letter's width
_SHORT = {"mean_logprob": "logprob", "tail_entropy": "entropy", "lowest_group": "group"}
_LEADING, _BASELINE = "#C24E00", "#222222"  # early stopping, self-consistency
_COLORS = ("#0072B2", "#00805E", "#B3568A", "#2E8BC9", "#96690A", "#6A4C93", "#5B6770")
_DASHES = ("", "7 3", "2 3", "9 3 2 3")
_MARKS = (  # around 0, 0
    "M-3.4 0a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0-6.8 0",
    "M-3-3H3V3H-3Z",
    "M0-4L3.8 3H-3.8Z",
    "M0-4.4L4.4 0L0 4.4L-4.4 0Z",
    "M0 4L3.8-3H-3.8Z",
)
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class Line:
    """A policy's, in units of the panel. told: its end in words; chosen: its interval shows."""

    name: str
    threshold: str
    told: str
    chosen: bool
    color: str
    dash: str
    mark: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float]]
    marked: Sequence[tuple[float, float]]
    name_y: float


@dataclass(frozen=True)
class Panel:
    """right: of the lines, from its edge; name_x: where names begin."""

    title: str
    right: float
    name_x: float
    lines: Sequence[Line]
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]


def panels(models: Mapping[str, Any]) -> list[Panel]:
    """models: of metrics.json's `datasets`, each with its policies. Policies with a threshold at
    the chosen one; without it they are left out. All panels have the same axes."""
    shown = {
        model: {
            name: ends
            for name, points in measured["policies"].items()
            if (ends := [point for point in points if point["chosen"]])
        }
        for model, measured in models.items()
    }
    every = [one for policies in shown.values() for points in policies.values() for one in points]
    if not every:
        return []
    leading = [one for policies in shown.values() for one in policies.get(STOPPING, ())]
    accuracies = [one["accuracy"] for one in every] + [p for one in leading for p in one["ci95"]]
    longest = max(
        len(f"{_named(name)} {_threshold(name, points[-1]['threshold'])}")
        for policies in shown.values()
        for name, points in policies.items()
    )
    scale = _Scale.of(every, accuracies, max(RIGHT, _NAME + _LETTER * longest))
    return [_panel(model, policies, list(models[model]["policies"]), scale)
            for model, policies in shown.items()]  # fmt: skip


@dataclass(frozen=True)
class _Scale:
    samples: tuple[float, float]
    accuracy: tuple[float, float]
    step: float  # between ticks of accuracy
    right: float  # as a panel's

    @staticmethod
    def of(
        points: Sequence[Mapping[str, Any]], accuracies: Sequence[float], right: float
    ) -> "_Scale":
        low, high = min(accuracies), max(accuracies)
        step = next((one for one in _STEPS if high - low <= 6 * one), _STEPS[-1])
        samples = [point["avg_samples"] for point in points]
        return _Scale(
            (min(samples), max(*samples, 2 * min(samples))),
            (floor(low / step) * step, max(ceil(high / step), floor(low / step) + 1) * step),
            step,
            right,
        )

    def x(self, samples: float) -> float:
        first, last = map(log2, self.samples)
        share = (log2(samples) - first) / (last - first)
        return round(LEFT + share * (WIDTH - LEFT - self.right), 1)

    def y(self, accuracy: float) -> float:
        low, high = self.accuracy
        share = (min(max(accuracy, low), high) - low) / (high - low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    def x_ticks(self) -> list[tuple[float, str]]:
        first, last = map(log2, self.samples)
        return [(self.x(2**n), str(2**n)) for n in range(ceil(first), floor(last) + 1)]

    def y_ticks(self) -> list[tuple[float, str]]:
        low, high = (round(end / self.step) for end in self.accuracy)
        return [(self.y(n * self.step), f"{n * self.step:.2g}") for n in range(low, high + 1)]


def _panel(model: str, policies: Mapping[str, Any], order: Sequence[str], scale: _Scale) -> Panel:
    ends = {name: scale.y(points[-1]["accuracy"]) for name, points in policies.items()}
    places = dict(
        zip(ends, spread_labels(list(ends.values()), _GAP, TOP, HEIGHT - BOTTOM), strict=True)
    )
    lines = [
        _line(name, points, order.index(name), places[name], scale)
        for name, points in policies.items()
    ]
    # What is chosen is drawn last, over the others.
    lines.sort(key=lambda line: line.chosen)
    name_x = WIDTH - scale.right + _NAME
    return Panel(model, scale.right, name_x, lines, scale.x_ticks(), scale.y_ticks())


def _line(
    name: str, points: Sequence[Mapping[str, Any]], number: int, name_y: float, scale: _Scale
) -> Line:
    shown = sorted(points, key=lambda point: point["budget"])
    at = [(scale.x(one["avg_samples"]), scale.y(one["accuracy"])) for one in shown]
    low, high = ([scale.y(one["ci95"][end]) for one in shown] for end in (0, 1))
    across = [x for x, _ in at]
    last = shown[-1]
    threshold = _threshold(name, last["threshold"])
    return Line(
        name=_named(name),
        threshold=threshold,
        told=f"{named(name)}{', ' if threshold else ''}{threshold}: accuracy "
        f"{last['accuracy']:.3f} [{last['ci95'][0]:.2f}, {last['ci95'][1]:.2f}] with "
        f"{last['avg_samples']:.1f} samples a query",
        chosen=name == STOPPING,
        color={SC: _BASELINE, STOPPING: _LEADING}.get(name, _COLORS[number % len(_COLORS)]),
        dash=_DASHES[number % len(_DASHES)],
        mark=_MARKS[number % len(_MARKS)],
        points=at,
        band=[*zip(across, high, strict=True), *list(zip(across, low, strict=True))[::-1]],
        marked=[
            place
            for one, place in zip(shown, at, strict=True)
            if log2(one["budget"]).is_integer() or one is last
        ],
        name_y=name_y,
    )


def _named(name: str) -> str:
    policy, source = split(name)
    return named(joined(policy, _SHORT.get(source, source)))


def _threshold(name: str, threshold: float | None) -> str:
    if threshold is None:
        return ""
    match NAMED[name].threshold:
        case "window":
            return f"window {threshold:g}"
        case "share":
            return f"share ≥ {threshold:.3g}"
        case _:
            return f"c ≥ {threshold:.2f}"


def spread_labels(places: Sequence[float], gap: float, first: float, last: float) -> list[float]:
    """The places in their order, moved so that neighbors are a gap apart and, where all fit, none
    lies before `first` or after `last`."""
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = list(places)
    least = first
    for index in order:
        moved[index] = least = max(moved[index], least)
        least += gap
    most = max(last, first + gap * (len(places) - 1))
    for index in reversed(order):
        moved[index] = most = min(moved[index], most)
        most -= gap
    return moved
