"""A measured figure: paired runs of ours and a baseline.

A ratio is ours over the baseline's, and the figure is the median of the pairs: both sides of a
pair run back to back, so that a noisy machine slows both.
"""

import multiprocessing
import statistics
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Pair = tuple[float, float]  # (ours, baseline)


@dataclass(frozen=True)
class Reach:
    """What a ratio must come to."""

    side: Literal["at least", "at most"]
    bound: float

    def met(self, ratio: float) -> bool:
        return ratio >= self.bound if self.side == "at least" else ratio <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.side == 'at least' else '≤'} {self.bound:g}"


@dataclass(frozen=True)
class Measurement:
    """name: `group.baseline`. ours, baseline: medians, in `unit`. ratio: median of the pairs'."""

    name: str
    unit: str
    ours: float
    baseline: float
    ratio: float
    min: float
    max: float
    reach: Reach

    @classmethod
    def of(cls, name: str, unit: str, pairs: Iterable[Pair], reach: Reach) -> "Measurement":
        pairs = list(pairs)
        ratios = [ours / baseline for ours, baseline in pairs]
        return cls(
            name=name,
            unit=unit,
            ours=statistics.median(ours for ours, _ in pairs),
            baseline=statistics.median(baseline for _, baseline in pairs),
            ratio=statistics.median(ratios),
            min=min(ratios),
            max=max(ratios),
            reach=reach,
        )

    def as_json(self) -> dict[str, Any]:
        numbers = {key: getattr(self, key) for key in ("ours", "baseline", "ratio", "min", "max")}
        return numbers | {"unit": self.unit, "reach": str(self.reach)}


class Process:
    """A fresh process for some calls: engines and thread pools are settled once a process."""

    def __enter__(self) -> "Process":
        spawn = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, mp_context=spawn)
        return self

    def __exit__(self, *raised: object) -> None:
        self._pool.shutdown()

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return self._pool.submit(function, *args, **kwargs).result()


def in_subprocess(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs a function in a process of its own."""
    with Process() as process:
        return process.call(function, *args, **kwargs)
