"""The report's first lines: what calibration is worth, in sentences."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipelines.method.savings import SLACK

NAMES = {"accuracy": "accuracy", "auroc": "AUROC", "brier": "Brier", "ece_debiased": "ECE"}
_CHANGES = ("auroc", "brier", "ece_debiased")


def headline(results: Mapping[str, Any]) -> list[str]:
    """Of the first group of data sets: samples saved at one accuracy, then paired differences; and
    of several training runs, how far these are apart."""
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
    parts = [f"{NAMES[key]} {change(changes[key])}" for key in _CHANGES]
    lines = [first, f"Calibrated less base, paired: {', '.join(parts)} ({where})."]
    if runs := results["training_runs"][title]:
        parts = [f"saved {over_runs(saved_by(runs), percent)}"]
        parts += [f"{NAMES[key]} {over_runs(changed_by(runs, key), signed)}" for key in _CHANGES]
        seeds = ", ".join(runs)
        lines.append(
            f"Over {len(runs)} training runs (seeds {seeds}), mean (least to most): "
            f"{', '.join(parts)} ({where})."
        )
    return lines


def saved_by(runs: Mapping[str, Any]) -> list[float | None]:
    """What early stopping saves in each training run; None where it has no threshold."""
    found = [run["samples_saved"].get("early_stopping") for run in runs.values()]
    return [one["saved"] if one else None for one in found]


def changed_by(runs: Mapping[str, Any], metric: str) -> list[float | None]:
    """The difference to the base model in each training run; None where it is undefined."""
    return [run["differences"][metric]["value"] for run in runs.values()]


def over_runs(values: Sequence[float | None], show: Callable[[float], str]) -> str:
    """+0.154 (+0.090 to +0.210): the mean, the least and the most; in how many, where not in all; a
    dash where in none."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    some = f", in {len(known)}" if len(known) < len(values) else ""
    return f"{show(sum(known) / len(known))} ({show(min(known))} to {show(max(known))}{some})"


def signed(value: float) -> str:
    return f"{value:+.3f}"


def percent(share: float) -> str:
    return f"{share:.0%}"


def percents(interval: Sequence[float]) -> str:
    return f"[{interval[0]:.0%}, {interval[1]:.0%}]"


def change(difference: Mapping[str, Any]) -> str:
    """+0.154 [0.09, 0.21]; a dash where it is undefined."""
    value, interval = difference["value"], difference["ci95"]
    if value is None or interval is None:
        return "-"
    return f"{signed(value)} [{interval[0]:.2f}, {interval[1]:.2f}]"
