"""Recalibration against torch's optimizers, closed forms, and least squares by another way."""

import numpy as np
import pytest
import torch

from pipelines.method.metrics import auroc, each_once
from pipelines.method.recalibration import (
    FEATURES,
    FITS,
    Isotonic,
    Ridge,
    Seen,
    logit,
    platt,
    sigmoid,
    temperature,
)


def drawn(rng, responses=400):
    """Confidences that claim too much, and soft labels."""
    c = rng.beta(2, 2, responses)
    return c, np.clip(sigmoid(0.4 * logit(c) - 0.8) + rng.normal(0, 0.1, responses), 0, 1)


def by_torch(columns, target):
    """Coefficients of least cross entropy, by L-BFGS on torch's own loss."""
    x, y = torch.tensor(np.stack(columns, axis=1)), torch.tensor(target)
    w = torch.zeros(len(columns), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [w], max_iter=500, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(x @ w, y)
        loss.backward()
        return loss

    optimizer.step(closure)
    return w.detach().numpy()


def test_the_temperature_is_that_of_least_cross_entropy():
    c, target = drawn(np.random.default_rng(0))
    (slope,) = by_torch([logit(c)], target)
    assert temperature(c, target) == pytest.approx(1 / slope, rel=1e-6)


def test_a_temperature_that_was_applied_is_found_again():
    c = np.random.default_rng(1).uniform(0.01, 0.99, 300)
    assert temperature(c, sigmoid(logit(c) / 2.5)) == pytest.approx(2.5)
    assert temperature(c, 1 - c) == pytest.approx(100)  # no T turns an order round


def test_platt_is_that_of_least_cross_entropy():
    c, target = drawn(np.random.default_rng(2))
    plus, minus = target.sum(), (1 - target).sum()
    smooth = target * (plus + 1) / (plus + 2) + (1 - target) / (minus + 2)
    expected = by_torch([logit(c), np.ones_like(c)], smooth)
    assert platt(c, target) == pytest.approx(expected, rel=1e-5)


def test_platt_of_one_confidence_is_the_share_that_is_right():
    """A closed form; slope and offset are any of those that give it."""
    right = np.array([1.0] * 12 + [0.0] * 28)
    slope, offset = platt(np.full(40, 0.7), right)
    expected = (12 * 13 / 14 + 28 / 30) / 40
    assert sigmoid(slope * logit(np.array(0.7)) + offset) == pytest.approx(expected)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_labels_that_are_all_alike_have_a_finite_map(label):
    c = np.random.default_rng(3).uniform(0, 1, 50)
    for name, fit in FITS.items():
        found = fit(seen(c), np.full(50, label), np.arange(50)).recalibrate(seen(c))
        assert np.isfinite(found).all(), name
        if name != "temperature":  # which leaves what is under a half under a half
            assert np.abs(found - label).max() < 0.05, name


def test_isotonic_is_the_closed_form_of_least_squares():
    """max over i <= k of min over j >= k of the mean of i to j."""
    rng = np.random.default_rng(4)
    x, y = np.arange(60.0), np.sin(np.arange(60) / 9) + rng.normal(0, 0.5, 60)
    means = [[y[i : j + 1].mean() if j >= i else np.nan for j in range(60)] for i in range(60)]
    expected = [
        max(min(means[i][j] for j in range(k, 60)) for i in range(k + 1)) for k in range(60)
    ]
    order = rng.permutation(60)
    fitted = Isotonic.fit(x[order], y[order])
    assert fitted(x) == pytest.approx(expected)


def test_isotonic_pools_ties_and_is_flat_beyond_its_ends():
    fitted = Isotonic.fit(np.array([0.2, 0.2, 0.6]), np.array([0.0, 0.4, 1.0]))
    assert fitted(np.array([0.0, 0.2, 0.4, 0.6, 1.0])) == pytest.approx([0.2, 0.2, 0.6, 1, 1])


def test_ridge_is_that_of_least_squares_with_rows_for_the_weights():
    rng = np.random.default_rng(5)
    features = rng.normal(3, [1, 5, 0.1, 1, 0], (200, len(FEATURES)))
    target = features @ rng.normal(size=len(FEATURES)) + rng.normal(size=200)
    x = features - features.mean(0)
    x[:, :-1] /= features.std(0)[:-1]
    rows = np.vstack([np.c_[x, np.ones(200)], np.c_[np.eye(5), np.zeros(5)]])
    expected = np.linalg.lstsq(rows, np.r_[target, np.zeros(5)], rcond=None)[0]
    fitted = Ridge.fit(features, target)
    assert [*fitted.weights, fitted.offset] == pytest.approx(expected)
    assert fitted(features) == pytest.approx(np.c_[x, np.ones(200)] @ expected)


def test_a_feature_that_never_changed_says_nothing_where_it_does():
    """As where all prompts to train on have one length: the deviation of equal numbers is not 0."""
    rng = np.random.default_rng(0)
    features = np.c_[rng.normal(size=24), np.full(24, np.log(0.97))]
    assert 0 < features.std(0)[1] < 1e-15
    fitted = Ridge.fit(features, rng.uniform(size=24))
    there, elsewhere = fitted(np.array([[0.0, np.log(0.97)], [0.0, 5.0]]))
    assert elsewhere == pytest.approx(there, abs=1e-6)


def seen(c, cut=None):
    ones = np.ones_like(c)
    return Seen.of(c, 0.5 * ones, 10 * ones, 20 * ones, ones * 0 if cut is None else cut)


def test_monotone_maps_keep_the_order_and_ridge_learns_what_confidence_lacks():
    """Here cut responses are wrong, which P(True) does not know."""
    rng = np.random.default_rng(6)
    cut = rng.uniform(size=(300, 4)) < 0.5
    c = rng.uniform(0.1, 0.9, (300, 4))
    target = np.where(cut, 0.1, 0.3 + 0.5 * c)
    query = np.repeat(np.arange(300), 4)
    right = (rng.uniform(size=c.shape) < target).astype(float)
    flat = seen(c.ravel(), cut.ravel())
    ranks = {}
    for name, fit in FITS.items():
        found = fit(flat, target.ravel(), query).recalibrate(seen(c, cut))
        assert found.shape == c.shape
        assert found.min() >= 0
        assert found.max() <= 1
        assert np.mean((found - target) ** 2) < np.mean((c - target) ** 2), name
        ranks[name] = auroc(found, right, each_once(300))[0]
    base = auroc(c, right, each_once(300))[0]
    assert ranks["temperature"] == ranks["platt"] == pytest.approx(base)
    assert ranks["isotonic"] == pytest.approx(base, abs=0.01)  # but for the ties it makes
    assert ranks["ridge"] > base + 0.1


def test_the_isotonic_map_of_ridge_is_fitted_on_other_queries():
    """The labels of odd queries set the levels, those of even ones only what the order is by."""
    c = np.linspace(0.1, 0.9, 40)
    query = np.arange(40)
    target = np.where(query % 2 == 0, 1.0, 0.25) * c
    found = FITS["ridge"](seen(c), target, query).recalibrate(seen(c))
    assert found[-1] == pytest.approx(0.25 * c[-1])


def test_confidences_of_zero_and_one_stay_finite():
    c = np.array([0.0, 1.0, 0.5, 0.0])
    for name, fit in FITS.items():
        found = fit(seen(c), np.array([0.1, 0.9, 0.5, 0.2]), np.arange(4)).recalibrate(seen(c))
        assert np.isfinite(found).all(), name
