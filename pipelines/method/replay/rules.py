"""Policies as rules over draws: where each stops, and whether its answer is right."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from pipelines.method.beta import weights_lead
from pipelines.method.policies import (
    ROUNDING,
    AdaptiveConsistency,
    BestOfN,
    ConfidenceGuided,
    ConfidenceInformedSC,
    EarlyStopping,
    EarlyStoppingSC,
    GivingUp,
    Policy,
    ReliabilityAware,
    Voting,
)
from pipelines.method.replay.draws import Draws, Flags, Integers, Leader


class Rule(NamedTuple):
    """Each [samples, queries, orders]."""

    so_far: Flags  # whether the answer after each sample is right, were sampling to end there
    stops: Flags  # where the policy ends it; the first of them does
    at_stop: Flags  # whether its answer is right there


def rule(policy: Policy, draws: Draws) -> Rule | None:
    """None for a policy that is not known here, of which there is only its tally."""
    match policy:
        case BestOfN():
            return _to_the_end(draws.best)
        case Voting():
            return _to_the_end((draws.weighted if policy.by_confidence else draws.votes).right)
        case ConfidenceInformedSC():
            return _to_the_end(draws.by_softmax(policy.temperature))
        case EarlyStopping():
            sure = draws.parsed & (draws.confidence >= policy.threshold)
            return Rule(_fallback(policy, draws), sure, draws.correct)
        case AdaptiveConsistency():
            votes = draws.weighted if policy.by_confidence else draws.votes
            return Rule(votes.right, _ahead(policy, votes, draws), votes.right)
        case EarlyStoppingSC():
            return Rule(draws.votes.right, _agreed(policy, draws.answers), draws.correct)
        case ConfidenceGuided():
            right, mass = draws.posterior
            return Rule(right, mass >= policy.threshold - ROUNDING, right)
        case ReliabilityAware():
            right, stops = draws.by_reliability(replace(policy, threshold=0.0))
            stops = stops.copy()
            stops[0] |= draws.parsed[0] & (draws.confidence[0] >= policy.threshold)
            return Rule(right, stops, right)
        case GivingUp():
            inner = rule(policy.policy, draws)
            if inner is None:
                return None
            stops = inner.stops.copy()
            if policy.after <= len(stops):
                place = policy.after - 1
                stops[place] |= policy.gives_up(draws.votes.weight[place])
            return Rule(inner.so_far, stops, np.where(inner.stops, inner.at_stop, inner.so_far))
    return None


def _to_the_end(right: Flags) -> Rule:
    return Rule(right, np.zeros_like(right), right)


def _fallback(policy: EarlyStopping, draws: Draws) -> Flags:
    match policy.fallback:
        case "weighted":
            return draws.weighted.right
        case "vote":
            return draws.votes.right
        case "best":
            return draws.best
        case "last":
            return draws.last


def _ahead(policy: AdaptiveConsistency, votes: Leader, draws: Draws) -> Flags:
    """Where one answer leads by so much that sampling stops."""
    enough: Flags = np.cumsum(draws.parsed, axis=0, dtype=np.int16) >= 2
    if policy.rule == "share":
        with np.errstate(invalid="ignore"):  # of nothing at all
            return enough & (votes.weight / votes.total >= policy.threshold - ROUNDING)
    most = len(enough) + 1
    sure = [
        [b <= a and weights_lead(a, b) >= policy.threshold - ROUNDING for b in range(most)]
        for a in range(most)
    ]
    return enough & np.array(sure)[votes.weight, votes.second]


def _agreed(policy: EarlyStoppingSC, answers: Integers) -> Flags:
    """Where a window of equal answers ends."""
    equal = answers >= 0
    for back in range(1, policy.window):
        equal[back:] &= answers[back:] == answers[:-back]
        equal[:back] = False
    if not policy.sliding:
        equal &= (np.arange(1, len(answers) + 1) % policy.window == 0)[:, None, None]
    return equal
