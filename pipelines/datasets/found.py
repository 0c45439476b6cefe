"""What is found in an entry of a config's data, beside the rows that are taken."""

from collections import Counter
from dataclasses import dataclass, field

_SHOWN = 3  # refused rows of an entry whose reasons are kept


@dataclass
class Found:
    """What an entry has beside the rows that are taken, and how many these are.

    refused: rows that are wrong, the first ones with their reasons; twice: those whose question, or
    query_id, is there before; shared: those whose question an earlier role has, word for word or
    nearly, by that role; exactly: of these, those that it has word for word.
    """

    rows: int = 0
    refused: int = 0
    reasons: list[str] = field(default_factory=list)
    twice: int = 0
    shared: Counter[str] = field(default_factory=Counter)
    exactly: Counter[str] = field(default_factory=Counter)

    @property
    def overlaps(self) -> list[str]:
        """`shared`, a line a role."""
        return [
            f"{count:,} of {self.rows:,} questions are in data.{role} too, {self.exactly[role]:,} "
            "word for word, others but for case, spaces, punctuation and the order of operands"
            for role, count in self.shared.items()
        ]

    def refuse(self, reason: object) -> None:
        self.refused += 1
        if len(self.reasons) < _SHOWN:
            self.reasons.append(str(reason))
