"""Which responses become training examples."""

from collections import Counter

import numpy as np
import pytest

from pipelines.examples import choose, responses

rng = np.random.default_rng(0)
TARGETS = np.concatenate([rng.uniform(0, 0.3, 400), rng.uniform(0.3, 0.75, 60), np.ones(200)])


def pick(targets=TARGETS, total=200, ratio=0.3, seed=0):
    return choose(targets, total=total, generation_ratio=ratio, eta=0.75, bin_width=0.05, seed=seed)


def test_generation_examples_are_above_eta_and_calibration_examples_are_balanced():
    chosen = pick()
    generation = [i for i, task in chosen if task == "generation"]
    calibration = [i for i, task in chosen if task == "calibration"]
    assert (len(generation), len(calibration)) == (60, 140)
    assert (TARGETS[generation] > 0.75).all()
    bins = Counter(min(int(TARGETS[i] / 0.05 + 1e-6), 19) for i in calibration)
    available = Counter(min(int(t / 0.05 + 1e-6), 19) for t in TARGETS)
    # Bins that were not emptied gave equally many, within one.
    full = [count for name, count in bins.items() if count < available[name] - 60 * (name == 19)]
    assert max(full) - min(full) <= 1


def test_no_response_is_drawn_twice():
    indices = [i for i, _ in pick(total=10_000)]
    assert len(indices) == len(set(indices)) == len(TARGETS)


def test_the_draw_is_seeded():
    assert pick(seed=1) == pick(seed=1)
    assert pick(seed=1) != pick(seed=2)


def test_tasks_are_mixed():
    tasks = [task for _, task in pick()]
    assert 0 < tasks[:40].count("generation") < 40


@pytest.mark.parametrize(("ratio", "kinds"), [(0.0, {"calibration"}), (1.0, {"generation"})])
def test_extreme_ratios(ratio, kinds):
    assert {task for _, task in pick(ratio=ratio, total=100)} == kinds


def test_nothing_to_choose_from():
    assert pick(np.array([])) == []


def row(*samples):
    return {
        "query_id": "q",
        "dataset": "d",
        "prompt_ids": [1],
        "samples": [
            {"index": i, "answer": answer, "p_true": c} for i, (answer, c, _) in enumerate(samples)
        ],
        "response_ids": [ids for _, _, ids in samples],
    }


LABELS = [row(("a", 0.6, [5]), ("b", 0.2, [6]), (None, 0.9, [7]), ("a", 0.2, []))]


@pytest.mark.parametrize(
    ("target", "expected"), [("ssc", [0.8, 0.2]), ("vote", [2 / 3, 1 / 3]), ("p_true", [0.6, 0.2])]
)
def test_targets_of_parsed_and_nonempty_responses(target, expected):
    found = responses(LABELS, target)
    assert [one["target"] for one in found] == pytest.approx(expected)
    assert [one["response_ids"] for one in found] == [[5], [6]]
    assert [one["example_id"] for one in found] == ["q-0", "q-1"]
