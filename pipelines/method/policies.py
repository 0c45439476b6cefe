"""When to stop sampling, and what to answer (arXiv 2503.00031, section 3.4); method names as there.

A policy sees one query's samples in order, as (answer, confidence): `tally = policy.start()`, then
`tally.add(answer, c)` for each sample until it returns True (stop), then `tally.answer()`. So the
live service runs them; replay.py runs recorded samples in many orders at once, to the same ends.
The budget is the caller's: it stops adding. An unparsed sample (answer None) counts toward the
budget and never votes; ties go to the answer seen first.

To add a policy: a class with `start()`, a tally with `add` and `answer`, a line in POLICIES.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import comb
from typing import Literal, Protocol

Fallback = Literal["weighted", "best", "vote", "last"]

ROUNDING = 1e-9  # 3 votes of 5 are a share of 0.6, whatever floating point makes of it


class Tally(Protocol):
    """The state of one query."""

    def add(self, answer: str | None, confidence: float) -> bool:
        """Takes the next sample; True where the policy stops here."""
        ...

    def answer(self) -> str | None:
        """The answer from the samples so far; None while none was parsed."""
        ...


class Policy(Protocol):
    def start(self) -> Tally: ...


def _most(weights: dict[str, float]) -> str | None:
    # max keeps the first of equals, and a dict its keys in the order they were first seen.
    return max(weights, key=weights.__getitem__) if weights else None


@dataclass
class _Votes:
    """Sums of weight by answer: of 1 (a majority vote) or of confidence."""

    by_confidence: bool
    weights: dict[str, float] = field(default_factory=dict)

    def add(self, answer: str | None, confidence: float) -> bool:
        if answer is not None:
            weight = confidence if self.by_confidence else 1.0
            self.weights[answer] = self.weights.get(answer, 0.0) + weight
        return False

    def answer(self) -> str | None:
        return _most(self.weights)


@dataclass
class _Best:
    """The answer of the largest confidence."""

    best: tuple[float, str | None] = (-1.0, None)

    def add(self, answer: str | None, confidence: float) -> bool:
        if answer is not None and confidence > self.best[0]:
            self.best = (confidence, answer)
        return False

    def answer(self) -> str | None:
        return self.best[1]


@dataclass
class _Last:
    """The last sample's answer, or the last parsed one."""

    last: str | None = None

    def add(self, answer: str | None, confidence: float) -> bool:
        self.last = answer if answer is not None else self.last
        return False

    def answer(self) -> str | None:
        return self.last


@dataclass(frozen=True)
class BestOfN:
    def start(self) -> Tally:
        return _Best()


@dataclass(frozen=True)
class Voting:
    """self_consistency (votes) and sc_conf (votes weighed by confidence)."""

    by_confidence: bool

    def start(self) -> Tally:
        return _Votes(self.by_confidence)


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
            "weighted": lambda: _Votes(by_confidence=True),
            "best": _Best,
            "vote": lambda: _Votes(by_confidence=False),
            "last": _Last,
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
        return _AdaptiveTally(self, _Votes(self.by_confidence))


@dataclass
class _AdaptiveTally:
    policy: AdaptiveConsistency
    votes: _Votes
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
        return leads(int(weights[0]), int(runner_up)) >= self.policy.threshold

    def answer(self) -> str | None:
        return self.votes.answer()


def leads(leader: int, runner_up: int) -> float:
    """1 - I_{1/2}(leader + 1, runner_up + 1), which for whole numbers is a binomial sum."""
    n = leader + runner_up + 1
    return sum(comb(n, k) for k in range(leader + 1)) / 2**n


@dataclass(frozen=True)
class EarlyStoppingSC:
    """esc (Li et al. 2024): stops at a window of w equal answers, windows end to end.

    sliding: a window ends at every sample, as in the public code.
    """

    window: int
    sliding: bool = False

    def start(self) -> Tally:
        return _WindowTally(self, _Votes(by_confidence=False))


@dataclass
class _WindowTally:
    policy: EarlyStoppingSC
    votes: _Votes
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


@dataclass(frozen=True)
class PolicyFamily:
    """How to make a policy for a threshold, what that is, and whether it needs confidences.

    threshold: of a confidence, of a share (of votes or of confidence), or a window's length.
    One that needs no confidences gets NaN for them from the service, which then scores nothing.
    """

    make: Callable[[float], Policy]
    threshold: Literal["none", "confidence", "share", "window"]
    needs_confidence: bool = True


POLICIES: dict[str, PolicyFamily] = {
    "best_of_n": PolicyFamily(lambda t: BestOfN(), "none"),
    "self_consistency": PolicyFamily(lambda t: Voting(by_confidence=False), "none", False),
    "sc_conf": PolicyFamily(lambda t: Voting(by_confidence=True), "none"),
    "early_stopping": PolicyFamily(EarlyStopping, "confidence"),
    "early_stopping_best": PolicyFamily(lambda t: EarlyStopping(t, "best"), "confidence"),
    "early_stopping_vote": PolicyFamily(lambda t: EarlyStopping(t, "vote"), "confidence"),
    "early_stopping_last": PolicyFamily(lambda t: EarlyStopping(t, "last"), "confidence"),
    "asc": PolicyFamily(lambda t: AdaptiveConsistency(t, by_confidence=False), "share", False),
    "asc_beta": PolicyFamily(
        lambda t: AdaptiveConsistency(t, by_confidence=False, rule="beta"), "share", False
    ),
    "asc_conf": PolicyFamily(lambda t: AdaptiveConsistency(t, by_confidence=True), "share"),
    "esc": PolicyFamily(lambda t: EarlyStoppingSC(int(t)), "window", False),
    "esc_sliding": PolicyFamily(lambda t: EarlyStoppingSC(int(t), True), "window", False),
}


# Early stopping by what it answers where no sample was sure enough.
FALLBACKS: dict[Fallback, str] = {
    "weighted": "early_stopping",
    "vote": "early_stopping_vote",
    "best": "early_stopping_best",
    "last": "early_stopping_last",
}


@dataclass(frozen=True)
class Run:
    """One query's run over its first N samples, read at every budget 1..N.

    answers[b - 1] and samples[b - 1] are the answer and the samples used under budget b.
    """

    answers: list[str | None]
    samples: list[int]


def in_order(policy: Policy, samples: Sequence[tuple[str | None, float]]) -> Run:
    """Runs a policy over (answer, confidence) samples as they come; one pass, all budgets."""
    tally = policy.start()
    answers: list[str | None] = []
    for answer, confidence in samples:
        stop = tally.add(answer, confidence)
        answers.append(tally.answer())
        if stop:
            break
    used = len(answers)
    rest = len(samples) - used
    return Run(answers + answers[-1:] * rest, [*range(1, used + 1), *[used] * rest])
