"""Recorded samples in their orders, and which answer leads after each of them."""

from functools import cache, cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipelines.method.beta import weights_lead_each
from pipelines.method.policies import ROUNDING, SURE, ReliabilityAware
from pipelines.method.policies.evidence import ENOUGH

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
T = TypeVar("T", bound=np.generic)


class Recorded(NamedTuple):
    """The samples of queries; each [queries, samples]."""

    answers: Integers  # of a query, equal numbers for equal answers, from 0 on; -1 for none
    confidence: Array
    correct: Flags  # false where there is no answer

    def of(self, queries: Any) -> "Recorded":
        """Those of some queries: a slice, or their places."""
        return Recorded(self.answers[queries], self.confidence[queries], self.correct[queries])


class Leader(NamedTuple):
    """The answer that leads after each sample, by votes or by confidence.

    Each [samples, queries, orders].
    """

    right: Flags
    weight: NDArray[np.number]
    second: NDArray[np.number]  # the weight of the next one
    total: NDArray[np.number]


class Draws:
    """Samples in their orders, and what policies make of them; [samples, queries, orders]."""

    def __init__(self, recorded: Recorded, order: Integers):
        self.answers = _drawn(recorded.answers, order)
        self.confidence = _drawn(recorded.confidence, order)
        self.correct = _drawn(recorded.correct, order)
        self.parsed: Flags = self.answers >= 0
        # What several policies look at, for as long as these draws are.
        self.by_softmax, self.by_reliability = cache(self._by_softmax), cache(self._by_reliability)

    @cached_property
    def votes(self) -> Leader:
        return self._leader(self.parsed.astype(np.int16))

    @cached_property
    def weighted(self) -> Leader:
        return self._leader(np.where(self.parsed, self.confidence, 0.0))

    def _by_softmax(self, temperature: float) -> Flags:
        """Whether the leader by weights of softmax(c / T) is right."""
        logs = np.where(self.parsed, self.confidence / temperature, -np.inf)
        return self._leader(logs, np.logaddexp, -np.inf, ROUNDING).right

    def _by_reliability(self, policy: ReliabilityAware) -> tuple[Flags, Flags]:
        """Whether the leader by its weights is right, and where these are enough to stop: up to the
        first such place, for no later one counts. The threshold has no part in it."""
        weight = np.where(self.parsed, policy.weight(self.confidence), 0.0)
        votes = self._leader(weight, apart=ROUNDING)
        enough = np.zeros_like(self.parsed)
        goes_on = np.arange(enough[0].size)
        for t in range(1, len(enough)):
            sure = weights_lead_each(votes.weight[t].flat[goes_on], votes.second[t].flat[goes_on])
            there = sure >= ENOUGH - ROUNDING
            enough[t].flat[goes_on[there]] = True
            goes_on = goes_on[~there]
        return votes.right, enough

    @cached_property
    def posterior(self) -> tuple[Flags, Array]:
        """Whether the likeliest answer (ConfidenceGuided) is right, and its posterior mass; -1
        while there is none.

        Odds fall as well as rise, and with each new answer those of all change, so that all answers
        are looked at after every sample.
        """
        c = np.clip(self.confidence, SURE, 1 - SURE)
        gain = np.log(c) - np.log1p(-c)
        samples, queries, orders = gain.shape
        row = np.indices((queries, orders))
        places = int(self.answers.max(initial=0)) + 2  # the last one takes what has no answer
        odds = np.zeros((places, queries, orders))
        seen = np.full(odds.shape, samples, dtype=np.int16)
        votes, correct = np.zeros(odds.shape), np.zeros(odds.shape, dtype=bool)
        right, mass = np.zeros(gain.shape, dtype=bool), np.zeros(gain.shape)
        for t in range(samples):
            at = (np.where(self.parsed[t], self.answers[t], places - 1), *row)
            odds[at] += gain[t]
            votes[at] += 1
            seen[at] = np.minimum(seen[at], t)
            correct[at] = self.correct[t]
            known = votes[:-1] > 0
            count = known.sum(0)
            others = np.log(np.maximum(1, count))
            against = np.where(known, odds[:-1] + votes[:-1] * others, -np.inf)
            most = against.max(0)
            first = np.where(known & (against >= most - ROUNDING), seen[:-1], samples)
            lead = first.argmin(0)[None]
            top = np.maximum(most, 0.0)
            total = np.exp(-top) + np.exp(against - top).sum(0)
            mass[t] = np.where(count > 0, np.exp(most - top) / total, -1.0)
            right[t] = np.take_along_axis(correct, lead, 0)[0] & (count > 0)
        return right, mass

    @cached_property
    def best(self) -> Flags:
        """Whether the answer of the largest confidence so far is right."""
        confidence = np.where(self.parsed, self.confidence, -1.0)
        return self._latest(confidence > self._most_before(confidence))

    @cached_property
    def last(self) -> Flags:
        """Whether the last answer so far is right."""
        return self._latest(self.parsed)

    @staticmethod
    def _most_before(values: Array) -> Array:
        before = np.full_like(values, -1.0)
        np.maximum.accumulate(values[:-1], axis=0, out=before[1:])
        return before

    def _latest(self, taken: Flags) -> Flags:
        """Whether the sample that was taken last, up to each, is right."""
        right = self.correct & taken
        for t in range(1, len(right)):
            right[t] |= right[t - 1] & ~taken[t]
        return right

    def _leader(
        self,
        gain: NDArray[Any],
        add: np.ufunc = np.add,
        nothing: float = 0,
        apart: float = 0,
    ) -> Leader:
        """gain: of the weight of each sample's answer. Weights only grow, so after it the last
        leader leads, or the sample's own answer.

        add: how weights do, from `nothing` on. apart: weights that are no further apart are equal.
        """
        samples, queries, orders = gain.shape
        made = Leader(np.zeros(gain.shape, dtype=bool), *(np.empty_like(gain) for _ in range(3)))
        places = int(self.answers.max(initial=0)) + 2  # the last one takes what has no answer
        row = (np.arange(queries * orders) * places).reshape(queries, orders)
        weights = np.full(row.size * places, nothing, dtype=gain.dtype)
        first_seen = np.full(row.size * places, samples, dtype=np.int16)
        leader = row + places - 1
        right = np.zeros(row.shape, dtype=bool)
        lead, second, total = np.full((3, *row.shape), nothing, dtype=gain.dtype)
        for t in range(samples):
            parsed = self.parsed[t]
            answer = row + np.where(parsed, self.answers[t], places - 1)
            seen = np.minimum(first_seen[answer], t)
            first_seen[answer] = np.where(parsed, seen, samples)
            own = add(weights[answer], gain[t])
            weights[answer] = own
            total = add(total, gain[t])
            same = answer == leader
            passes = (own > lead + apart) | ((own >= lead - apart) & (seen < first_seen[leader]))
            passes &= parsed & ~same
            second = np.where(passes, lead, np.where(same, second, np.maximum(second, own)))
            lead = np.where(passes | (same & parsed), own, lead)
            leader = np.where(passes, answer, leader)
            right = np.where(passes, self.correct[t], right)
            for kept, now in zip(made, (right, lead, second, total), strict=True):
                kept[t] = now
        return made


def _drawn(column: NDArray[T], order: Integers) -> NDArray[T]:
    return np.ascontiguousarray(column[:, order].transpose(2, 0, 1))
