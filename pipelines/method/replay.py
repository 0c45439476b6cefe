"""Policies replayed from recorded samples, averaged over many random orders of them.

Samples of a query are exchangeable: any order of them might have been drawn. One order decides too
much (SC's accuracy moves by .03 with it), so figures are means over seeded orders, of all queries
at once; best_of_n's are exact. On a given order the answers and the samples used are those of the
tallies in policies.py, to the last rounding.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipelines.method.policies import (
    ROUNDING,
    AdaptiveConsistency,
    BestOfN,
    EarlyStopping,
    EarlyStoppingSC,
    Policy,
    Voting,
    in_order,
    leads,
)

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
T = TypeVar("T", bound=np.generic)

_AT_ONCE = 2**19  # samples in all orders, of the queries that are replayed together


class Recorded(NamedTuple):
    """The samples of queries; each [queries, samples]."""

    answers: Integers  # of a query, equal numbers for equal answers, from 0 on; -1 for none
    confidence: Array
    correct: Flags  # false where there is no answer

    def of(self, queries: Any) -> "Recorded":
        """Those of some queries: a slice, or their places."""
        return Recorded(self.answers[queries], self.confidence[queries], self.correct[queries])


class Replayed(NamedTuple):
    """Means over orders, under budgets of 1 to N samples; each [queries, budgets]."""

    right: Array  # the share of orders in which the policy's answer is right; no answer is wrong
    samples: Array  # used


def replay(
    policies: Sequence[Policy], recorded: Recorded, orders: int, seed: int
) -> list[Replayed]:
    """Each policy in the same orders; asked for together, they share most of the work.

    orders: at least so many; see `orders_of`.
    """
    order = orders_of(recorded.answers.shape[1], orders, seed)
    a_part = max(1, _AT_ONCE // order.size)
    parts = [
        recorded.of(slice(start, start + a_part))
        for start in range(0, len(recorded.answers), a_part)
    ]
    in_order_only = [policy for policy in policies if not isinstance(policy, BestOfN)]
    with ThreadPoolExecutor() as threads:  # numpy leaves Python's lock in what takes long
        done = list(threads.map(lambda part: in_orders(in_order_only, part, order), parts))
    found = (
        Replayed(*map(np.concatenate, zip(*of, strict=True))) for of in zip(*done, strict=True)
    )
    return [
        best_of_n(recorded) if isinstance(policy, BestOfN) else next(found) for policy in policies
    ]


def orders_of(samples: int, orders: int, seed: int) -> Integers:
    """Orders [at least `orders`, samples] of a query's samples, the same for all queries.

    Latin squares: every sample is in every place equally often, so that at a budget of one means
    are exact, and at others they vary less than over as many independent orders. The places are
    shuffled: in orders that are mere rotations the same sample would follow another in all of them,
    and what stops at the first sure sample, or at equal ones in a row, would hang on few neighbors.
    """
    rng = np.random.default_rng(seed)
    sample = np.arange(samples)[:, None]
    return np.concatenate(
        [
            (sample + rng.permutation(samples)) % samples
            for _ in range(max(1, -(-orders // samples)))
        ]
    )


def in_orders(policies: Sequence[Policy], recorded: Recorded, order: Integers) -> list[Replayed]:
    """As `replay`, in these orders [orders, samples], and of best_of_n too."""
    draws = _Draws(recorded, order)
    return [_replayed(policy, draws) for policy in policies]


class _Leader(NamedTuple):
    """The answer that leads after each sample, by votes or by confidence.

    Each [samples, queries, orders].
    """

    right: Flags
    weight: NDArray[np.number]
    second: NDArray[np.number]  # the weight of the next one
    total: NDArray[np.number]


class _Draws:
    """Samples in their orders, and what policies make of them; [samples, queries, orders]."""

    def __init__(self, recorded: Recorded, order: Integers):
        self.answers = _drawn(recorded.answers, order)
        self.confidence = _drawn(recorded.confidence, order)
        self.correct = _drawn(recorded.correct, order)
        self.parsed: Flags = self.answers >= 0

    @cached_property
    def votes(self) -> _Leader:
        return self._leader(self.parsed.astype(np.int16))

    @cached_property
    def weighted(self) -> _Leader:
        return self._leader(np.where(self.parsed, self.confidence, 0.0))

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

    def _leader(self, gain: NDArray[Any]) -> _Leader:
        """gain: of the weight of each sample's answer. Weights only grow, so after it the last
        leader leads, or the sample's own answer."""
        samples, queries, orders = gain.shape
        made = _Leader(np.zeros(gain.shape, dtype=bool), *(np.empty_like(gain) for _ in range(3)))
        places = int(self.answers.max(initial=0)) + 2  # the last one takes what has no answer
        row = (np.arange(queries * orders) * places).reshape(queries, orders)
        weights = np.zeros(row.size * places, dtype=gain.dtype)
        first_seen = np.full(row.size * places, samples, dtype=np.int16)
        leader = row + places - 1
        right = np.zeros(row.shape, dtype=bool)
        lead, second, total = np.zeros((3, *row.shape), dtype=gain.dtype)
        for t in range(samples):
            parsed = self.parsed[t]
            answer = row + np.where(parsed, self.answers[t], places - 1)
            seen = np.minimum(first_seen[answer], t)
            first_seen[answer] = np.where(parsed, seen, samples)
            own = weights[answer] + gain[t]
            weights[answer] = own
            total = total + gain[t]
            same = answer == leader
            passes = (own > lead) | ((own == lead) & (seen < first_seen[leader]))
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


def _replayed(policy: Policy, draws: _Draws) -> Replayed:
    match policy:
        case BestOfN():
            return _means(draws.best)
        case Voting():
            return _means((draws.weighted if policy.by_confidence else draws.votes).right)
        case EarlyStopping():
            sure = draws.parsed & (draws.confidence >= policy.threshold)
            return _means(_fallback(policy, draws), sure, draws.correct)
        case AdaptiveConsistency():
            votes = draws.weighted if policy.by_confidence else draws.votes
            return _means(votes.right, _ahead(policy, votes, draws), votes.right)
        case EarlyStoppingSC():
            return _means(draws.votes.right, _agreed(policy, draws.answers), draws.correct)
    return _by_tallies(policy, draws)


def _fallback(policy: EarlyStopping, draws: _Draws) -> Flags:
    match policy.fallback:
        case "weighted":
            return draws.weighted.right
        case "vote":
            return draws.votes.right
        case "best":
            return draws.best
        case "last":
            return draws.last


def _ahead(policy: AdaptiveConsistency, votes: _Leader, draws: _Draws) -> Flags:
    """Where one answer leads by so much that sampling stops."""
    enough: Flags = np.cumsum(draws.parsed, axis=0, dtype=np.int16) >= 2
    if policy.rule == "share":
        with np.errstate(invalid="ignore"):  # of nothing at all
            return enough & (votes.weight / votes.total >= policy.threshold - ROUNDING)
    most = len(enough) + 1
    sure = [[b <= a and leads(a, b) >= policy.threshold for b in range(most)] for a in range(most)]
    return enough & np.array(sure)[votes.weight, votes.second]


def _agreed(policy: EarlyStoppingSC, answers: Integers) -> Flags:
    """Where a window of equal answers ends."""
    equal = answers >= 0
    for back in range(1, policy.window):
        equal[back:] &= answers[back:] == answers[:-back]
        equal[:back] = False
    if not policy.sliding:
        equal &= (np.arange(1, len(answers) + 1) % policy.window == 0)[:, None, None]
    return equal


def _means(so_far: Flags, stops: Flags | None = None, at_stop: Flags | None = None) -> Replayed:
    """so_far: whether the answer after each sample is right, were sampling to end there; stops:
    where the policy ends it; at_stop: whether its answer is right there. [samples, queries,
    orders]."""
    samples, queries, _ = so_far.shape
    if stops is None or at_stop is None:
        budgets = np.arange(1.0, samples + 1)
        return Replayed(so_far.mean(2).T, np.tile(budgets, (queries, 1)))
    over = np.logical_or.accumulate(stops, axis=0)
    first = np.minimum((~over).sum(0, dtype=np.int16), samples - 1)
    held = np.take_along_axis(at_stop, first[None].astype(np.int64), axis=0)
    right = (over & held) | (~over & so_far)
    goes_on = np.ones((samples, queries))
    goes_on[1:] = 1 - over[:-1].mean(2)
    return Replayed(right.mean(2).T, np.cumsum(goes_on, axis=0).T)


def _by_tallies(policy: Policy, draws: _Draws) -> Replayed:
    """Any policy, one order after the other."""
    samples, queries, orders = draws.answers.shape
    right, used = np.zeros((2, queries, orders, samples))
    for query in range(queries):
        for order in range(orders):
            at = np.s_[:, query, order]
            answers = [None if a < 0 else str(a) for a in draws.answers[at].tolist()]
            verdict = dict(zip(answers, draws.correct[at].tolist(), strict=True))
            run = in_order(policy, list(zip(answers, draws.confidence[at].tolist(), strict=True)))
            right[query, order] = [verdict.get(answer, False) for answer in run.answers]
            used[query, order] = run.samples
    return Replayed(right.mean(1), used.mean(1))


def best_of_n(recorded: Recorded) -> Replayed:
    """Exact, over all orders: equally confident samples are equally likely to come first.

    Of S samples, b drawn at random hold none of m given ones in C(S - m, b) of C(S, b) cases. A
    group of g equally confident samples, with m more confident ones, decides where the b hold none
    of the m, but one of the m + g.
    """
    queries, samples = recorded.answers.shape
    budgets = np.arange(1.0, samples + 1)
    none_of = np.ones((samples + 1, samples))
    for m in range(1, samples + 1):
        left = samples - m + 1
        none_of[m] = none_of[m - 1] * np.maximum(0, left - budgets) / left
    right = np.empty((queries, samples))
    parsed = recorded.answers >= 0
    for query in range(queries):
        c = np.where(parsed[query], recorded.confidence[query], -1.0)
        _, place, size = np.unique(-c, return_inverse=True, return_counts=True)
        more = (np.cumsum(size) - size)[place]
        decides = (none_of[more] - none_of[more + size[place]]) / size[place][:, None]
        right[query] = (recorded.correct[query] & parsed[query]) @ decides
    return Replayed(right, np.tile(budgets, (queries, 1)))
