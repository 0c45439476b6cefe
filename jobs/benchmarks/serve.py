"""Adaptive answers over HTTP by schedule, against one sample after the other and against fixed N.

All schedules of a policy draw the same seeded samples and decide in their order, so the answers are
equal; they differ in how long they take, and in what is computed in vain. Fixed N draws the whole
budget at once; what a policy makes of those samples is its answer, too. One by one is quick where a
policy is sure after few samples, so a figure is of the mean request. `overhead` is what HTTP and
Serve take of a request, beside what its replica has it for.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from statistics import mean

import numpy as np

from jobs.benchmarks import service, work
from jobs.benchmarks.measurement import Measurement, Reach, in_subprocess
from jobs.benchmarks.service import Body, Got
from pipelines.method.policies import POLICIES, in_order

# At which some of these questions take two samples, some a few and some all.
THRESHOLDS = {"early_stopping": 0.1, "asc_conf": 0.7, "asc": 0.7, "esc": 3}
COUNTRIES = ("France", "Peru", "Egypt", "Canada", "Kenya", "Norway", "Argentina", "Japan")
SCHEDULES = ("waves", "all", "sequential")
Way = tuple[str, str]  # policy, schedule


def run(quick: bool) -> Iterator[Measurement]:
    budget, alone, together, times = (4, 1, 2, 2) if quick else (16, 4, 8, 12)
    ways = [*product(THRESHOLDS, SCHEDULES), ("sc_conf", "all"), ("self_consistency", "all")]

    def body(number: int, way: Way, most: int) -> Body:
        policy, schedule = way
        scaling = {"policy": policy, "schedule": schedule, "budget": most, "kind": "text"}
        if policy in THRESHOLDS:
            scaling["threshold"] = THRESHOLDS[policy]
        content = work.SHORT.format(COUNTRIES[number])
        return {
            "messages": [{"role": "user", "content": content}],
            "seed": number,
            # As the quickstart answers: at the paper's plain T = 1.0 hardly two answers agree.
            "temperature": 0.8,
            "scaling": scaling | {"details": True, "temperature_kind": "edt"},
        }

    # Of one client the ways take turns; many ask the same way at once.
    one = [[body(number, way, budget)] for number in range(alone) for way in ways]
    many = [[body(number, way, budget) for number in range(together)] for way in ways]
    plain = [[body(0, ("sc_conf", "all"), most)] for most in (1, 8) for _ in range(times)]
    got = in_subprocess(service.ask, [*one, *many, *plain])
    by_one: dict[Way, list[Got]] = {way: [] for way in ways}
    for way, (found,) in zip(ways * alone, got[: len(one)], strict=True):
        by_one[way].append(found)
    by_many = dict(zip(ways, got[len(one) : -len(plain)], strict=True))
    for clients, by_way in {1: by_one, together: by_many}.items():
        yield from _schedules(clients, by_way)
    for most, start in {1: 0, 8: times}.items():
        same = [found for (found,) in got[len(got) - 2 * times :][start : start + times]]
        outside = [(found.seconds - found.inside, found) for found in same]
        pairs = [(extra, found.inside) for extra, found in outside]
        yield Measurement.of(
            f"serve.overhead_{most}", "s, of inside", pairs, Reach("at most", 0.05)
        )
        pairs = [(extra * 1e3, 3.0) for extra, _ in outside]
        yield Measurement.of(f"serve.overhead_{most}_ms", "ms, of 3", pairs, Reach("at most", 1))


def _schedules(clients: int, by_way: Mapping[Way, Sequence[Got]]) -> Iterator[Measurement]:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{clients} at once; ratios, of the mean or as named: ours over theirs")
    for column in (
        "policy", "schedule", "p50 s", "p99 s", "tokens", "used", "drawn",
        "s / one by one", "p50 / one by one", "p99 / one by one",
        "s / fixed N", "p50 / fixed N", "p99 / fixed N",
        "tokens / one by one", "tokens / fixed N", "equal",
    ):  # fmt: skip
        table.add_column(column, no_wrap=column == "policy")
    for policy in THRESHOLDS:
        fixed = by_way[
            "sc_conf" if POLICIES[policy].needs_confidence else "self_consistency", "all"
        ]
        after_each_other = by_way[policy, "sequential"]
        for schedule in SCHEDULES:
            ours = by_way[policy, schedule]
            answers = [_of_fixed(policy, one) for one in fixed]
            equal = [
                a.decision == b.decision and (a.scaling["answer"], a.decision[1]) == answer
                for a, b, answer in zip(ours, after_each_other, answers, strict=True)
            ]
            seconds = [one.seconds for one in ours]
            theirs = [[one.seconds for one in some] for some in (after_each_other, fixed)]
            table.add_row(
                policy,
                schedule,
                *(f"{some:.2f}" for some in _percentiles(seconds)),
                f"{mean(one.tokens for one in ours):.0f}",
                f"{mean(one.decision[1] for one in ours):.1f}",
                f"{mean(one.scaling['samples']['started'] for one in ours):.1f}",
                *(ratio for some in theirs for ratio in _ratios(some, seconds)),
                _ratio([one.tokens for one in after_each_other], [one.tokens for one in ours]),
                _ratio([one.tokens for one in fixed], [one.tokens for one in ours]),
                f"{sum(equal)} of {len(equal)}",
            )
            if schedule != "sequential":
                pair = (mean(seconds), mean(theirs[0]))
                name = f"serve.{policy}_{schedule}_{clients}"
                yield Measurement.of(name, "s", [pair], Reach("at most", 0.333))
    Console(width=180).print(table)


def _of_fixed(policy: str, fixed: Got) -> tuple[str | None, int]:
    """What a policy answers after how many of these samples."""
    samples = [
        (one["answer"], float("nan") if one["p_true"] is None else one["p_true"])
        for one in fixed.scaling["details"]
    ]
    made = in_order(POLICIES[policy].make(THRESHOLDS[policy]), samples)
    return made.answers[-1], made.samples[-1]


def _percentiles(seconds: Sequence[float]) -> list[float]:
    """p50 and p99, each of a request that there was."""
    return [float(one) for one in np.percentile(seconds, [50, 99], method="inverted_cdf")]


def _ratios(theirs: Sequence[float], ours: Sequence[float]) -> list[str]:
    """Of the mean, of p50 and of p99."""
    both = zip(_percentiles(ours), _percentiles(theirs), strict=True)
    return [_ratio(theirs, ours), *(f"{one / other:.2f}" for one, other in both)]


def _ratio(theirs: Sequence[float], ours: Sequence[float]) -> str:
    return f"{mean(ours) / mean(theirs):.2f}"
