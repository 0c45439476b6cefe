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


@dataclass(frozen=True)
class Line:
    """low, high: of an interval at each x; empty, where there is none."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Panel:
    title: str
    x: str
    y: str
    lines: Sequence[Line]
    log2: bool = False  # of x


def curves(panels: Sequence[Panel]) -> str:
    """Lines side by side, each named where it ends."""
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(1, len(panels), figsize=(4.6 * len(panels), 3.4), squeeze=False)
        for axis, panel in zip(axes[0], panels, strict=True):
            for number, line in enumerate(panel.lines):
                color, dash = f"C{number}", _DASHES[number % len(_DASHES)]
                axis.plot(line.x, line.y, color=color, ls=dash, marker=".", lw=1.4)
                if len(line.low):
                    axis.fill_between(line.x, line.low, line.high, color=color, alpha=0.08, lw=0)
                if len(line.x):
                    axis.annotate(
                        line.label, (line.x[-1], line.y[-1]), (4, 0),
                        textcoords="offset points", color=color, va="center",
                    )  # fmt: skip
            if panel.log2:
                axis.set_xscale("log", base=2)
                axis.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
            axis.set(title=panel.title, xlabel=panel.x, ylabel=panel.y)
        figure.tight_layout()
        return _svg(figure)


@dataclass(frozen=True)
class Mark:
    """A value with its interval, in a row of its own."""

    label: str
    value: float
    low: float
    high: float


def intervals(panels: Sequence[tuple[str, Sequence[Mark]]]) -> str:
    """Values with their intervals, a row each, panels side by side; all have the same rows."""
    rows = len(panels[0][1])
    with plt.rc_context(_STYLE):
        size = (3.2 * len(panels) + 1.6, 0.26 * rows + 0.9)
        figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False)
        for axis, (title, marks) in zip(axes[0], panels, strict=True):
            for row, mark in enumerate(marks):
                axis.plot([mark.low, mark.high], [row, row], color="#1f6feb", lw=1.6)
                axis.plot(mark.value, row, "o", color="#1f6feb", ms=4)
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
