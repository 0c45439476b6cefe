"""What can be promised of thresholds (guarantees.py), and what came of it on the test queries."""

from collections.abc import Callable, Mapping
from typing import Any

from pipelines.method.guarantees import CONFIDENCE, Evidence, Promise, max_error, max_loss
from pipelines.method.policies import POLICIES
from pipelines.method.replay import Outcome, as_recorded
from pipelines.stages.report.replays import Queries, Replays

RULES: Mapping[str, Callable[[Evidence, float, float], Promise]] = {
    "max_error": max_error,
    "max_loss": max_loss,
}
LIMITS = {"max_error": (0.05, 0.1, 0.2), "max_loss": (0.02, 0.05, 0.1)}


def promises(replays: Replays, groups: Mapping[str, set[str]]) -> dict[str, list[dict[str, Any]]]:
    """By policy, of those that a threshold can be promised of, at some limits: the `promises` of a
    model in metrics.json."""
    found = {}
    for name, choice in replays.chosen.items():
        if (shown := choice.evidence) is not None:
            found[name] = [
                _promise(replays, groups, name, shown, kind, limit)
                for kind, limits in LIMITS.items()
                for limit in limits
            ]
    return found


def _promise(
    replays: Replays,
    groups: Mapping[str, set[str]],
    name: str,
    shown: Evidence,
    kind: str,
    limit: float,
) -> dict[str, Any]:
    """seen: by group, the test queries as the calibration queries were counted, in one run each."""
    made = RULES[kind](shown, limit, CONFIDENCE)
    told: dict[str, Any] = {
        "kind": kind,
        "limit": limit,
        "confidence": CONFIDENCE,
        "threshold": made.threshold,
        "why": made.why,
        "queries": made.queries,
        "seen": {},
    }
    if made.threshold is not None:
        policy = POLICIES[name].make(made.threshold)
        (runs,) = as_recorded([policy], replays.test.recorded)
        told["seen"] = {
            title: _counted(runs, replays.of_sets(sets)) for title, sets in groups.items()
        }
    return told


def _counted(runs: Outcome, queries: Queries) -> dict[str, Any]:
    stopped, right = runs.stopped[queries], runs.right[queries]
    return {
        "queries": len(queries),
        "stopped": int(stopped.sum()),
        "wrong": int((stopped & ~right).sum()),
        "lost": int((runs.right_after[-1][queries] & ~right).sum()),
        "avg_samples": float(runs.samples[queries].mean()),
    }
