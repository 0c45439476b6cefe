"""What the report answers, and by which intervals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

_BETTER = {"auroc": 1, "wqd": 1, "brier": -1, "ece_debiased": -1, "saved": 1}  # by its sign
FEW = 10  # queries over which a bootstrap knows too little of their spread

Verdict = Literal["yes", "no", "not shown", "in part"]


@dataclass(frozen=True)
class Answer:
    """A verdict is yes or no where a whole 95% interval says so, over FEW queries or more."""

    question: str
    verdict: Verdict
    told: str  # how much, and how sure

    @property
    def line(self) -> str:
        return f"{self.question} {self.verdict.capitalize()}. {self.told}"


def overall(sides: Iterable[int]) -> Verdict:
    """Yes where some are better and none is worse. sides: those of differences."""
    found = set(sides) - {0}
    if not found:
        return "not shown"
    return "in part" if len(found) > 1 else "yes" if found == {1} else "no"


def side(difference: Mapping[str, Any], key: str) -> int:
    """1 where a whole interval is better, -1 where it is worse, 0 where it holds 0."""
    return {"yes": 1, "no": -1}.get(over_zero(difference["ci95"]), 0) * _BETTER[key]


def over_zero(interval: Sequence[float] | None) -> Verdict:
    """Whether something is over 0."""
    if interval is None or interval[0] <= 0 <= interval[1]:
        return "not shown"
    return "yes" if interval[0] > 0 else "no"
