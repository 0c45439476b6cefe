"""Thresholds with a guarantee: Learn then Test (Angelopoulos et al. 2021, arXiv 2110.01052).

Two things can be promised of a policy that stops early, each with confidence 1 - delta:
  max_error: of the queries where it stops, at most so large a share is answered wrongly;
  max_loss: at most so large a share of all queries loses a right answer by stopping, against the
    same policy with all N samples. So much accuracy is lost at most, for what stopping gains is not
    set against it.

The promise holds for queries that are exchangeable with the calibration queries, asked of the same
model with the same sampling and budget; of each one run counts, over its samples in the order in
which they were drawn, which is what the service sees, but where a deadline ends a request: no
promise covers those, and of max_error the others are then no draw of all. It is about the share
over queries, not about any one of them; delta is over the draw of the calibration queries; and of
several promises each holds so, not all at once.

p_value is P(Bin(n, limit) <= bad), ties or not. Of max_loss n is the number of calibration queries:
of a draw the bad ones are binomial, so it is exact where the share is the limit. Of a set number of
queries from each of several data sets, which is how they are chosen, they are a sum of binomials,
and so few of them are no more likely (Hoeffding 1956, for bad <= n limit - 1). Of max_error n is
the number that stop, which is random: given it, those of a draw that are wrong are binomial with
the share that is wrong where it stops, so it is as exact. Of set numbers from each data set this is
not proven; of random small mixtures, counted out, none failed more often than delta.

Thresholds are tried from the most careful down, and the first that fails ends it (fixed sequence
testing), so that a threshold is certified with confidence 1 - delta whatever the others do. Most
careful ones stop too rarely to show an error rate: for max_error such a sequence starts at every
CHAIN-th threshold, each with an equal part of delta (Bonferroni). The thresholds themselves are
fixed (`grid`), for quantiles of the same queries' confidences would depend on what is tested.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, exp, fsum, lgamma, log, log1p

from pipelines.method.policies import NAMED

CHAIN = 4
GIVE_UP_PARTS = 4  # of the budget; after the first of them it may give up
CONFIDENCE = 0.9  # 1 - delta, where nobody says otherwise
MOST_QUERIES = 2**16  # calibration queries that a refusal speaks of
_STEP = 0.25  # of log odds, between thresholds
_ENDS = {"confidence": (7.0, -7.0), "share": (7.0, -0.5)}  # 0.999; and 0.001, or a share of 0.38


@dataclass(frozen=True)
class Tried:
    """A threshold on the calibration queries, at the full budget. Numbers of queries."""

    threshold: float
    stopped: int
    wrong: int  # of those that stopped
    lost: int  # answered wrongly, and rightly with all samples
    avg_samples: float


@dataclass(frozen=True)
class GivenUp:
    """A lower threshold, and what giving up there does, were it all that ends sampling early."""

    below: float
    lost: int
    avg_samples: float


@dataclass(frozen=True)
class Evidence:
    """What calibration queries show of a policy, the most careful thresholds first.

    after: the samples at which it may give up; 0 where the budget is too small for that.
    """

    queries: int
    tried: Sequence[Tried]
    after: int
    given_up: Sequence[GivenUp]


@dataclass(frozen=True)
class Promise:
    """threshold: None where nothing can be promised. why: then, for people. queries: about how many
    calibration queries a promise would take; None where more would not help."""

    threshold: float | None
    why: str = ""
    queries: int | None = None


def grid(name: str, windows: Sequence[int]) -> list[float]:
    """Thresholds to try, the most careful first; none for a policy without one.

    windows: those of esc. A config's thresholds are chosen among, but not tried: they may have been
    named with these queries in view.
    """
    kind = NAMED[name].threshold
    if kind == "none":
        return []
    if kind == "window":
        return [float(window) for window in sorted(windows, reverse=True)]
    first, last = _ENDS[kind]
    odds = [first - _STEP * i for i in range(int((first - last) / _STEP) + 1)]
    return [round(1 / (1 + exp(-one)), 4) for one in odds]


def p_value(bad: int, queries: int, limit: float) -> float:
    """P(Bin(queries, limit) <= bad): how likely so few bad ones are where so many are to be had."""
    if bad >= queries or limit <= 0:
        return 1.0
    if limit >= 1:
        return 0.0
    logs = (
        lgamma(queries + 1) - lgamma(k + 1) - lgamma(queries - k + 1)
        + k * log(limit) + (queries - k) * log1p(-limit)
        for k in range(bad + 1)
    )  # fmt: skip
    return min(1.0, fsum(exp(one) for one in logs))


def max_error(evidence: Evidence, limit: float, confidence: float = CONFIDENCE) -> Promise:
    """The threshold of the fewest samples where at most `limit` of what it stops at is wrong."""
    counts = [(one.wrong, one.stopped) for one in evidence.tried]
    starts = range(0, len(counts), CHAIN)
    delta = (1 - confidence) / max(1, len(starts))
    found = {i for start in starts for i in _certified(counts, start, limit, delta)}
    if found:
        return _cheapest(evidence, found)
    # Of the starts, the one that needs the fewest queries.
    of = evidence.queries
    needs = {i: _needed(*counts[i], of, limit, delta) for i in starts if counts[i][1]}
    able = {i: queries for i, queries in needs.items() if queries is not None}
    if not able:
        best = min(needs, key=lambda i: counts[i][0] / counts[i][1], default=None)
        if best is None:
            return Promise(None, f"none of {of} calibration queries stops early")
        wrong, stopped = counts[best]
        why = f"{wrong} of the {stopped} calibration queries that stop early are answered wrongly"
        return Promise(None, f"{why} at the threshold where these are fewest")
    best = min(able, key=lambda i: (able[i], i))
    wrong, stopped = counts[best]
    why = (
        f"{wrong} of the {stopped} calibration queries that stop at "
        f"{evidence.tried[best].threshold:g} are answered wrongly, of {of} in all"
    )
    return Promise(None, why, able[best])


def max_loss(evidence: Evidence, limit: float, confidence: float = CONFIDENCE) -> Promise:
    """The threshold of the fewest samples that loses at most `limit` of the right answers."""
    counts = [(one.lost, evidence.queries) for one in evidence.tried]
    if found := _certified(counts, 0, limit, 1 - confidence):
        return _cheapest(evidence, found)
    return Promise(None, *_too_few(evidence, counts[0][0], limit, 1 - confidence))


def give_up(evidence: Evidence, limit: float, confidence: float = CONFIDENCE) -> Promise:
    """The lower threshold of the fewest samples that loses at most `limit` of the right answers."""
    counts = [(one.lost, evidence.queries) for one in evidence.given_up]
    if not counts:
        return Promise(None, f"a budget under {2 * GIVE_UP_PARTS} leaves nothing to give up")
    if found := _certified(counts, 0, limit, 1 - confidence):
        return Promise(evidence.given_up[max(found)].below)
    return Promise(None, *_too_few(evidence, counts[0][0], limit, 1 - confidence))


def max_loss_with_giving_up(
    evidence: Evidence, limit: float, confidence: float = CONFIDENCE
) -> tuple[Promise, Promise]:
    """A threshold and a lower one that together lose at most `limit` of the right answers.

    Each has half of the limit and half of delta. What ends at one of both is answered as if there
    were no other, so no more is lost than the sum of what each loses alone.
    """
    half, surer = limit / 2, (1 + confidence) / 2
    return max_loss(evidence, half, surer), give_up(evidence, half, surer)


def _certified(
    counts: Sequence[tuple[int, int]], start: int, limit: float, delta: float
) -> list[int]:
    """From `start` down to the first that fails. counts: of bad ones among how many."""
    found = []
    for place in range(start, len(counts)):
        if p_value(*counts[place], limit) > delta:
            break
        found.append(place)
    return found


def _cheapest(evidence: Evidence, found: Iterable[int]) -> Promise:
    best = min(found, key=lambda i: (evidence.tried[i].avg_samples, i))
    return Promise(evidence.tried[best].threshold)


def _too_few(evidence: Evidence, lost: int, limit: float, delta: float) -> tuple[str, int | None]:
    why = (
        f"{lost} of {evidence.queries} calibration queries lose a right answer at the most careful "
        "threshold"
    )
    return why, _needed(lost, evidence.queries, evidence.queries, limit, delta)


@lru_cache(1024)  # it takes milliseconds, and a service that refuses is asked again
def _needed(bad: int, of: int, queries: int, limit: float, delta: float) -> int | None:
    """About how many queries it takes if the shares stay: of the bad ones, and of those that count
    at all (`of` the queries). None where no number does, or more than MOST_QUERIES."""
    if limit <= 0 or bad >= limit * of:
        return None
    low, high = of, of

    def enough(count: int) -> bool:
        return p_value(ceil(bad * count / of), count, limit) <= delta

    while not enough(high):
        low, high = high, 2 * high
        if high > MOST_QUERIES:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return ceil(high * queries / of)
