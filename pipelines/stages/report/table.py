"""The table of results, in the terminal."""

from collections.abc import Sequence

from pipelines.stages.report.measure import STATISTICS
from pipelines.storage.location import Location
from pipelines.storage.schemas import METRICS_FILE, MODELS


def print_table(report: Location) -> None:
    """Prints a report's."""
    from rich.console import Console
    from rich.table import Table

    results = (report / METRICS_FILE).read_json()
    table = Table(title="Held-out queries [95% interval]")
    for column in ("data set", "model", "accuracy", "ECE", "AUROC", "Brier"):
        table.add_column(column, no_wrap=True)
    for title, models in results["datasets"].items():
        for model, measured in models.items():
            heading = f"{title}, {measured['queries']}" if model == MODELS[0] else ""
            table.add_row(
                heading,
                model,
                *(_show(measured[name], measured["ci95"][name]) for name in STATISTICS),
                end_section=model == MODELS[-1],
            )
    Console(width=120).print(table)


def _show(value: float | None, interval: Sequence[float] | None) -> str:
    """0.712 [0.65, 0.76]; a dash where the figure is undefined."""
    if value is None or interval is None:
        return "-"
    return f"{value:.3f} [{interval[0]:.2f}, {interval[1]:.2f}]"
