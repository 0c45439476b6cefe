"""The two kinds of picture that experiments draw, as SVG that is the same for the same figures."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

_STYLE: Any = {
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "selfcal",  # else ids are random
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}
_DASHES = ("-", "--", ":", "-.")  # beside color, for those who see none
_BETWEEN = 0.075  # of an axis's height, between names


@dataclass(frozen=True)
class Line:
    label: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Panel:
    title: str
    x: str
    y: str
    lines: Sequence[Line]
    log2: bool = False  # of x
    log: bool = False  # of y


def curves(panels: Sequence[Panel]) -> str:
    """Lines side by side, each named where it ends."""
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(1, len(panels), figsize=(5.2 * len(panels), 3.4), squeeze=False)
        for axis, panel in zip(axes[0], panels, strict=True):
            for number, line in enumerate(panel.lines):
                dash = _DASHES[number % len(_DASHES)]
                axis.plot(line.x, line.y, color=f"C{number}", ls=dash, marker=".", lw=1.4)
            if panel.log2:
                axis.set_xscale("log", base=2)
                axis.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
            if panel.log:
                axis.set_yscale("log")
            axis.set(title=panel.title, xlabel=panel.x, ylabel=panel.y)
        figure.tight_layout(w_pad=8)
        for axis, panel in zip(axes[0], panels, strict=True):
            _name_ends(axis, panel.lines)
        return _svg(figure)


def _name_ends(axis: Any, lines: Sequence[Line]) -> None:
    """Beside the axis, at the heights of the ends, or as far apart as names must be."""
    to_axis = axis.transData + axis.transAxes.inverted()
    ends = [(n, line, (line.x[-1], line.y[-1])) for n, line in enumerate(lines) if len(line.x)]
    ends.sort(key=lambda one: one[2][1])
    heights: list[float] = []
    for *_, end in ends:
        lowest = heights[-1] + _BETWEEN if heights else 0.0
        heights.append(max(lowest, float(to_axis.transform(end)[1])))
    over = max(0.0, heights[-1] - 1) if heights else 0.0
    for (number, line, end), height in zip(ends, heights, strict=True):
        axis.annotate(
            line.label, end, (1.03, height - over), textcoords="axes fraction", color=f"C{number}",
            va="center", arrowprops={"arrowstyle": "-", "color": f"C{number}", "lw": 0.5},
        )  # fmt: skip


@dataclass(frozen=True)
class Mark:
    """A value with its interval, in a row of its own."""

    label: str
    value: float
    low: float
    high: float


def intervals(panels: Sequence[tuple[str, Sequence[Mark]]]) -> str:
    """Values with their intervals, a row each, panels side by side; all have the same rows, and a
    line at 0."""
    rows = len(panels[0][1])
    with plt.rc_context(_STYLE):
        size = (3.2 * len(panels) + 1.6, 0.26 * rows + 0.9)
        figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False)
        for axis, (title, marks) in zip(axes[0], panels, strict=True):
            for row, mark in enumerate(marks):
                axis.plot([mark.low, mark.high], [row, row], color="#1f6feb", lw=1.6)
                axis.plot(mark.value, row, "o", color="#1f6feb", ms=4)
            axis.axvline(0, color="#888", lw=0.8)
            axis.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
            axis.set_title(title)
        axes[0][0].set_yticks(range(rows), [mark.label for mark in panels[0][1]])
        axes[0][0].invert_yaxis()
        figure.tight_layout()
        return _svg(figure)


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    return buffer.getvalue()
