"""What a policy is, and what runs one: a tally that sees one query's samples in order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pipelines.method.token_confidences import P_TRUE

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


@dataclass(frozen=True)
class PolicyFamily:
    """How to make a policy for a threshold, what that is, and whether it needs confidences.

    make: also takes what is `fitted`, by name. threshold: of a confidence, of a share (of votes, of
    confidence or of a posterior), or a window's length. One that needs no confidences gets NaN for
    them from the service, which then scores nothing. fitted: parameters that calibration queries
    set (method/fitting.py). source: of its confidences, P_TRUE or one of token_confidences.SOURCES,
    of which a line that calibration queries set makes probabilities (method/recalibration.py).
    """

    make: Callable[..., Policy]
    threshold: Literal["none", "confidence", "share", "window"]
    needs_confidence: bool = True
    fitted: tuple[str, ...] = ()
    source: str = P_TRUE

    @property
    def scored(self) -> bool:
        """Whether samples are scored for it."""
        return self.needs_confidence and self.source == P_TRUE

    @property
    def own_tokens(self) -> bool:
        """Whether its confidences lie in a response's own tokens."""
        return self.needs_confidence and self.source != P_TRUE


def leader(weights: dict[str, float], apart: float = 0.0) -> str | None:
    """The answer of the largest weight; of those that are not further apart, the one seen first.

    weights: by answer, in the order in which they were first seen.
    """
    if not weights:
        return None
    enough = max(weights.values()) - apart
    return next(answer for answer, weight in weights.items() if weight >= enough)


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
