"""How the report says things: names of what it measures, and figures with their intervals."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipelines.stages.report.replays import STOPPING

NAMES = {"accuracy": "accuracy", "auroc": "AUROC", "brier": "Brier", "ece_debiased": "ECE"}
# WQD tells right from wrong among one query's responses, on which policies live.
CHANGES = {"auroc": "AUROC", "wqd": "WQD", "brier": "Brier", "ece_debiased": "ECE"}
RECALIBRATED = {  # in sentences; in tables it is "base + " and the map's name
    "temperature": "temperature scaling",
    "platt": "Platt scaling",
    "isotonic": "isotonic regression",
    "ridge": "ridge regression",
}
SOURCE_NAMES = {
    "p_true": "P(True)",
    "mean_logprob": "mean log-probability",
    "tail_entropy": "tail entropy",
    "lowest_group": "lowest group",
}


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([part for part in (", ".join(names[:-1]), names[-1]) if part])


def named(title: str) -> str:
    return title.replace("_", " ")


def where(results: Mapping[str, Any]) -> str:
    """The data sets and queries that the report opens with."""
    title = results["groups"][0]
    return f"{named(title)}, {results['datasets'][title]['calibrated']['queries']} queries"


def headings(results: Mapping[str, Any]) -> dict[str, str]:
    """Of the groups of data sets to list, each once: a group of one data set stands for it."""
    found: dict[tuple[str, ...], tuple[str, str]] = {}
    for title in results["groups"]:
        members = tuple(results["members"][title])
        alone = members != (title,) and len(members) == 1
        heading = f"{named(title)}: {members[0]}" if alone else named(title)
        found.setdefault(members, (title, heading))
    return dict(found.values())


def saved_by(runs: Mapping[str, Any]) -> list[float | None]:
    """What early stopping saves in each training run; None where it has no threshold."""
    found = [run["samples_saved"].get(STOPPING) for run in runs.values()]
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


def spent(mean: float, interval: Sequence[float], digits: int) -> str:
    """10.2 [6.9, 11.4] samples, or 521 [347, 573] tokens; so many digits after the point."""
    low, value, high = (f"{one:,.{digits}f}" for one in (interval[0], mean, interval[1]))
    return f"{value} [{low}, {high}]"


def points(difference: Mapping[str, Any]) -> str:
    """+25 points [-5, 77], of a hundred; a dash where it is undefined."""
    if difference["ci95"] is None:
        return "-"
    low, high = (f"{100 * end:.0f}" for end in difference["ci95"])
    return f"{100 * difference['value']:+.0f} points [{low}, {high}]"


def change(difference: Mapping[str, Any]) -> str:
    """+0.154 [0.09, 0.21]; a dash where it is undefined."""
    value, interval = difference["value"], difference["ci95"]
    if value is None or interval is None:
        return "-"
    return f"{signed(value)} [{interval[0]:.2f}, {interval[1]:.2f}]"
