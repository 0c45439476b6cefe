"""The report's `index.html`: one file with inline SVG charts, opened from disk, no network."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from pipelines.config import Config
from pipelines.stages.report.headline import (
    NAMES,
    changed_by,
    headline,
    over_runs,
    percent,
    percents,
    saved_by,
    signed,
)

_COLORS = {"base": "#8a8f98", "calibrated": "#1f6feb"}
_METRICS = {"accuracy": "accuracy", "auroc": "AUROC", "wqd": "WQD"} | NAMES | {"ks_debiased": "KS"}
_TEMPLATE = Path(__file__).parent / "report.html"
_STYLE: Any = {
    "font.size": 9,
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}


def render(
    results: Mapping[str, Any], losses: Sequence[Mapping[str, float]], config: Config
) -> str:
    """The page. results: of metrics.json; losses: a mapping an optimizer step."""
    with plt.rc_context(_STYLE):
        sections = [
            {
                "title": title,
                "models": models,
                "differences": results["differences"][title],
                "policies": _svg(_policies(models)),
                "reliability": _svg(_reliability(models)),
                "histogram": _svg(_histogram(models)),
                "saved": results["samples_saved"][title],
                "fallback": results["fallback"][title],
                "runs": _over_runs(results["training_runs"][title]),
            }
            for title in results["groups"]
            for models in [results["datasets"][title]]
        ]
        curves = _svg(_training(losses)) if losses else ""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {
        "figure": _figure,
        "range": _range,
        "signed": lambda value: "–" if value is None else f"{value:+.3f}",
        "signed_range": lambda ends: "" if ends is None else f"{ends[0]:+.3f} to {ends[1]:+.3f}",
        "percent": percent,
        "percents": percents,
        "count": _count,
        "counts": _counts,
        "title": lambda name: name.replace("_", " "),
        "thousands": lambda value: f"{value:,.0f}",
    }
    return environment.from_string(_TEMPLATE.read_text()).render(
        headline=headline(results),
        sections=sections,
        training=curves,
        cost=results["cost"],
        promises=results["promises"]["calibrated"],
        seeds=list(results["training_runs"][results["groups"][0]]),
        live=results["live"],
        config=config,
        metric_names=_METRICS,
    )


def _over_runs(runs: Mapping[str, Any]) -> list[str]:
    """Cells of a row of the table of training runs; none of a single run."""
    if not runs:
        return []
    changes = [over_runs(changed_by(runs, metric), signed) for metric in _METRICS]
    return [over_runs(saved_by(runs), percent), *changes]


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _range(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def _count(queries: int | None) -> str:
    """After how many queries something pays."""
    return "never" if queries is None else f"{queries:,}"


def _counts(interval: Sequence[int | None]) -> str:
    return " to ".join(_count(end) for end in interval)


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _policies(models: Mapping[str, Any]) -> Figure:
    """Accuracy against mean samples, log2 axis; the bands are 95% intervals."""
    figure, panels = plt.subplots(1, len(models), figsize=(9, 3.4), sharey=True, squeeze=False)
    for panel, (model, measured) in zip(panels[0], models.items(), strict=True):
        for number, (name, points) in enumerate(measured["policies"].items()):
            if not (shown := _frontier(points)):
                continue
            x = [point["avg_samples"] for point in shown]
            color = f"C{number}"
            panel.plot(
                x, [p["accuracy"] for p in shown], label=name, color=color, marker=".", ms=4, lw=1.4
            )
            low, high = zip(*(point["ci95"] for point in shown), strict=True)
            panel.fill_between(x, low, high, color=color, alpha=0.06, lw=0)
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        panel.set(title=model, xlabel="samples a query (mean)")
    panels[0][0].set_ylabel("accuracy of the answer")
    panels[0][-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _frontier(points: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What to draw of a policy: its budgets, at the chosen threshold if it has one."""
    shown = [point for point in points if point["chosen"]]
    return sorted(shown, key=lambda point: point["avg_samples"])


def _reliability(models: Mapping[str, Any]) -> Figure:
    figure, panel = plt.subplots(figsize=(3.6, 3.4))
    panel.plot([0, 1], [0, 1], color="#bbb", lw=1, ls="--")
    for model, measured in models.items():
        x, y, counts = zip(*measured["reliability"], strict=True)
        sizes = [20 + 180 * count / sum(counts) for count in counts]
        panel.plot(x, y, color=_COLORS[model], lw=1.2, label=model)
        panel.scatter(x, y, s=sizes, color=_COLORS[model], alpha=0.6, lw=0)
    panel.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="confidence", ylabel="accuracy")
    panel.legend(loc="upper left")
    return figure


def _histogram(models: Mapping[str, Any]) -> Figure:
    figure, panels = plt.subplots(len(models), 1, figsize=(4.2, 3.4), sharex=True)
    for panel, (model, measured) in zip(panels, models.items(), strict=True):
        parts = measured["histogram"]
        edges = np.linspace(0, 1, len(parts["correct"]) + 1)
        panel.hist(
            [edges[:-1]] * 2, edges, weights=[parts["correct"], parts["wrong"]], stacked=True,
            color=[_COLORS[model], "#e5534b"], alpha=0.8, label=["correct", "wrong"],
        )  # fmt: skip
        panel.set_ylabel(model)
        panel.legend(loc="upper right")
    panels[-1].set_xlabel("confidence")
    return figure


def _training(losses: Sequence[Mapping[str, float]]) -> Figure:
    figure, panels = plt.subplots(1, 2, figsize=(9, 2.6))
    for panel, name in zip(panels, ("calibration", "generation"), strict=True):
        own = [one for one in losses if one[name] is not None]
        steps, values = [one["step"] for one in own], [one[name] for one in own]
        panel.plot(steps, values, color=_COLORS["calibrated"], lw=1, alpha=0.4)
        panel.plot(steps, _smooth(values), color=_COLORS["calibrated"], lw=1.8)
        panel.set(title=f"{name} loss", xlabel="optimizer step", ylim=(0, None))
    return figure


def _smooth(values: Sequence[float], weight: float = 0.9) -> list[float]:
    """A bias-corrected exponential mean."""
    smoothed, mean = [], 0.0
    for step, value in enumerate(values, start=1):
        mean = weight * mean + (1 - weight) * value
        smoothed.append(mean / (1 - weight**step))
    return smoothed
