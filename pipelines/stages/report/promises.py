"""What can be promised of thresholds (guarantees.py), and what came of it on the test queries."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pipelines.method.guarantees import (
    CONFIDENCE,
    Evidence,
    Promise,
    max_error,
    max_loss,
    max_loss_with_giving_up,
)
from pipelines.method.policies import NAMED, GivingUp
from pipelines.method.replay import Outcome, as_recorded
from pipelines.stages.report.replays import Queries, Replays

Rule = Callable[[Evidence, float, float], tuple[Promise, Promise | None]]


class Kind(NamedTuple):
    """What is promised. rule: the threshold, and the lower one where it also gives up. limits: that
    the report tries. title: after a limit, in a table; told: in a sentence."""

    rule: Rule
    limits: Sequence[float]
    title: str
    told: str


KINDS: Mapping[str, Kind] = {
    "max_error": Kind(
        lambda *given: (max_error(*given), None), (0.05, 0.1, 0.2), "wrong", "wrong where it stops"
    ),
    "max_loss": Kind(
        lambda *given: (max_loss(*given), None), (0.02, 0.05, 0.1), "lost", "lost by stopping"
    ),
    "max_loss_with_giving_up": Kind(
        max_loss_with_giving_up, (0.1,), "lost, gives up", "lost by stopping or giving up"
    ),
}


def promises(replays: Replays, groups: Mapping[str, set[str]]) -> dict[str, list[dict[str, Any]]]:
    """By policy, of those that a threshold can be promised of, at some limits: the `promises` of a
    model in metrics.json."""
    return {
        name: [
            _promise(replays, groups, name, shown, kind, limit)
            for kind, of in KINDS.items()
            for limit in of.limits
        ]
        for name, shown in replays.evidence.items()
    }


def _promise(
    replays: Replays,
    groups: Mapping[str, set[str]],
    name: str,
    shown: Evidence,
    kind: str,
    limit: float,
) -> dict[str, Any]:
    """seen: by group, the test queries as the calibration queries were counted, in one run each."""
    upper, lower = KINDS[kind].rule(shown, limit, CONFIDENCE)
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
        policy = NAMED[name].make(upper.threshold)
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
