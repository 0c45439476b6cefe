"""Models or variants side by side: what each comes to, and how far it is from the first."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jobs.experiments.reading import Cell, Table, Value
from jobs.experiments.scores import Scores, difference, figure, mean_ece
from pipelines.method import calibration_error, metrics
from pipelines.method.metrics import Array, Metric

if TYPE_CHECKING:
    from jobs.experiments.picture import Mark

Runs = Mapping[str, Sequence[Scores]]  # by name: of each of its training runs
Statistics = Mapping[str, Metric]  # beside ECE


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
    """Of each to the one that is called `first`, paired over queries: means over training runs."""
    before = found[first]
    rows: list[list[Value]] = []
    for name, after in found.items():
        if name == first:
            continue
        cells = [
            Cell(*difference(metric, before, after, weights)) for metric in statistics.values()
        ]
        value, ends = calibration_error.difference(
            mean_ece(before, weights), mean_ece(after, weights)
        )
        rows.append([name, *cells, Cell(value, ends)])
    columns = [(f"less {first}", ""), *((name, "+.3f") for name in (*statistics, "ECE"))]
    return Table(title, columns, rows)


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


def told(table: Table, heading: str, more_is_better: bool = False) -> str:
    """A sentence: which are better or worse in a column of differences, and how sure that is."""
    worse: list[str] = []
    better: list[str] = []
    open_: list[str] = []
    for name, cell in column(table, heading).items():
        low, high = cell.ci95 or (-1.0, 1.0)
        if low > 0:
            (better if more_is_better else worse).append(name)
        elif high < 0:
            (worse if more_is_better else better).append(name)
        else:
            open_.append(name)
    parts = [("better", better), ("worse", worse), ("not shown to differ", open_)]
    said = "; ".join(f"{', '.join(names)} {how}" for how, names in parts if names)
    return f"{heading}, {table.columns[0][0]}: {said}."
