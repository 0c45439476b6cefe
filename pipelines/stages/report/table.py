"""The headline and the tables of results, in the terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.stages.report.headline import headline
from pipelines.stages.report.wording import (
    NAMES,
    SOURCE_NAMES,
    change,
    headings,
    percent,
    percents,
)
from pipelines.storage.location import Location
from pipelines.storage.schemas import METRICS_FILE

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH = 136  # of the widest row
_WIDER = 240  # of sources, a column for each policy that needs confidences


def print_table(report: Location) -> None:
    """Prints a report's."""
    from rich.console import Console

    results = (report / METRICS_FILE).read_json()
    for line in headline(results):
        print(line)
    for one in results["signatures"]:
        print(f"Watch out, {one['name']}. {one['says']} {one['advice']}")
    Console(width=_WIDTH).print(_responses(results))
    if results.get("sources"):  # a report of before has none
        Console(width=_WIDER).print(_sources(results))


def _table(title: str, columns: Sequence[str]) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _responses(results: Mapping[str, Any]) -> "Table":
    title = "Responses to held-out queries [95% interval]"
    table = _table(title, ["data set", "model", *NAMES.values()])
    best = results["recalibrated"]["best"]
    for title, heading in headings(results).items():
        models = results["datasets"][title]
        heading = f"{heading}, {models['base']['queries']:,}"
        for model, measured in models.items():
            table.add_row(heading, model, *_cells(measured))
            heading = ""
        changes = [change(results["differences"][title][name]) for name in NAMES]
        table.add_row("", "less base", *changes, end_section=best is None)
        if best is not None:  # the base model, recalibrated without fine-tuning
            own = results["recalibrated"]["datasets"][title][best]
            table.add_row("", f"base + {best}", *_cells(own))
            less = [change(own["calibrated_less"][name]) for name in NAMES]
            table.add_row("", f"less {best}", *less, end_section=True)
    return table


def _sources(results: Mapping[str, Any]) -> "Table":
    """Of the first group of data sets."""
    first = results["groups"][0]
    models = results["sources"]["datasets"][first]
    saved = [f"saved by {policy}" for policy in models["base"]["p_true"]["samples_saved"]]
    queries = f"{headings(results)[first]}, {results['datasets'][first]['base']['queries']:,}"
    title = f"Confidence sources on the same responses, {queries} queries [95% interval]"
    table = _table(title, ["model", "confidence", "AUROC", "WQD", *saved])
    for model, sources in models.items():
        listed = [name for name in SOURCE_NAMES if name in sources]
        for name in listed:
            one = sources[name]
            cells = [_show(one[rank], one["ci95"][rank]) for rank in ("auroc", "wqd")]
            for own in one["samples_saved"].values():
                cells.append(f"{percent(own['saved'])} {percents(own['ci95'])}")
            table.add_row(model, SOURCE_NAMES[name], *cells, end_section=name == listed[-1])
            model = ""
    return table


def _cells(measured: Mapping[str, Any]) -> list[str]:
    return [_show(measured[name], measured["ci95"][name]) for name in NAMES]


def _show(value: float | None, interval: Sequence[float] | None) -> str:
    """0.712 [0.65, 0.76]; a dash where the figure is undefined."""
    if value is None or interval is None:
        return "-"
    return f"{value:.3f} [{interval[0]:.2f}, {interval[1]:.2f}]"
