"""The choice of a threshold: by hand, and over resamples of simulated queries."""

import numpy as np
import pytest

from pipelines.method.policies import POLICIES
from pipelines.method.replay import Recorded, Replayed, replay
from pipelines.method.thresholds import SHARES, candidates, choose, measured


def replayed(right, samples):
    """One that is so at its only budget."""
    right = np.array(right, dtype=float)[:, None]
    return Replayed(right, np.full_like(right, samples))


SC = replayed([1, 1, 1, 0], 16)


@pytest.mark.parametrize(
    ("policies", "chosen", "as_accurate"),
    [
        ({0.2: ([1, 1, 1, 0], 4), 0.6: ([1, 1, 1, 1], 9)}, 0.2, True),  # as good as SC, and cheaper
        ({0.2: ([1, 1, 0.97, 0], 2), 0.6: ([1, 1, 1, 0], 9)}, 0.2, True),  # .0075 worse: the error
        ({0.2: ([1, 1, 0.9, 0], 2), 0.6: ([1, 1, 1, 0], 9)}, 0.6, True),  # .025 worse: the error
        ({0.2: ([0.995] * 3 + [0], 2), 0.6: ([1, 1, 1, 0], 9)}, 0.6, True),  # .00375 for .00125
        ({0.2: ([0, 0, 0, 0], 2), 0.6: ([0, 0, 0, 1], 9)}, 0.6, False),  # none is as good: the best
        ({0.2: ([0, 0, 0, 0], 2), 0.6: ([0, 0, 0, 0], 1)}, 0.6, False),  # nor better: the cheaper
        ({0.2: ([1, 1, 1, 0], 4), 0.6: ([1, 1, 1, 0], 4)}, 0.6, True),  # equal in all: the larger
    ],
)
def test_by_hand(policies, chosen, as_accurate):
    found = [replayed(*one) for one in policies.values()]
    assert choose(list(policies), found, SC) == (chosen, as_accurate)


def simulated(queries, seed):
    """Easy and hard queries of 16 samples, with confidences that tell a little."""
    rng = np.random.default_rng(seed)
    ease = rng.beta(1, 1.5, (queries, 1))
    correct = rng.random((queries, 16)) < ease
    answers = np.where(correct, 0, rng.integers(1, 4, correct.shape))
    c = np.clip(0.25 + 0.3 * ease + 0.15 * correct + rng.normal(0, 0.12, correct.shape), 0, 1)
    return Recorded(answers, c, correct)


def test_candidates_lie_where_the_confidences_do():
    one = simulated(24, seed=0)
    found = candidates("early_stopping", one, windows=())
    assert found == sorted(set(found))
    assert (found[0], found[-1]) == (one.confidence.min(), one.confidence.max())
    between = [np.mean(one.confidence <= threshold) for threshold in found]
    assert np.diff(between).max() < 0.06, "a twentieth of the samples lies between two of them"
    assert candidates("asc", one, windows=()) == list(SHARES)
    assert candidates("esc", one, windows=(5, 2)) == [2.0, 5.0]
    assert candidates("best_of_n", one, windows=()) == []


def test_without_an_answer_nothing_stops():
    none = Recorded(np.full((2, 3), -1), np.ones((2, 3)), np.zeros((2, 3), dtype=bool))
    assert candidates("early_stopping", none, windows=()) == [1.0]


def test_the_choice_costs_less_than_the_most_accurate_and_little_accuracy():
    """Chosen on resamples of calibration queries, as a bootstrap draws them; seen on others."""
    rng = np.random.default_rng(1)
    one, others = simulated(100, seed=2), simulated(1000, seed=3)
    thresholds = candidates("early_stopping", one, windows=())
    policies = [POLICIES["early_stopping"].make(threshold) for threshold in thresholds]
    asked = [POLICIES["self_consistency"].make(0), *policies]
    sc, *found = replay(asked, one, 16, seed=0)
    sc_there, *there = replay(asked, others, 16, seed=0)
    seen = dict(zip(thresholds, measured(thresholds, there), strict=True))
    ours, best = [], []
    for _ in range(300):
        drawn = rng.integers(0, 100, 100)
        again = [Replayed(*(column[drawn] for column in each)) for each in found]
        chosen, _ = choose(thresholds, again, Replayed(*(column[drawn] for column in sc)))
        ours.append(seen[chosen])
        options = measured(thresholds, again)
        most = max(options, key=lambda each: (each.accuracy, -each.avg_samples))
        best.append(seen[most.threshold])

    def mean(of, figure):
        return np.mean([getattr(each, figure) for each in of])

    assert mean(ours, "avg_samples") < 0.7 * mean(best, "avg_samples")
    assert mean(ours, "accuracy") == pytest.approx(sc_there.right[:, -1].mean(), abs=0.03)
