"""Policies that take a confidence for evidence: of an answer, or of how much a vote weighs."""

from dataclasses import dataclass, field
from math import exp, log
from typing import Any

import numpy as np

from pipelines.method.beta import weights_lead
from pipelines.method.policies.base import ROUNDING, Tally, leader

SURE = 1e-6  # confidences of 0 and 1 count as so far from them: no sample settles it for good
_LAMBDA = 0.7  # of reasc, the paper's
ENOUGH = 0.95  # of reasc, of the posterior
_MOST = 20.0  # lambda z: a weight of 5e8 is as good as any, and no sum of such is infinite


@dataclass(frozen=True)
class ConfidenceGuided:
    """cges (Aghazadeh et al. 2025, arXiv 2511.02603v2): stops at an answer's posterior mass.

    A sample with answer r and confidence c is as likely as c if r is right, and (1 - c) / (K - 1)
    if another is: K counts the answers seen so far and one for all that are not (its Algorithm 1
    and Remark D.4, read in a public reimplementation). The prior is uniform. As an answer that no
    sample gave cannot be given, only those seen stop it, and are answered with.
    """

    threshold: float

    def start(self) -> Tally:
        return _PosteriorTally(self.threshold)


@dataclass
class _PosteriorTally:
    """odds: each answer's log odds against one that was not seen, but for the share of K - 1."""

    threshold: float
    odds: dict[str, float] = field(default_factory=dict)
    votes: dict[str, int] = field(default_factory=dict)

    def add(self, answer: str | None, confidence: float) -> bool:
        if answer is not None:
            c = min(max(confidence, SURE), 1 - SURE)
            self.odds[answer] = self.odds.get(answer, 0.0) + log(c) - log(1 - c)
            self.votes[answer] = self.votes.get(answer, 0) + 1
        against = self._against_unseen()
        if not against:
            return False
        top = max(0.0, *against.values())
        total = exp(-top) + sum(exp(one - top) for one in against.values())
        return exp(max(against.values()) - top) / total >= self.threshold - ROUNDING

    def answer(self) -> str | None:
        return leader(self._against_unseen(), ROUNDING)

    def _against_unseen(self) -> dict[str, float]:
        others = log(len(self.odds)) if self.odds else 0.0
        return {answer: odds + self.votes[answer] * others for answer, odds in self.odds.items()}


@dataclass(frozen=True)
class ReliabilityAware:
    """reasc (Kim et al. 2026, arXiv 2601.02970): one sure sample, or votes weighed by confidence.

    Stops at the first sample where its c >= threshold. Else a sample adds max(1, exp(lambda z)) to
    its answer, z = (c - mean) / deviation over calibration responses, and from the second sample on
    it stops where P(leader's rate > runner-up's | weights) >= 0.95 as in asc_beta. c is P(True)
    here; the paper's is the confidence of the least certain tenth of a response. lambda is the
    paper's. Read in a summary and a public reimplementation, which do not say whether the first
    sample's weight counts in what follows: here it does.
    """

    threshold: float
    mean: float = 0.5
    deviation: float = 0.25

    def __post_init__(self) -> None:
        if self.deviation <= 0:
            raise ValueError(f"deviation: {self.deviation} is not over 0")

    def start(self) -> Tally:
        return _ReliabilityTally(self)

    def weight(self, confidence: Any) -> Any:
        """Of a number, or of an array of them."""
        logs = _LAMBDA * (confidence - self.mean) / self.deviation
        return np.maximum(1.0, np.exp(np.minimum(logs, _MOST)))


@dataclass
class _ReliabilityTally:
    policy: ReliabilityAware
    weights: dict[str, float] = field(default_factory=dict)
    seen: int = 0

    def add(self, answer: str | None, confidence: float) -> bool:
        self.seen += 1
        if answer is not None:
            weight = float(self.policy.weight(confidence))
            self.weights[answer] = self.weights.get(answer, 0.0) + weight
        if self.seen == 1:
            return answer is not None and confidence >= self.policy.threshold
        first, second = sorted([*self.weights.values(), 0.0, 0.0])[:-3:-1]
        return weights_lead(first, second) >= ENOUGH - ROUNDING

    def answer(self) -> str | None:
        return leader(self.weights, ROUNDING)
