"""The headline and the table of results, in the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.stages.report.headline import NAMES, change, headings, headline
from pipelines.storage.location import Location
from pipelines.storage.schemas import METRICS_FILE

_WIDTH = 136  # of the widest row


def print_table(report: Location) -> None:
    """Prints a report's."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    results = (report / METRICS_FILE).read_json()
    title = "Responses to held-out queries [95% interval]"
    table = Table(title=title, box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for column in ("data set", "model", *NAMES.values()):
        table.add_column(column, no_wrap=True)
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
    for line in headline(results):
        print(line)
    for one in results["signatures"]:
        print(f"Watch out, {one['name']}. {one['says']} {one['advice']}")
    Console(width=_WIDTH).print(table)


def _cells(measured: Mapping[str, Any]) -> list[str]:
    return [_show(measured[name], measured["ci95"][name]) for name in NAMES]


def _show(value: float | None, interval: Sequence[float] | None) -> str:
    """0.712 [0.65, 0.76]; a dash where the figure is undefined."""
    if value is None or interval is None:
        return "-"
    return f"{value:.3f} [{interval[0]:.2f}, {interval[1]:.2f}]"
