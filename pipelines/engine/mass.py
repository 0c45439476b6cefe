"""Whether the model replies Yes or No at all: the mass of both, mean of an engine's first scores.

P(True) is read for the first token of a reply. A chat template whose reply starts elsewhere (after
a header, a think block, a line end) has another token there, and every confidence is noise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RESPONSES = 64  # scored ones, of some queries: one alone may be answered otherwise
# SmolLM2-135M, which replies "The" as often, has about half (jobs.inspect).
LEAST = 0.01


def near_zero(mean: float, responses: int) -> str | None:
    """What to tell where the mean mass of so many responses is under LEAST, or no number."""
    if not responses or mean >= LEAST:
        return None
    return (
        f"confidence: the reply to the confidence turn starts with Yes or No with a probability of "
        f"{mean:.1e} (mean of {responses:,} responses, {LEAST} is the least), so P(True) is noise; "
        "look at how a reply starts in the chat template of model.source, and at "
        "confidence.question"
    )


@dataclass
class MassCheck:
    """Of one engine: its first RESPONSES scores, as queries end."""

    scored_responses: int = 0
    mass: float = 0.0

    def add(self, counters: Mapping[str, Any]) -> str | None:
        """Takes a query's counters; returns what to tell once there are enough, and then never."""
        if self.scored_responses >= RESPONSES:
            return None
        self.scored_responses += counters["scored_responses"]
        self.mass += counters["mass"]
        if self.scored_responses < RESPONSES:
            return None
        return near_zero(self.mass / self.scored_responses, self.scored_responses)
