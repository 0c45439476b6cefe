"""Which labeled responses become training examples (arXiv 2503.00031, section 4.1); pure numpy."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Draw(NamedTuple):
    """Training examples, in the order in which they are trained on; each [rows]."""

    candidate: Integers  # the response's place among the candidates
    pool: list[str]  # that it was drawn from: calibration or generation
    task: list[str]  # its loss: calibration, generation or both
    weight: Floats  # of its calibration loss


def draw(
    targets: Floats,
    sets: Integers,
    *,
    total: int,
    generation_ratio: float,
    eta: float,
    bin_width: float,
    way: Literal["even", "weighted", "natural"],
    loss: Literal["own", "joint"],
    quotas: bool,
    seed: int,
) -> Draw:
    """Examples from two pools, each drawn by itself: seeded, without replacement.

    targets, sets: [candidates], SSC in [0, 1] and the number of each one's data set. The
    calibration pool holds all candidates and gives total * (1 - generation_ratio): as many from
    each bin of SSC, or where `way` is natural as they come. The generation pool holds those above
    eta and gives the rest. A response may come from both. Where a bin runs out, the others give
    more; where a pool does, there are fewer examples, and the other pool gives what it would.

    quotas: each data set gives as many to each pool; where one runs out, the others give more.
    loss: `own`, each pool its own; `joint`, the text of the paper: every example has the
    calibration loss, and those above eta have both.
    """
    rng = np.random.default_rng(seed)
    strata = sets if quotas else np.zeros_like(sets)
    bins = np.zeros_like(sets) if way == "natural" else bins_of(targets, bin_width)
    generations = round(total * generation_ratio)
    above = np.flatnonzero(targets > eta)
    generation = _pick(rng.permutation(above), generations, [strata])
    everything = rng.permutation(len(targets))
    calibration = _pick(everything, total - generations, [strata, bins])

    index = np.concatenate([generation, calibration])
    pool = ["generation"] * len(generation) + ["calibration"] * len(calibration)
    task = ["both" if t > eta else "calibration" for t in targets[index]]
    if loss == "own":
        task = pool
    weight = np.ones(len(index))
    if way == "weighted":
        has_loss = np.array([one != "generation" for one in task], dtype=bool)
        weight[has_loss] = weights(strata, bins, index[has_loss])
    order = rng.permutation(len(index))
    return Draw(index[order], [pool[i] for i in order], [task[i] for i in order], weight[order])


def bins_of(targets: Floats, width: float) -> Integers:
    """The bin of each target, from 0 on; 1.0 has one of its own, the last.

    A target on a bin's edge (0.15 / 0.05 is 2.9999...) belongs to the bin above.
    """
    last = np.ceil(1 / width - 1e-6)
    below_one = np.minimum(np.floor(targets / width + 1e-6), last - 1)
    return np.where(targets > 1 - 1e-6, last, below_one).astype(np.int64)


def evenly(sizes: Sequence[int], wanted: int) -> Integers:
    """How many each group gives for `wanted` in all: equally many, within one, of what it has.

    Where a group runs out, the others give more; the sum is less than `wanted` where all do.
    """
    most = np.array(sizes, dtype=np.int64)
    given = np.zeros_like(most)
    while (left := wanted - given.sum()) > 0 and (has_more := np.flatnonzero(given < most)).size:
        share = left // len(has_more)  # at last 0: the first ones give one more
        given[has_more if share else has_more[:left]] += max(1, share)
        given = np.minimum(given, most)
    return given


def weights(strata: Integers, bins: Integers, drawn: Integers) -> Floats:
    """Of each drawn response, its bin's share of the pool over its share of the draw; [drawn].

    strata, bins: [candidates], all of which are the pool. Shares are those of the bins that were
    drawn from, within a stratum. So each stratum's mean weight is 1, and weighted, its mean
    target is its pool's, as far as a bin's draw stands for the bin.
    """
    a_stratum = bins.max(initial=0) + 1
    cells = strata * a_stratum + bins
    cell, at, taken = np.unique(cells[drawn], return_inverse=True, return_counts=True)
    stratum = cell // a_stratum
    there = np.bincount(cells)[cell]
    of_pool, of_draw = (n / np.bincount(stratum, n)[stratum] for n in (there, taken))
    return (of_pool / of_draw)[at]


def _pick(pool: Integers, wanted: int, groupings: list[Integers]) -> Integers:
    """The first of a pool, evenly from the groups of the first grouping, and so on within each."""
    if not groupings:
        return pool[:wanted]
    own = groupings[0][pool]
    groups = [pool[own == name] for name in np.unique(own)]
    sizes = evenly([len(group) for group in groups], wanted)
    parts = [_pick(*one, groupings[1:]) for one in zip(groups, sizes, strict=True)]
    return np.concatenate([pool[:0], *parts])
