"""Policies that stop at a sure sample, or at votes that agree."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from pipelines.method.beta import weights_lead
from pipelines.method.policies.base import ROUNDING, Tally
from pipelines.method.policies.votes import Best, Last, Votes

Fallback = Literal["weighted", "best", "vote", "last"]


@dataclass(frozen=True)
class EarlyStopping:
    """Stops at the first parsed sample with c >= threshold; answers by `fallback` if none.

    fallback: weighted, the vote by confidence (as the public code's analysis has it); best, the
    answer of the largest confidence; vote; last (as its sampler has it).
    """

    threshold: float
    fallback: Fallback = "weighted"

    def start(self) -> Tally:
        fallbacks: dict[Fallback, Callable[[], Tally]] = {
            "weighted": lambda: Votes(by_confidence=True),
            "best": Best,
            "vote": lambda: Votes(by_confidence=False),
            "last": Last,
        }
        return _EarlyStoppingTally(self.threshold, fallbacks[self.fallback]())


@dataclass
class _EarlyStoppingTally:
    threshold: float
    fallback: Tally
    stopped_at: str | None = None

    def add(self, answer: str | None, confidence: float) -> bool:
        self.fallback.add(answer, confidence)
        if answer is not None and confidence >= self.threshold:
            self.stopped_at = answer
        return self.stopped_at is not None

    def answer(self) -> str | None:
        return self.stopped_at if self.stopped_at is not None else self.fallback.answer()


@dataclass(frozen=True)
class AdaptiveConsistency:
    """asc (Aggarwal et al. 2023) and asc_conf: from 2 votes on, stops when one answer leads.

    rule "share": the leader's share of the weight is at least threshold. rule "beta", the
    original criterion, for votes: P(leader's rate > runner-up's | votes) >= threshold under a
    uniform prior.
    """

    threshold: float
    by_confidence: bool
    rule: Literal["share", "beta"] = "share"

    def __post_init__(self) -> None:
        assert not (self.by_confidence and self.rule == "beta"), "the Beta rule counts votes"

    def start(self) -> Tally:
        return _AdaptiveTally(self, Votes(self.by_confidence))


@dataclass
class _AdaptiveTally:
    policy: AdaptiveConsistency
    votes: Votes
    cast: int = 0

    def add(self, answer: str | None, confidence: float) -> bool:
        self.votes.add(answer, confidence)
        self.cast += answer is not None
        weights = sorted(self.votes.weights.values(), reverse=True)
        total = sum(weights)
        if self.cast < 2 or total <= 0:
            return False
        if self.policy.rule == "share":
            return weights[0] / total >= self.policy.threshold - ROUNDING
        runner_up = weights[1] if len(weights) > 1 else 0.0
        return weights_lead(weights[0], runner_up) >= self.policy.threshold - ROUNDING

    def answer(self) -> str | None:
        return self.votes.answer()


@dataclass(frozen=True)
class EarlyStoppingSC:
    """esc (Li et al. 2024): stops at a window of w equal answers, windows end to end.

    sliding: a window ends at every sample, as in the public code.
    """

    window: int
    sliding: bool = False

    def start(self) -> Tally:
        return _WindowTally(self, Votes(by_confidence=False))


@dataclass
class _WindowTally:
    policy: EarlyStoppingSC
    votes: Votes
    current: list[str | None] = field(default_factory=list)
    agreed: str | None = None

    def add(self, answer: str | None, confidence: float) -> bool:
        self.votes.add(answer, confidence)
        self.current.append(answer)
        if len(self.current) < self.policy.window:
            return False
        if answer is not None and all(one == answer for one in self.current):
            self.agreed = answer
        self.current = self.current[1:] if self.policy.sliding else []
        return self.agreed is not None

    def answer(self) -> str | None:
        return self.agreed if self.agreed is not None else self.votes.answer()
