"""One model's recorded responses as arrays: what the rest of the report computes with."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import numpy as np

from pipelines.method.answers import is_correct
from pipelines.method.metrics import Array
from pipelines.method.recalibration import FEATURES, Line, Map, Seen, line_of
from pipelines.method.replay import Recorded
from pipelines.method.token_confidences import P_TRUE, SOURCES

COLUMNS = [
    "query_id", "dataset", "role", "kind", "reference", "prompt_ids", "samples", "counters",
]  # fmt: skip
COMPUTED = ("generated_tokens", "prompt_tokens", "scored_tokens")  # not from a cache


@dataclass(frozen=True)
class Prices:
    """What a query's samples cost in computed tokens, as its counters have it. [queries] each.

    A query's samples share their prompt but for its last, unfinished block: the first sample
    computes all of it, a further one what the others of the query did on average.
    """

    first_prompt: Array
    further_prompt: Array
    generated: Array  # a sample
    scored: Array  # a response; identical ones, scored once, are billed as often as drawn

    def spent(self, samples: Array, scores: bool) -> Array:
        """Tokens of so many samples, [queries, budgets], with or without their confidences."""
        each = self.further_prompt + self.generated + (self.scored if scores else 0)
        return (self.first_prompt - self.further_prompt)[:, None] + samples * each[:, None]


@dataclass(frozen=True)
class Responses:
    """Of some queries, in the order of their ids."""

    recorded: Recorded
    prices: Prices
    tokens: float  # all that was computed for them
    seen: Seen  # what recalibration maps; P(True) as it was recorded

    @staticmethod
    def of(rows: Sequence[Mapping[str, Any]]) -> "Responses":
        """From rows of schemas.LABELS or RESPONSES, each with as many samples."""
        return Responses(
            _recorded(rows),
            _prices(rows),
            float(sum(row["counters"][key] for row in rows for key in COMPUTED)),
            _seen(rows),
        )

    def recalibrated(self, by: Map) -> "Responses":
        """The same responses with other confidences."""
        return replace(self, recorded=self.recorded._replace(confidence=by.recalibrate(self.seen)))

    def by_source(self, lines: Mapping[str, Line]) -> dict[str, Recorded]:
        """Recorded with the confidences of each source, P(True) as it is. lines: of the others."""
        others = {
            name: self.recorded._replace(confidence=line(self.seen.sources[name]))
            for name, line in lines.items()
        }
        return {P_TRUE: self.recorded} | others

    def line_of(self, source: str) -> Line:
        """To probabilities, by what is right of these responses that have an answer."""
        said = self.recorded.answers >= 0
        right = self.recorded.correct[said].astype(np.float64)
        return line_of(source, self.seen.at(said), right)

    @property
    def cut(self) -> Array:
        """Which responses hit max_tokens, as 0 or 1. [queries, samples]"""
        return self.seen.features[..., FEATURES.index("cut")]


def _recorded(rows: Sequence[Mapping[str, Any]]) -> Recorded:
    """Each answer of a query is compared with its reference once, however many samples state it;
    in threads, for those that are formulas wait for other processes."""
    stated = [list(dict.fromkeys(s["answer"] for s in row["samples"])) for row in rows]
    asked = [
        (answer, row["reference"], row["kind"])
        for row, answers in zip(rows, stated, strict=True)
        for answer in answers
    ]
    with ThreadPoolExecutor() as pool:
        verdicts = iter(list(pool.map(lambda one: is_correct(*one), asked)))
    codes, correct = [], []
    for row, answers in zip(rows, stated, strict=True):
        right = {answer: next(verdicts) for answer in answers}
        code = {answer: number for number, answer in enumerate(answers)} | {None: -1}
        codes.append([code[s["answer"]] for s in row["samples"]])
        correct.append([right[s["answer"]] for s in row["samples"]])
    confidence = [[s["p_true"] for s in row["samples"]] for row in rows]
    return Recorded(
        np.array(codes, dtype=np.int64), np.array(confidence, dtype=np.float64), np.array(correct)
    )


def _seen(rows: Sequence[Mapping[str, Any]]) -> Seen:
    def column(take: Callable[[Mapping[str, Any]], Any]) -> Array:
        return np.array([[take(one) for one in row["samples"]] for row in rows], dtype=np.float64)

    prompt = [[len(row["prompt_ids"])] * len(row["samples"]) for row in rows]
    seen = Seen.of(
        column(lambda one: one["p_true"]),
        column(lambda one: one["mass"]),
        column(lambda one: one["num_tokens"]),
        prompt,
        column(lambda one: one["finish_reason"] == "length"),
    )
    recorded = [name for name in SOURCES if all(name in one for one in _samples(rows))]
    sources = {name: SOURCES[name].surer * column(itemgetter(name)) for name in recorded}
    return seen._replace(sources={name: _known(values) for name, values in sources.items()})


def _samples(rows: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    return (one for row in rows for one in row["samples"])


def _known(values: Array) -> Array:
    """A response without a token, of which nothing is known, is as unsure as the least sure one."""
    known = values[~np.isnan(values)]
    return np.where(np.isnan(values), known.min() if known.size else 0.0, values)


def _prices(rows: Sequence[Mapping[str, Any]]) -> Prices:
    counters = [row["counters"] for row in rows]
    samples = np.array([len(row["samples"]) for row in rows], dtype=np.float64)
    prompt = np.array([c["prompt_tokens"] for c in counters], dtype=np.float64)
    first = np.minimum(prompt, [len(row["prompt_ids"]) for row in rows])
    scores = np.array([max(1, c["scored_responses"]) for c in counters], dtype=np.float64)
    return Prices(
        first,
        (prompt - first) / np.maximum(1, samples - 1),
        np.array([c["generated_tokens"] for c in counters]) / samples,
        np.array([c["scored_tokens"] for c in counters]) / scores,
    )
