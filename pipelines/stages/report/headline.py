"""The report's first lines: what calibration is worth, in sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.method.savings import SLACK

NAMES = {"accuracy": "accuracy", "auroc": "AUROC", "brier": "Brier", "ece_debiased": "ECE"}


def headline(results: Mapping[str, Any]) -> list[str]:
    """Of the first group of data sets: samples saved at one accuracy, then paired differences."""
    title = results["groups"][0]
    queries = results["datasets"][title]["calibrated"]["queries"]
    where = f"{title.replace('_', ' ')}, {queries} queries"
    saved = results["samples_saved"][title]["calibrated"].get("early_stopping")
    first = "Early stopping was not replayed: it is no policy of this run, or has no threshold."
    if saved:
        first = (
            f"Early stopping on the calibrated model saves {percent(saved['saved'])} "
            f"{percents(saved['ci95'])} of the samples: it reaches accuracy "
            f"{saved['accuracy']:.3f} with {saved['samples']:.1f} samples a query where "
            f"self-consistency takes {saved['sc_samples']:.1f} ({where})."
        )
        if saved["accuracy"] < saved["sc_accuracy"] - 2 * SLACK:
            first += f" It gets no further; self-consistency reaches {saved['sc_accuracy']:.3f}."
    changes = results["differences"][title]
    parts = [f"{NAMES[key]} {change(changes[key])}" for key in ("auroc", "brier", "ece_debiased")]
    return [first, f"Calibrated less base, paired: {', '.join(parts)} ({where})."]


def percent(share: float) -> str:
    return f"{share:.0%}"


def percents(interval: Sequence[float]) -> str:
    return f"[{interval[0]:.0%}, {interval[1]:.0%}]"


def change(difference: Mapping[str, Any]) -> str:
    """+0.154 [0.09, 0.21]; a dash where it is undefined."""
    value, interval = difference["value"], difference["ci95"]
    if value is None or interval is None:
        return "-"
    return f"{value:+.3f} [{interval[0]:.2f}, {interval[1]:.2f}]"
