"""What can be promised of thresholds (guarantees.py), and what came of it on the test queries."""

from collections.abc import Callable, Mapping
from typing import Any

from pipelines.method.guarantees import (
    CONFIDENCE,
    Evidence,
    Promise,
    max_error,
    max_loss,
    max_loss_with_giving_up,
)
from pipelines.method.policies import POLICIES, GivingUp
from pipelines.method.replay import Outcome, as_recorded
from pipelines.stages.report.replays import Queries, Replays

Rule = Callable[[Evidence, float, float], tuple[Promise, Promise | None]]
# By what is promised: the threshold, and the lower one where it also gives up.
RULES: Mapping[str, Rule] = {
    "max_error": lambda *given: (max_error(*given), None),
    "max_loss": lambda *given: (max_loss(*given), None),
    "max_loss_with_giving_up": max_loss_with_giving_up,
}
LIMITS = {
    "max_error": (0.05, 0.1, 0.2),
    "max_loss": (0.02, 0.05, 0.1),
    "max_loss_with_giving_up": (0.1,),
}


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
    upper, lower = RULES[kind](shown, limit, CONFIDENCE)
    made = [upper, lower] if lower is not None else [upper]
    refused = [one for one in made if one.threshold is None]
    needs = [one.queries for one in refused if one.queries is not None]
    told: dict[str, Any] = {
        "kind": kind,
        "limit": limit,
        "confidence": CONFIDENCE,
        "threshold": None if refused else upper.threshold,
        "give_up": None,
        "why": "; ".join(dict.fromkeys(one.why for one in refused)),
        "queries": max(needs) if needs and len(needs) == len(refused) else None,
        "seen": {},
    }
    if not refused:
        policy = POLICIES[name].make(upper.threshold)
        if lower is not None and lower.threshold is not None:
            told["give_up"] = {"after": shown.after, "below": lower.threshold}
            policy = GivingUp(policy, shown.after, lower.threshold)
        (runs,) = as_recorded([policy], replays.test.recorded)
        told["seen"] = {
            title: _counted(runs, replays.of_sets(sets)) for title, sets in groups.items()
        }
    return told


def _counted(runs: Outcome, queries: Queries) -> dict[str, Any]:
    assert runs.right_after is not None, "else there is no evidence"
    stopped, right = runs.stopped[queries], runs.right[queries]
    return {
        "queries": len(queries),
        "stopped": int(stopped.sum()),
        "wrong": int((stopped & ~right).sum()),
        "lost": int((runs.right_after[-1][queries] & ~right).sum()),
        "avg_samples": float(runs.samples[queries].mean()),
    }
