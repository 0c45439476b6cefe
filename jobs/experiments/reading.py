"""What an experiment ends in: tables, a picture and a paragraph, in an artifact of its own.

Nothing in `tables.json`, `reading.md` and `picture.svg` is a time: with the same seed, over the
same artifacts, they are the same byte for byte. What depends on the machine lies apart, in
`seconds.json`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.running.dag import Result, Step, reads
from pipelines.storage.location import Location

TABLES, READING, PICTURE, SECONDS = "tables.json", "reading.md", "picture.svg", "seconds.json"
_DIGITS = 6  # of JSON: sums differ in the last bits by how many threads add them


@dataclass(frozen=True)
class Cell:
    """A figure. ci95: its 95% interval, an end of which may be infinite; seeds: of each training
    run, where it is the mean of several; p: of a difference, that it is none."""

    value: float | None
    ci95: Sequence[float] | None = None
    seeds: Sequence[float] = ()
    p: float | None = None


Value = Cell | str


@dataclass(frozen=True)
class Table:
    """columns: a heading, and how its numbers are shown (`+.3f`), each."""

    title: str
    columns: Sequence[tuple[str, str]]
    rows: Sequence[Sequence[Value]]

    def markdown(self) -> str:
        lines = [
            [heading for heading, _ in self.columns],
            ["---" for _ in self.columns],
            *([_shown(*pair) for pair in self._cells(row)] for row in self.rows),
        ]
        return "\n".join([f"{self.title}\n", *(f"| {' | '.join(line)} |" for line in lines)])

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "rows": [
                {
                    heading: _plain(value)
                    for (heading, _), value in zip(self.columns, row, strict=True)
                }
                for row in self.rows
            ],
        }

    def _cells(self, row: Sequence[Value]) -> list[tuple[Value, str]]:
        return [(value, form) for value, (_, form) in zip(row, self.columns, strict=True)]


@dataclass(frozen=True)
class Reading:
    """paragraph: what the tables say, in sentences; picture: SVG; seconds: what the machine
    decides, told beside the tables and compared with nothing."""

    tables: Sequence[Table]
    paragraph: str
    picture: str
    seconds: Mapping[str, Any] | None = None

    def markdown(self) -> str:
        return "\n\n".join([*(table.markdown() for table in self.tables), self.paragraph]) + "\n"


def step(
    name: str,
    read: Callable[[Mapping[str, Location]], Reading],
    spec: Mapping[str, Any],
    inputs: Sequence[str],
    version: int = 1,
) -> Step:
    """An experiment's last step: `read` makes its reading of the artifacts of `inputs`."""

    def run(artifacts: Mapping[str, Location], out: Location) -> Result:
        made = read(artifacts)
        (out / TABLES).write_json([table.as_json() for table in made.tables])
        (out / READING).write_text(made.markdown())
        (out / PICTURE).write_text(made.picture)
        if made.seconds is not None:
            (out / SECONDS).write_json(made.seconds)
        return Result(sum(len(table.rows) for table in made.tables))

    return Step(f"experiment_{name}", run, spec, reads(*inputs), version)


def _shown(value: Value, form: str) -> str:
    """0.61 (0.55 to 0.65) [0.52, 0.70]: the mean, over training runs, and the interval."""
    if isinstance(value, str):
        return value
    if value.value is None or math.isnan(value.value):
        return "–"
    text = _number(value.value, form)
    if len(value.seeds) > 1:
        text += f" ({_number(min(value.seeds), form)} to {_number(max(value.seeds), form)})"
    if value.ci95 is not None:
        low, high = (_number(end, form) for end in value.ci95)
        text += f" [{low}, {high}]"
    return text


def _number(value: float, form: str) -> str:
    return ("∞" if value > 0 else "-∞") if math.isinf(value) else format(value, form)


def _plain(value: Value) -> Any:
    if isinstance(value, str):
        return value
    of: dict[str, Any] = {"value": _rounded(value.value)}
    if value.ci95 is not None:
        of["ci95"] = [_rounded(end) for end in value.ci95]
    if value.seeds:
        of["seeds"] = [_rounded(one) for one in value.seeds]
    if value.p is not None:
        of["p"] = _rounded(value.p)
    return of


def _rounded(value: float | None) -> float | None:
    """None for what JSON has no number for."""
    return round(value, _DIGITS) if value is not None and math.isfinite(value) else None
