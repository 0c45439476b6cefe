"""How sure differences are, against closed forms, a hand case, and recipes that do not differ."""

import math

import numpy as np
import pytest

from jobs.experiments import compared, significance
from jobs.experiments.reading import Cell, Table
from jobs.experiments.significance import SeedNoise
from pipelines.method import metrics


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0, 2.5, 12.7, 400.0])
def test_students_t_has_its_closed_forms(t):
    cauchy = 1 - 2 * math.atan(t) / math.pi
    assert significance.two_sided(t, 1) == pytest.approx(cauchy, rel=1e-10, abs=1e-13)
    of_two = 1 - t / math.sqrt(2 + t * t)
    assert significance.two_sided(t, 2) == pytest.approx(of_two, rel=1e-7, abs=1e-13)


@pytest.mark.parametrize("freedom", [3, 7, 16, 200])
def test_students_t_is_the_integral_of_its_density(freedom):
    x = np.linspace(-1.7, 1.7, 100_001)
    density = (1 + x**2 / freedom) ** (-(freedom + 1) / 2)
    log_scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)
    scale = math.exp(log_scale) / math.sqrt(freedom * math.pi)
    inside = scale * np.trapezoid(density, x)
    assert significance.two_sided(1.7, freedom) == pytest.approx(1 - inside, abs=1e-8)


def test_quantiles_are_those_of_the_tables():
    known = {1: 12.706, 2: 4.303, 7: 2.365, 10: 2.228, 120: 1.980}
    found = {freedom: significance.quantile(0.05, freedom) for freedom in known}
    assert found == pytest.approx(known, abs=5e-4)


def test_holms_correction_by_hand():
    """.005 * 4, then .01 * 3, .03 * 2, and .04, which is at most as sure as the one before it."""
    assert significance.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert significance.holm([0.9, 0.6]) == [1.0, 1.0]


def test_seeds_that_are_shared_are_paired_and_pooled():
    """The second seed moves two variants by 1, and one that is noisier by 1.2."""
    first, other, noisy = [1.0, 2.0], [1.5, 2.5], [1.1, 2.3]
    alone = significance.seed_noise(noisy, first, [first, noisy])
    assert alone == SeedNoise(pytest.approx(np.var([0.1, 0.3], ddof=1) / 2), 1)
    several = [[0.0], first, other, noisy]  # the first is a model that was not trained
    assert significance.seed_noise(noisy, first, several).freedom == 2
    assert significance.seed_noise(noisy, first, several).variance == pytest.approx(0.01)
    # The six residuals are 1/30 in size, four of them, and 2/30, two, over two degrees.
    pooled = significance.seed_noise(other, first, several).variance
    assert pooled == pytest.approx(2 * (4 / 30**2 + 2 * (2 / 30) ** 2) / 2 / 2)


def test_one_model_and_several_runs_are_independent():
    found = significance.seed_noise([0.5], [0.1, 0.2, 0.6], [[0.5], [0.1, 0.2, 0.6]])
    assert found == SeedNoise(pytest.approx(np.var([0.1, 0.2, 0.6], ddof=1) / 3), 2)
    assert significance.seed_noise([0.5], [0.1], [[0.5], [0.1]]) is None


@pytest.mark.parametrize("noise", [None, SeedNoise(0.0004, 1), SeedNoise(0.01, 7)])
def test_an_interval_ends_at_0_where_p_is_five_percent(noise):
    at_0 = significance.interval(0.0, [-0.02, 0.05], noise)
    assert significance.p_value(0.0, [-0.02, 0.05], noise) == 1.0
    for value in (-at_0[1], -at_0[0]):  # as far as the interval reaches
        ends = [value - 0.02, value + 0.05]
        low, high = significance.interval(value, ends, noise)
        assert min(abs(low), abs(high)) == pytest.approx(0, abs=1e-9)
        assert significance.p_value(value, ends, noise) == pytest.approx(0.05, abs=1e-6)


@pytest.mark.parametrize("noise", [None, SeedNoise(0.0, 1), SeedNoise(1e-30, 1)])
def test_what_does_not_vary_is_sure(noise):
    for ends in ([0.98, 1.05], [1.0, 1.0]):
        assert significance.p_value(1.0, ends, noise) == pytest.approx(0, abs=1e-9)


def test_what_is_said_holds_for_all_rows_together():
    rows = [[name, Cell(0.1, [0.01, 0.2], p=p)] for name, p in (("a", 0.03), ("b", 0.001))]
    rows.append(["c", Cell(None)])
    table = Table("title", [("less x", ""), ("Brier", "+.3f")], rows)
    assert compared.sentence(table, "Brier") == "Brier, less x: b worse; a, c not shown to differ."


@pytest.mark.parametrize("seeds", [2, 3])
def test_recipes_that_do_not_differ_are_seldom_said_to(seeds):
    """Six times one recipe, whose seeds move confidences by more than queries do: over queries
    alone more than half of the cells would be sure."""
    draws = np.random.default_rng(0)
    cells = said = tables = 0
    weights = metrics.resample(40, 40, 0)
    brier = {"Brier": metrics.brier}
    for _ in range(60):
        correct = (draws.uniform(size=(40, 2)) < 0.4).astype(float)
        query = draws.uniform(0.2, 0.6, (40, 1))
        found = {
            f"variant {number}": [
                (np.clip(query + moved + draws.normal(0, 0.02, (40, 2)), 0, 1), correct)
                for moved in draws.normal(0, 0.1, seeds)
            ]
            for number in range(6)
        }
        table = compared.differences("title", found, brier, weights, "variant 0")
        apart = compared.column(table, "Brier").values()
        cells += sum(cell.ci95[0] > 0 or cell.ci95[1] < 0 for cell in apart)
        sentence = compared.sentence(table, "Brier")
        said += "better" in sentence or "worse" in sentence
        tables += 1
    assert cells <= 0.05 * 5 * tables
    assert said <= 0.05 * tables
