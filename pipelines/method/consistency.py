"""Soft Self-Consistency labels (arXiv 2503.00031, section 3.2); numbers in, numbers out."""

from collections import defaultdict
from collections.abc import Sequence


def soft_self_consistency(
    answers: Sequence[str | None], confidences: Sequence[float]
) -> list[float | None]:
    """SSC(y_i) = sum of c_j over the j with y_j = y_i, over the sum of all c_j.

    answers: canonical answers of one query's responses, None where none was found; equality of
    answers is equality of strings. confidences: P(True) in [0, 1], one for each answer.
    Returns a label in [0, 1] for each response; None where the response has no answer (it
    votes for nothing either), and for all where the answered ones have no confidence at all.
    """
    votes: dict[str, float] = defaultdict(float)
    for answer, confidence in zip(answers, confidences, strict=True):
        if answer is not None:
            votes[answer] += confidence
    total = sum(votes.values())
    if total <= 0:
        return [None] * len(answers)
    return [None if a is None else min(votes[a] / total, 1.0) for a in answers]


def self_consistency(answers: Sequence[str | None]) -> list[float | None]:
    """The share of votes of each response's answer: SSC with all confidences equal."""
    return soft_self_consistency(answers, [1.0] * len(answers))


def training_targets(
    answers: Sequence[str | None], confidences: Sequence[float], kind: str
) -> list[float | None]:
    """What a response's confidence is trained towards: `ssc`, or an ablation's target.

    kind: `ssc`; `vote`, hard self-consistency; `p_true`, the model's own confidence.
    """
    if kind == "vote":
        return self_consistency(answers)
    if kind == "p_true":
        return [None if a is None else c for a, c in zip(answers, confidences, strict=True)]
    return soft_self_consistency(answers, confidences)
