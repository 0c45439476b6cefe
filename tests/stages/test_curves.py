"""Where the picture of policies puts things."""

from itertools import pairwise

import pytest

from pipelines.method.policies import POLICIES
from pipelines.stages.report.curves import BOTTOM, HEIGHT, RIGHT, TOP, WIDTH, panels, spread_labels


def points(accuracies, threshold=None, chosen=True, spent=1.0):
    """Over budgets 1, 2, 4 and so on."""
    return [
        {
            "budget": 2**n,
            "avg_samples": spent * 2**n,
            "accuracy": accuracy,
            "ci95": [accuracy - 0.05, accuracy + 0.05],
            "threshold": threshold,
            "chosen": chosen,
        }
        for n, accuracy in enumerate(accuracies)
    ]


MODELS = {
    "base": {
        "policies": {
            "self_consistency": points([0.3, 0.4, 0.5]),
            "early_stopping": points([0.3, 0.42, 0.5], 0.876),
            "asc": points([0.3, 0.4, 0.5], 0.8),
            "esc": points([0.3, 0.38, 0.5], 4.0),
            "asc_conf": points([0.3, 0.9, 0.9], 0.5, chosen=False),
        }
    },
    "calibrated": {"policies": {"early_stopping": points([0.3, 0.5, 0.6], 0.5)}},
}


def by_name(panel):
    return {line.name: line for line in panel.lines}


def test_a_line_ends_in_its_policy_and_threshold():
    base, calibrated = panels(MODELS)
    named = {name: line.threshold for name, line in by_name(base).items()}
    assert named == {
        "self consistency": "", "early stopping": "c ≥ 0.88", "asc": "share ≥ 0.8",
        "esc": "window 4",
    }  # fmt: skip
    assert by_name(calibrated)["early stopping"].threshold == "c ≥ 0.50"
    told = by_name(base)["early stopping"].told
    assert told == (
        "early stopping, c ≥ 0.88: accuracy 0.500 [0.45, 0.55] with 4.0 samples a query"
    )


def test_samples_double_in_equal_steps_and_accuracy_is_linear_alike_in_all_panels():
    base, calibrated = panels(MODELS)
    line = by_name(base)["self consistency"].points
    (x, y), (x2, y2), (x4, y4) = line
    assert x2 - x == pytest.approx(x4 - x2, abs=0.11)  # places are rounded to tenths
    assert y - y2 == pytest.approx(y2 - y4, abs=0.11)
    other = by_name(calibrated)["early stopping"].points
    assert other[0] == line[0]
    assert other[1][1] == y4  # 0.5
    ticks = {text: place for place, text in base.y_ticks}
    assert ticks["0.5"] == y4
    assert [text for _, text in base.x_ticks] == ["1", "2", "4"]
    assert base.x_ticks[1][0] == x2


def test_the_interval_of_early_stopping_shows_and_the_others_are_cut_at_the_edges():
    base, _ = panels(MODELS)
    assert [line.name for line in base.lines if line.chosen] == ["early stopping"]
    assert base.lines[-1].chosen  # drawn over the others
    for line in base.lines:
        assert all(TOP <= y <= HEIGHT - BOTTOM for _, y in line.band)


def test_names_that_would_lie_over_each_other_are_moved_apart():
    base, _ = panels(MODELS)
    places = sorted(line.name_y for line in base.lines)
    assert all(below - above >= 15 for above, below in pairwise(places))
    assert spread_labels([10, 10, 40], 15, 0, 100) == [10, 25, 40]
    assert spread_labels([98, 99], 15, 0, 100) == [85, 100]
    assert spread_labels([5, 1], 15, 0, 100) == [16, 1]
    assert spread_labels([50, 50, 50], 60, 0, 100) == [0, 60, 120]  # more than fit


def test_policies_are_told_apart_without_their_colors():
    many = {"base": {"policies": {name: points([0.3, 0.4]) for name in POLICIES}}}
    (panel,) = panels(many)
    assert len({(line.dash, line.mark) for line in panel.lines}) == len(POLICIES)
    (base, calibrated) = panels({"base": many["base"], "calibrated": many["base"]})
    for line, other in zip(base.lines, calibrated.lines, strict=True):
        assert (line.color, line.dash, line.mark) == (other.color, other.dash, other.mark)


def test_of_policies_without_thresholds_nothing_is_drawn():
    assert panels({"base": {"policies": {"asc": points([0.3], 0.5, chosen=False)}}}) == []
    (panel,) = panels({"base": {"policies": {"best_of_n": points([0.3])}}})  # a budget of one
    assert len(panel.lines[0].points) == 1


def test_a_long_name_takes_its_room_from_the_lines():
    """In all panels alike; a source is told in short."""
    name = "early_stopping@mean_logprob"
    named = {"policies": {name: points([0.3, 0.4], 0.5), "asc": points([0.3, 0.5], 0.9)}}
    panel, other = panels({"base": named, "calibrated": {"policies": {"asc": points([0.4], 0.9)}}})
    (line,) = (one for one in panel.lines if "@" in one.name)
    assert (line.name, line.threshold) == ("early stopping@logprob", "c ≥ 0.50")
    assert "early stopping@mean logprob, c ≥ 0.50" in line.told
    assert WIDTH - panel.name_x >= 6.5 * len(f"{line.name} {line.threshold}")
    assert panel.right == other.right > RIGHT
    assert max(x for one in panel.lines for x, _ in one.points) <= WIDTH - panel.right
