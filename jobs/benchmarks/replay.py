"""Replaying recorded samples: all policies, over 100 random orders, of 10,000 queries."""

import time
from collections.abc import Iterator

import numpy as np

from jobs.benchmarks.measurement import Measurement, Reach
from pipelines.method.policies import POLICIES
from pipelines.method.replay import Recorded, replay

_MOST_SECONDS = 60.0
_THRESHOLDS = {"none": 0.0, "confidence": 0.8, "share": 0.8, "window": 3.0}


def run(quick: bool) -> Iterator[Measurement]:
    queries = 100 if quick else 10_000
    rng = np.random.default_rng(0)
    ease = rng.beta(1, 1.5, (queries, 1))
    correct = rng.random((queries, 64)) < ease
    answers = np.where(correct, 0, rng.integers(-1, 12, correct.shape))
    confidence = np.clip(ease + rng.normal(0, 0.2, correct.shape), 0, 1)
    recorded = Recorded(answers, confidence, answers == 0)
    policies = [family.make(_THRESHOLDS[family.threshold]) for family in POLICIES.values()]
    began = time.monotonic()
    replay(policies, recorded, 100, seed=0)
    seconds = (time.monotonic() - began) * 10_000 / queries
    yield Measurement.of("replay.orders", "s", [(seconds, _MOST_SECONDS)], Reach("at most", 1))
