"""Policies of a fixed number of samples, and what others answer with that stop before."""

from dataclasses import dataclass, field
from math import exp, log1p

from pipelines.method.policies.base import ROUNDING, Tally, leader


@dataclass
class Votes:
    """Sums of weight by answer: of 1 (a majority vote) or of confidence."""

    by_confidence: bool
    weights: dict[str, float] = field(default_factory=dict)

    def add(self, answer: str | None, confidence: float) -> bool:
        if answer is not None:
            weight = confidence if self.by_confidence else 1.0
            self.weights[answer] = self.weights.get(answer, 0.0) + weight
        return False

    def answer(self) -> str | None:
        return leader(self.weights)


@dataclass
class Best:
    """The answer of the largest confidence."""

    best: tuple[float, str | None] = (-1.0, None)

    def add(self, answer: str | None, confidence: float) -> bool:
        if answer is not None and confidence > self.best[0]:
            self.best = (confidence, answer)
        return False

    def answer(self) -> str | None:
        return self.best[1]


@dataclass
class Last:
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
        return Best()


@dataclass(frozen=True)
class Voting:
    """self_consistency (votes) and sc_conf (votes weighed by confidence)."""

    by_confidence: bool

    def start(self) -> Tally:
        return Votes(self.by_confidence)


@dataclass(frozen=True)
class ConfidenceInformedSC:
    """cisc (Taubenfeld et al. 2025, arXiv 2502.06233): votes weighed by softmax(c / T).

    The softmax is over the query's parsed samples so far, as in the public code. T -> inf is the
    majority, T -> 0 the most confident sample. T is fitted on calibration queries; the default is
    the paper's ablation without it.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature: {self.temperature} is not over 0")

    def start(self) -> Tally:
        return _SoftmaxTally(self.temperature)


@dataclass
class _SoftmaxTally:
    """logs: of each answer's sum of exp(c / T); the softmax's denominator changes no comparison."""

    temperature: float
    logs: dict[str, float] = field(default_factory=dict)

    def add(self, answer: str | None, confidence: float) -> bool:
        if answer is not None:
            one = confidence / self.temperature
            before = self.logs.get(answer)
            if before is not None:
                one = max(one, before) + log1p(exp(-abs(one - before)))
            self.logs[answer] = one
        return False

    def answer(self) -> str | None:
        return leader(self.logs, ROUNDING)
