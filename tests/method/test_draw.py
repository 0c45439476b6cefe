"""Which responses become training examples."""

from collections import Counter

import numpy as np
import pytest

from pipelines.method.draw import bins_of, draw, evenly

rng = np.random.default_rng(0)
TARGETS = np.concatenate([rng.uniform(0, 0.3, 400), rng.uniform(0.3, 0.75, 60), np.ones(200)])
SETS = rng.permutation(np.repeat([0, 1], [560, 100]))


def pick(targets=TARGETS, sets=None, **changes):
    settings = {
        "total": 200, "generation_ratio": 0.3, "eta": 0.75, "bin_width": 0.05, "way": "even",
        "loss": "own", "quotas": False, "seed": 0,
    }  # fmt: skip
    sets = np.zeros(len(targets), dtype=np.int64) if sets is None else sets
    return draw(targets, sets, **{**settings, **changes})


def of(drawn, pool):
    return drawn.candidate[np.array(drawn.pool) == pool]


def bin_of(target):
    """Twentieths, told by comparison with each edge; 1.0 apart."""
    return 20 if target == 1 else sum(target >= edge / 20 - 1e-9 for edge in range(1, 20))


def test_generation_examples_are_above_eta_and_calibration_examples_are_balanced():
    drawn = pick()
    generation, calibration = of(drawn, "generation"), of(drawn, "calibration")
    assert (len(generation), len(calibration)) == (60, 140)
    assert (TARGETS[generation] > 0.75).all()
    bins = Counter(bin_of(TARGETS[i]) for i in calibration)
    available = Counter(map(bin_of, TARGETS))
    # Bins that were not emptied gave equally many, within one.
    full = [count for name, count in bins.items() if count < available[name]]
    assert max(full) - min(full) <= 1
    assert bins.keys() == available.keys()


def test_own_losses_are_those_of_the_pools():
    drawn = pick()
    assert drawn.task == drawn.pool
    assert (drawn.weight == 1).all()


def test_joint_loss_has_both_above_eta():
    drawn = pick(loss="joint")
    assert drawn.task == ["both" if TARGETS[i] > 0.75 else "calibration" for i in drawn.candidate]
    assert (drawn.candidate == pick().candidate).all()


def test_a_shortage_in_one_pool_does_not_shrink_the_other():
    """200 candidates are above eta, of 660: a pool gives them all, the other what it would."""
    few = pick(total=1000, generation_ratio=0.5)
    assert (len(of(few, "generation")), len(of(few, "calibration"))) == (200, 500)
    few = pick(total=1000, generation_ratio=0.1)
    assert (len(of(few, "generation")), len(of(few, "calibration"))) == (100, 660)
    none = pick(TARGETS[:460], generation_ratio=0.7)
    assert (len(of(none, "generation")), len(of(none, "calibration"))) == (0, 60)


def test_pools_are_drawn_from_without_replacement_and_may_share_a_response():
    drawn = pick(total=10_000)
    for pool, expected in (("generation", TARGETS > 0.75), ("calibration", TARGETS >= 0)):
        assert sorted(of(drawn, pool)) == np.flatnonzero(expected).tolist()


def test_a_natural_draw_is_the_pool_in_small():
    """Of 20 draws, the bins' shares are the pool's, which an even draw's are not."""
    shares = {}
    for way in ("natural", "even"):
        counts = Counter(
            bin_of(TARGETS[i])
            for seed in range(20)
            for i in of(pick(way=way, seed=seed), "calibration")
        )
        shares[way] = np.array([counts[b] for b in range(21)]) / counts.total()
    pool = np.bincount([bin_of(t) for t in TARGETS], minlength=21) / len(TARGETS)
    assert np.abs(shares["natural"] - pool).max() < 0.02
    assert np.abs(shares["even"] - pool).max() > 0.1


def test_weights_are_a_bins_share_of_the_pool_over_its_share_of_the_draw():
    drawn = pick(way="weighted")
    assert (drawn.candidate == pick(way="even").candidate).all()
    calibration = of(drawn, "calibration")
    in_pool = Counter(bin_of(t) for t in TARGETS)
    in_draw = Counter(bin_of(TARGETS[i]) for i in calibration)
    weight = drawn.weight[np.array(drawn.pool) == "calibration"]
    for i, found in zip(calibration, weight, strict=True):
        name = bin_of(TARGETS[i])
        expected = (in_pool[name] / len(TARGETS)) / (in_draw[name] / len(calibration))
        assert found == pytest.approx(expected)
    assert weight.mean() == pytest.approx(1)
    assert (weight * TARGETS[calibration]).mean() == pytest.approx(TARGETS.mean(), abs=0.005)
    assert abs(TARGETS[calibration].mean() - TARGETS.mean()) > 0.02  # what weights are for
    assert (drawn.weight[np.array(drawn.pool) == "generation"] == 1).all()


def test_of_targets_that_are_alike_in_each_bin_the_weighted_mean_is_the_pools():
    targets = np.repeat([0.1, 0.4, 0.7, 1.0], [500, 300, 150, 50])
    drawn = pick(targets, way="weighted", generation_ratio=0.0)
    assert targets[drawn.candidate].mean() == pytest.approx(0.55)
    assert (drawn.weight * targets[drawn.candidate]).mean() == pytest.approx(targets.mean())


def test_a_joint_loss_weighs_all_rows_that_have_a_calibration_loss():
    drawn = pick(way="weighted", loss="joint", generation_ratio=0.7)
    assert drawn.weight.mean() == pytest.approx(1)
    assert (drawn.weight * TARGETS[drawn.candidate]).mean() == pytest.approx(
        TARGETS.mean(), abs=0.01
    )


def test_fewer_examples_than_bins():
    drawn = pick(total=4, generation_ratio=0.0, way="weighted")
    assert len({bin_of(TARGETS[i]) for i in drawn.candidate}) == 4
    assert drawn.weight.mean() == pytest.approx(1)


@pytest.mark.parametrize(("total", "each"), [(120, (60, 60)), (320, (220, 100))])
def test_quotas_let_each_set_give_as_many_and_the_others_where_one_runs_out(total, each):
    drawn = pick(sets=SETS, quotas=True, total=total, generation_ratio=0.0)
    assert tuple(np.bincount(SETS[drawn.candidate])) == each
    without = pick(sets=SETS, total=total, generation_ratio=0.0)
    assert np.bincount(SETS[without.candidate])[0] > 0.7 * total


def test_quotas_are_of_generation_examples_too():
    drawn = pick(sets=SETS, quotas=True, total=40, generation_ratio=1.0)
    assert np.bincount(SETS[drawn.candidate]).tolist() == [20, 20]


def test_with_quotas_each_set_keeps_the_mean_of_its_own_targets():
    sets = np.repeat([0, 1], [900, 100])
    targets = np.concatenate([np.repeat([0.1, 0.9], [800, 100]), np.repeat([0.1, 0.9], [30, 70])])
    drawn = pick(targets, sets, quotas=True, way="weighted", generation_ratio=0.0, total=100)
    for name in (0, 1):
        own = sets[drawn.candidate] == name
        assert drawn.weight[own].mean() == pytest.approx(1)
        weighted = (drawn.weight * targets[drawn.candidate])[own]
        assert weighted.mean() == pytest.approx(targets[sets == name].mean())


def test_the_draw_is_seeded():
    assert pick(seed=1).candidate.tolist() == pick(seed=1).candidate.tolist()
    assert pick(seed=1).candidate.tolist() != pick(seed=2).candidate.tolist()


def test_tasks_are_mixed():
    assert 0 < pick().task[:40].count("generation") < 40


@pytest.mark.parametrize(("ratio", "kinds"), [(0.0, {"calibration"}), (1.0, {"generation"})])
def test_extreme_ratios(ratio, kinds):
    assert set(pick(generation_ratio=ratio, total=100).task) == kinds


@pytest.mark.parametrize("way", ["even", "weighted", "natural"])
def test_nothing_to_draw_from(way):
    assert len(pick(np.array([]), way=way, quotas=True).candidate) == 0


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (0.05, [0, 3, 19, 19, 20]),
        (0.3, [0, 0, 3, 3, 4]),
        (1.0, [0, 0, 0, 0, 1]),
    ],
)
def test_one_has_a_bin_of_its_own_and_an_edge_belongs_to_the_bin_above(width, expected):
    assert bins_of(np.array([0.0, 0.15, 0.95, 0.999, 1.0]), width).tolist() == expected


def test_groups_give_equally_many_of_what_they_have():
    assert evenly([5, 1, 9], 9).tolist() == [4, 1, 4]
    assert evenly([5, 1, 9], 7).tolist() == [3, 1, 3]
    assert evenly([2, 2, 2], 4).tolist() == [2, 1, 1]
    assert evenly([5, 1, 9], 100).tolist() == [5, 1, 9]
    assert evenly([], 3).tolist() == []
    assert evenly([4], 0).tolist() == [0]
