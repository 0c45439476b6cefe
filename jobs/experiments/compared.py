"""Models or variants side by side: what each comes to, and how far it is from the first."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jobs.experiments import significance
from jobs.experiments.reading import Cell, Table, Value
from jobs.experiments.scores import Scores, difference, figure, mean_ece
from pipelines.method import calibration_error, metrics
from pipelines.method.metrics import Array, Metric

if TYPE_CHECKING:
    from jobs.experiments.picture import Mark

Runs = Mapping[str, Sequence[Scores]]  # by name: of each of its training runs
Statistics = Mapping[str, Metric]  # beside ECE
NOTE = (
    "An interval is of its cell alone; better and worse are said at 5% over all rows of a column "
    "together (Holm's correction)."
)


def figures(
    title: str, found: Runs, statistics: Statistics, weights: Array, changes: Mapping[str, str]
) -> Table:
    """Means over training runs, the least and the most, and 95% intervals over queries.

    changes: what a name stands for; a column of it where there is any.
    """
    rows: list[list[Value]] = []
    for name, runs in found.items():
        row: list[Value] = [name, *([changes.get(name, "")] if changes else [])]
        for metric in statistics.values():
            each = [figure(metric, one) for one in runs]
            resampled = np.mean([metric(*one, weights) for one in runs], axis=0)
            row.append(Cell(float(np.mean(each)), metrics.interval(resampled), each))
        error = mean_ece(runs, weights)
        each = [calibration_error.ece(*one, weights).debiased for one in runs]
        rows.append([*row, Cell(error.debiased, error.ci95, each)])
    names = [("", ""), *([("changes", "")] if changes else [])]
    return Table(title, [*names, *((name, ".3f") for name in (*statistics, "ECE"))], rows)


def differences(
    title: str, found: Runs, statistics: Statistics, weights: Array, first: str
) -> Table:
    """Of each to the one that is called `first`, paired over queries: means over training runs.

    95% intervals are over queries and, where there are several training runs, over their seeds.
    """
    before = found[first]
    others = [name for name in found if name != first]
    rows: list[list[Value]] = [[name] for name in others]
    for metric in statistics.values():
        each = {name: [figure(metric, one) for one in runs] for name, runs in found.items()}
        for row, name in zip(rows, others, strict=True):
            row.append(_cell(difference(metric, before, found[name], weights), each, name, first))
    errors = {name: mean_ece(runs, weights) for name, runs in found.items()}
    each = {
        name: [calibration_error.ece(*one, weights).debiased for one in runs]
        for name, runs in found.items()
    }
    for row, name in zip(rows, others, strict=True):
        between = calibration_error.difference(errors[first], errors[name])
        row.append(_cell(between, each, name, first))
    columns = [(f"less {first}", ""), *((name, "+.3f") for name in (*statistics, "ECE"))]
    return Table(title, columns, rows)


def _cell(
    over_queries: tuple[float, list[float] | None],
    each: Mapping[str, Sequence[float]],
    name: str,
    first: str,
) -> Cell:
    """over_queries: a difference and its interval; each: the figure of each training run."""
    value, ends = over_queries
    if ends is None:
        return Cell(value)
    noise = significance.seed_noise(each[name], each[first], list(each.values()))
    return Cell(
        value,
        significance.interval(value, ends, noise),
        p=significance.p_value(value, ends, noise),
    )


def column(table: Table, heading: str) -> dict[str, Cell]:
    """The figures under a heading, by what stands first in their rows."""
    place = [name for name, _ in table.columns].index(heading)
    return {str(row[0]): cell for row in table.rows if isinstance(cell := row[place], Cell)}


def marks(table: Table, headings: Sequence[str]) -> list[tuple[str, list["Mark"]]]:
    """A panel for each of these columns, to draw."""
    return [
        (
            f"{heading}, {table.columns[0][0]}",
            [mark(name, cell) for name, cell in column(table, heading).items()],
        )
        for heading in headings
    ]


def mark(name: str, cell: Cell) -> "Mark":
    """A figure with its interval, to draw; NaN of what is undefined."""
    from jobs.experiments.picture import Mark

    low, high = cell.ci95 or (np.nan, np.nan)
    return Mark(name, np.nan if cell.value is None else cell.value, low, high)


def sentence(table: Table, heading: str, more_is_better: bool = False) -> str:
    """Which rows are better or worse in a column of differences, shown together (see NOTE)."""
    cells = column(table, heading)
    adjusted = significance.holm([1.0 if one.p is None else one.p for one in cells.values()])
    found: dict[str, list[str]] = {"better": [], "worse": [], "not shown to differ": []}
    for (name, cell), p in zip(cells.items(), adjusted, strict=True):
        if cell.value is None or p > significance.LEVEL:
            found["not shown to differ"].append(name)
        else:
            found["better" if (cell.value > 0) == more_is_better else "worse"].append(name)
    said = "; ".join(f"{', '.join(names)} {how}" for how, names in found.items() if names)
    return f"{heading}, {table.columns[0][0]}: {said}."
