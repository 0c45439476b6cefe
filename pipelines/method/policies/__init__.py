"""When to stop sampling, and what to answer (arXiv 2503.00031, section 3.4); method names as there.

A policy sees one query's samples in order, as (answer, confidence): `tally = policy.start()`, then
`tally.add(answer, c)` for each sample until it returns True (stop), then `tally.answer()`. So the
live service runs them; method/replay runs recorded samples in many orders at once, to the same
ends. The budget is the caller's: it stops adding. An unparsed sample (answer None) counts toward
the budget and never votes; ties go to the answer seen first.

A name may say by which confidences: `early_stopping@mean_logprob` is early_stopping by those of a
response's own tokens (token_confidences.py); without it, by P(True).

To add a policy: a class with `start()`, a tally with `add` and `answer`, a line in POLICIES. With a
rule in method/replay/rules.py beside it is replayed fast, and thresholds of it can be promised.
"""

from collections.abc import Mapping
from dataclasses import replace

from pipelines.method.policies.base import (
    ROUNDING,
    Policy,
    PolicyFamily,
    Run,
    Tally,
    in_order,
)
from pipelines.method.policies.evidence import SURE, ConfidenceGuided, ReliabilityAware
from pipelines.method.policies.giving_up import GivingUp, GivingUpTally
from pipelines.method.policies.stopping import (
    AdaptiveConsistency,
    EarlyStopping,
    EarlyStoppingSC,
    Fallback,
)
from pipelines.method.policies.votes import BestOfN, ConfidenceInformedSC, Voting
from pipelines.method.token_confidences import P_TRUE, SOURCES

__all__ = [
    "FALLBACKS",
    "NAMED",
    "POLICIES",
    "ROUNDING",
    "SURE",
    "AdaptiveConsistency",
    "BestOfN",
    "ConfidenceGuided",
    "ConfidenceInformedSC",
    "EarlyStopping",
    "EarlyStoppingSC",
    "Fallback",
    "GivingUp",
    "GivingUpTally",
    "Policy",
    "PolicyFamily",
    "ReliabilityAware",
    "Run",
    "Tally",
    "Voting",
    "in_order",
    "joined",
    "split",
]

POLICIES: dict[str, PolicyFamily] = {
    "best_of_n": PolicyFamily(lambda t: BestOfN(), "none"),
    "self_consistency": PolicyFamily(lambda t: Voting(by_confidence=False), "none", False),
    "sc_conf": PolicyFamily(lambda t: Voting(by_confidence=True), "none"),
    "cisc": PolicyFamily(
        lambda t, **fit: ConfidenceInformedSC(**fit), "none", fitted=("temperature",)
    ),
    "early_stopping": PolicyFamily(EarlyStopping, "confidence"),
    "early_stopping_best": PolicyFamily(lambda t: EarlyStopping(t, "best"), "confidence"),
    "early_stopping_vote": PolicyFamily(lambda t: EarlyStopping(t, "vote"), "confidence"),
    "early_stopping_last": PolicyFamily(lambda t: EarlyStopping(t, "last"), "confidence"),
    "reasc": PolicyFamily(ReliabilityAware, "confidence", fitted=("mean", "deviation")),
    "cges": PolicyFamily(ConfidenceGuided, "share"),
    "asc": PolicyFamily(lambda t: AdaptiveConsistency(t, by_confidence=False), "share", False),
    "asc_beta": PolicyFamily(
        lambda t: AdaptiveConsistency(t, by_confidence=False, rule="beta"), "share", False
    ),
    "asc_conf": PolicyFamily(lambda t: AdaptiveConsistency(t, by_confidence=True), "share"),
    "esc": PolicyFamily(lambda t: EarlyStoppingSC(int(t)), "window", False),
    "esc_sliding": PolicyFamily(lambda t: EarlyStoppingSC(int(t), True), "window", False),
}


def joined(policy: str, source: str) -> str:
    """The name of a policy of POLICIES by a source's confidences."""
    return policy if source == P_TRUE else f"{policy}@{source}"


def split(name: str) -> tuple[str, str]:
    """The inverse of `joined`."""
    policy, _, source = name.partition("@")
    return policy, source or P_TRUE


# All that a config or a request may name.
NAMED: Mapping[str, PolicyFamily] = POLICIES | {
    joined(name, source): replace(family, source=source)
    for source in SOURCES
    for name, family in POLICIES.items()
    if family.needs_confidence
}


# Early stopping by what it answers where no sample was sure enough.
FALLBACKS: dict[Fallback, str] = {
    "weighted": "early_stopping",
    "vote": "early_stopping_vote",
    "best": "early_stopping_best",
    "last": "early_stopping_last",
}
