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
from pipelines.stages.report import curves
from pipelines.stages.report.headline import answers, over_seeds
from pipelines.stages.report.promises import KINDS
from pipelines.stages.report.wording import (
    NAMES,
    RECALIBRATED,
    SOURCE_NAMES,
    changed_by,
    headings,
    named,
    over_runs,
    percent,
    percents,
    saved_by,
    signed,
)

# Okabe and Ito's (2008), which the color-blind tell apart; a dash beside each.
_LOOKS: dict[str, tuple[str, Any]] = {
    "base": ("#6b7280", (0, (2, 2))),
    "calibrated": ("#0072B2", "-"),
}
_RECALIBRATED = ("#D55E00", (0, (6, 2)))
_WRONG = "#e69f00"
_SMOOTH = 0.9
_METRICS = {"accuracy": "accuracy", "auroc": "AUROC", "wqd": "WQD"} | NAMES | {"ks_debiased": "KS"}
_SIZE = {
    "width": curves.WIDTH, "height": curves.HEIGHT, "left": curves.LEFT,
    "top": curves.TOP, "bottom": curves.BOTTOM,
}  # fmt: skip
_STYLE: Any = {
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "report",  # ids are random without one, and pages differ
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
    found = results["recalibrated"]
    best = found["best"]
    with plt.rc_context(_STYLE):
        sections = [
            {
                "title": title,
                "heading": heading,
                "models": models,
                "maps": found["datasets"][title],
                "differences": results["differences"][title],
                "policies": curves.panels(models),
                "reliability": _svg(_reliability(models, best, found["datasets"][title])),
                "histogram": _svg(_histogram(models)),
                "saved": results["samples_saved"][title],
                "fallback": results["fallback"][title],
                "runs": _over_runs(results["training_runs"][title]),
                "sources": results["sources"]["datasets"][title] if results["sources"] else {},
            }
            for title, heading in headings(results).items()
            for models in [results["datasets"][title]]
        ]
        training = _svg(_training(losses)) if losses else ""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "figure": _figure,
        "range": _range,
        "signed": lambda value: "–" if value is None else f"{value:+.3f}",
        "signed_range": lambda ends: "" if ends is None else f"{ends[0]:+.3f} to {ends[1]:+.3f}",
        "percent": percent,
        "percents": percents,
        "count": _count,
        "counts": _counts,
        "title": named,
        "thousands": lambda value: f"{value:,.0f}",
    }
    return environment.get_template("report.html").render(
        answers=answers(results),
        spread=over_seeds(results),
        signatures=results["signatures"],
        sections=sections,
        size=_SIZE,
        best=best,
        recalibrated=RECALIBRATED,
        label_queries=found["queries"],
        training=training,
        cost=results["cost"],
        promises=results["promises"]["calibrated"],
        kinds=KINDS,
        source_names=SOURCE_NAMES,
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


def _reliability(models: Mapping[str, Any], best: str | None, maps: Mapping[str, Any]) -> Figure:
    """maps: figures of the base model's recalibrations, by name; of them the best is shown."""
    figure, panel = plt.subplots(figsize=(4.2, 3.4))
    panel.plot([0, 1], [0, 1], color="#bbb", lw=1)
    recalibrated = [(f"base + {best}", maps[best], *_RECALIBRATED)] if best else []
    tuned = [(model, of, *_LOOKS[model]) for model, of in models.items()]
    for name, measured, color, dash in tuned + recalibrated:
        x, y, counts = zip(*measured["reliability"], strict=True)
        sizes = [15 + 150 * count / sum(counts) for count in counts]
        panel.plot(x, y, color=color, lw=1.4, ls=dash, label=name)
        panel.scatter(x, y, s=sizes, color=color, alpha=0.6, lw=0)
    panel.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="confidence", ylabel="accuracy")
    panel.legend(loc="upper left", handlelength=3)
    return figure


def _histogram(models: Mapping[str, Any]) -> Figure:
    figure, panels = plt.subplots(len(models), 1, figsize=(4.2, 3.4), sharex=True)
    for panel, (model, measured) in zip(panels, models.items(), strict=True):
        parts = measured["histogram"]
        edges = np.linspace(0, 1, len(parts["correct"]) + 1)
        panel.hist(
            [edges[:-1]] * 2, edges, weights=[parts["correct"], parts["wrong"]], stacked=True,
            color=[_LOOKS["calibrated"][0], _WRONG], label=["correct", "wrong"],
        )  # fmt: skip
        panel.set_ylabel(model)
    panels[0].legend(loc="upper right")
    panels[-1].set_xlabel("confidence")
    return figure


def _training(losses: Sequence[Mapping[str, float]]) -> Figure:
    figure, panels = plt.subplots(1, 2, figsize=(9, 2.6))
    for panel, name in zip(panels, ("calibration", "generation"), strict=True):
        own = [one for one in losses if one[name] is not None]
        steps, values = [one["step"] for one in own], [one[name] for one in own]
        panel.plot(steps, values, color=_LOOKS["calibrated"][0], lw=1, alpha=0.4)
        panel.plot(steps, _smooth(values), color=_LOOKS["calibrated"][0], lw=1.8)
        panel.set(title=f"{name} loss", xlabel="optimizer step", ylim=(0, None))
    return figure


def _smooth(values: Sequence[float]) -> list[float]:
    """A bias-corrected exponential mean."""
    smoothed, mean = [], 0.0
    for step, value in enumerate(values, start=1):
        mean = _SMOOTH * mean + (1 - _SMOOTH) * value
        smoothed.append(mean / (1 - _SMOOTH**step))
    return smoothed
