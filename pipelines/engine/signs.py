"""What the samples of a data set say of its config: that most are cut, or unread, and the like.

A run whose samples tell nothing goes on to train on them all the same; so this is told beside them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.method.answers import is_correct

MOST = 0.5  # share of the responses from which on something is told
FEW, NEARLY_ALL = 0.02, 0.98  # shares of right ones
CHANCE = 1.5  # times the agreement of answers that all differ
_ENOUGH = 4  # answers to a query for its agreement to count
_GRADED = 200  # queries of kind math whose answers are graded: a comparison takes milliseconds


def votes(samples: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """How many of a query's samples have each answer; those without one are left out."""
    return Counter(one["answer"] for one in samples if one["answer"] is not None)


@dataclass
class Signs:
    """Sums over the label rows (schemas.LABELS) of one data set.

    right, graded: samples; agreement, by_chance: the share of a query's most frequent answer among
    its answers, and what it were if they all differed, each summed over `agreeing` queries.
    """

    queries: int = 0
    samples: int = 0
    cut: int = 0  # at max_tokens
    unparsed: int = 0
    right: int = 0
    graded: int = 0
    agreement: float = 0.0
    by_chance: float = 0.0
    agreeing: int = 0

    def add(self, row: Mapping[str, Any]) -> None:
        samples = row["samples"]
        answers = votes(samples)
        self.queries += 1
        self.samples += len(samples)
        self.cut += sum(one["finish_reason"] == "length" for one in samples)
        self.unparsed += len(samples) - answers.total()
        if row["kind"] != "math" or self.queries <= _GRADED:
            self.graded += len(samples)
            self.right += sum(
                count
                for answer, count in answers.items()
                if is_correct(answer, row["reference"], row["kind"])
            )
        if answers.total() >= _ENOUGH:
            self.agreeing += 1
            self.agreement += max(answers.values()) / answers.total()
            self.by_chance += 1 / answers.total()

    @property
    def figures(self) -> dict[str, float]:
        """Shares of the responses and, where queries have several answers, their agreement."""
        agreement = {"agreement": self.agreement / self.agreeing} if self.agreeing else {}
        return {
            "cut": self.cut / max(1, self.samples),
            "unparsed": self.unparsed / max(1, self.samples),
            "accuracy": self.right / max(1, self.graded),
            **agreement,
        }

    @property
    def warnings(self) -> list[str]:
        """What is likely to be wrong, with its figure and what to do, a line each."""
        found = self.figures
        lines = []
        if found["cut"] >= MOST:
            lines.append(
                f"{found['cut']:.0%} of the responses were cut at sampling.max_tokens, many before "
                "they answer: raise it, or ask for short answers"
            )
        if found["unparsed"] >= MOST:
            lines.append(
                f"{found['unparsed']:.0%} of the responses have no answer that is read, so they "
                "neither vote nor train: ask for one that is marked, as 'Answer: 7', and see that "
                "`kind` is meant"
            )
        if found["accuracy"] <= FEW:
            lines.append(
                f"{found['accuracy']:.1%} of the responses are right, so agreement is on what is "
                "wrong: see that references are read as they are meant (python -m jobs.inspect "
                "--data CONFIG), or take easier questions or a better model"
            )
        if found["accuracy"] >= NEARLY_ALL:
            lines.append(
                f"{found['accuracy']:.1%} of the responses are right, so there is nothing to tell "
                "from right ones: take harder questions"
            )
        if self.agreeing and self.agreement <= CHANCE * self.by_chance:
            chance = self.by_chance / self.agreeing
            lines.append(
                f"the commonest answer has {found['agreement']:.0%} of a query's answers, hardly "
                f"more than if all differed ({chance:.0%}): see that `kind` compares them as it is "
                "meant, or lower sampling.temperature"
            )
        return lines
