"""A lower threshold: an end to sampling where more of it will hardly help."""

from dataclasses import dataclass, field
from typing import Any

from pipelines.method.policies.base import ROUNDING, Policy, Tally
from pipelines.method.policies.votes import Votes


@dataclass(frozen=True)
class GivingUp:
    """A policy that also stops after `after` samples if their answers are too far apart: fewer than
    `below` of these samples agree on the leading answer.

    Votes, whatever the policy itself weighs; a sample without an answer agrees with none.
    """

    policy: Policy
    after: int
    below: float

    def start(self) -> "GivingUpTally":
        return GivingUpTally(self, self.policy.start())

    def gives_up(self, most_votes: Any) -> Any:
        """Whether so many votes are too few: of a number a bool, of an array one of flags."""
        return most_votes / self.after < self.below - ROUNDING


@dataclass
class GivingUpTally:
    policy: GivingUp
    tally: Tally
    votes: Votes = field(default_factory=lambda: Votes(by_confidence=False))
    seen: int = 0
    gave_up: bool = False

    def add(self, answer: str | None, confidence: float) -> bool:
        self.seen += 1
        self.votes.add(answer, confidence)
        if self.tally.add(answer, confidence):
            return True
        if self.seen == self.policy.after:
            self.gave_up = self.policy.gives_up(max(self.votes.weights.values(), default=0.0))
        return self.gave_up

    def answer(self) -> str | None:
        return self.tally.answer()
