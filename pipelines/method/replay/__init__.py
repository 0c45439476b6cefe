"""Policies replayed from recorded samples, averaged over many random orders of them.

Samples of a query are exchangeable: any order of them might have been drawn. One order decides too
much (SC's accuracy moves by .03 with it), so figures are means over seeded orders, of all queries
at once; best_of_n's are exact. On a given order the answers and the samples used are those of the
tallies in method/policies, to the last rounding.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from pipelines.method.policies import BestOfN, Policy, in_order
from pipelines.method.replay.draws import Array, Draws, Flags, Integers, Recorded
from pipelines.method.replay.rules import Rule, rule

__all__ = [
    "Array", "Flags", "Integers", "Outcome", "Recorded", "Replayed",
    "as_recorded", "best_of_n", "in_orders", "orders_of", "replay",
]  # fmt: skip

_AT_ONCE = 2**19  # samples in all orders, of the queries that are replayed together


class Replayed(NamedTuple):
    """Means over orders, under budgets of 1 to N samples; each [queries, budgets]."""

    right: Array  # the share of orders in which the policy's answer is right; no answer is wrong
    samples: Array  # used


class Outcome(NamedTuple):
    """Of single runs at the full budget; each [queries], but for right_after.

    right_after: [samples, queries], after each sample, had it not stopped before; None of a policy
    that has no rule in rules.py, for its tally does not tell what it would have gone on to.
    """

    stopped: Flags  # by the policy itself, at the last sample too
    right: Flags
    samples: Integers  # used
    right_after: Flags | None


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
    draws = Draws(recorded, order)
    return [_replayed(policy, draws) for policy in policies]


def as_recorded(policies: Sequence[Policy], recorded: Recorded) -> list[Outcome]:
    """Each policy's run over the samples of each query as they were recorded, in that one order."""
    draws = Draws(recorded, np.arange(recorded.answers.shape[1])[None])
    return [_outcome(policy, draws) for policy in policies]


def _replayed(policy: Policy, draws: Draws) -> Replayed:
    found = rule(policy, draws)
    return _by_tallies(policy, draws) if found is None else _means(found)


def _means(of: Rule) -> Replayed:
    samples, queries, _ = of.so_far.shape
    if not of.stops.any():
        budgets = np.arange(1.0, samples + 1)
        return Replayed(of.so_far.mean(2).T, np.tile(budgets, (queries, 1)))
    over, held = _held(of)
    right = (over & held) | (~over & of.so_far)
    goes_on = np.ones((samples, queries))
    goes_on[1:] = 1 - over[:-1].mean(2)
    return Replayed(right.mean(2).T, np.cumsum(goes_on, axis=0).T)


def _held(of: Rule) -> tuple[Flags, Flags]:
    """Whether it has stopped by each sample [samples, queries, orders], and whether its answer is
    right where it stops [1, queries, orders]."""
    over = np.logical_or.accumulate(of.stops, axis=0)
    first = np.minimum((~over).sum(0, dtype=np.int64), len(over) - 1)
    return over, np.take_along_axis(of.at_stop, first[None], axis=0)


def _by_tallies(policy: Policy, draws: Draws) -> Replayed:
    """Any policy, one order after the other."""
    samples, queries, orders = draws.answers.shape
    right, used = np.zeros((2, queries, orders, samples))
    for query in range(queries):
        for order in range(orders):
            pairs, verdict = _samples(draws, query, order)
            run = in_order(policy, pairs)
            right[query, order] = [verdict.get(answer, False) for answer in run.answers]
            used[query, order] = run.samples
    return Replayed(right.mean(1), used.mean(1))


def _outcome(policy: Policy, draws: Draws) -> Outcome:
    found = rule(policy, draws)
    if found is None:
        return _outcome_by_tallies(policy, draws)
    over, held = (one[..., 0] for one in _held(found))
    so_far = found.so_far[..., 0]
    used = np.minimum(len(over), 1 + (~over).sum(0))
    return Outcome(over[-1], np.where(over[-1], held[0], so_far[-1]), used, so_far)


def _outcome_by_tallies(policy: Policy, draws: Draws) -> Outcome:
    """One query after the other."""
    rows = []
    for query in range(draws.answers.shape[1]):
        samples, verdict = _samples(draws, query, 0)
        tally = policy.start()
        used = next((n for n, one in enumerate(samples, 1) if tally.add(*one)), None)
        is_right = verdict.get(tally.answer(), False)
        rows.append((used is not None, is_right, used or len(samples)))
    stopped, right, used_each = map(np.array, zip(*rows, strict=True))
    return Outcome(stopped, right, used_each, None)


def _samples(
    draws: Draws, query: int, order: int
) -> tuple[list[tuple[str | None, float]], dict[str | None, bool]]:
    """A query's (answer, confidence) in an order, and whether each answer is right."""
    at = np.s_[:, query, order]
    answers = [None if a < 0 else str(a) for a in draws.answers[at].tolist()]
    verdict = dict(zip(answers, draws.correct[at].tolist(), strict=True))
    return list(zip(answers, draws.confidence[at].tolist(), strict=True)), verdict


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
