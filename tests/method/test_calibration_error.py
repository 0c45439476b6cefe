"""ECE and KS error: the plain figures against others' code, the intervals against simulations."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_calibration_error

from pipelines.method.calibration_error import difference, ece, ks
from pipelines.method.metrics import each_once, interval, resample


def draw(rng, queries, error, share=0.5, luck=None):
    """16 responses a query, whose true ECE is `error`: correct less often than claimed.

    Confidences of a query are alike, and a hidden luck makes its responses right together.
    """
    of_query = 0.15 + 0.6 * rng.beta(2, 3, (queries, 1))
    confidence = np.clip(of_query + rng.normal(0, 0.12, (queries, 16)), 0.16, 0.84)
    luck = rng.normal(size=(queries, 1)) if luck is None else luck
    latent = np.sqrt(share) * luck + np.sqrt(1 - share) * rng.normal(size=(queries, 16))
    bound = torch.special.ndtri(torch.tensor(confidence - error)).numpy()
    return confidence, (latent < bound).astype(float)


def test_ece_is_that_of_torchmetrics():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0, 1, (500, 10))  # off the bins' edges, where libraries differ
    correct = (rng.uniform(0, 1, (500, 10)) < confidence**2).astype(float)
    theirs = binary_calibration_error(
        torch.tensor(confidence).flatten(), torch.tensor(correct).flatten(), n_bins=10
    )
    ours = ece(confidence, correct, each_once(500))
    assert ours.plain == pytest.approx(theirs.item(), abs=1e-6)


def test_confidence_one_is_in_the_last_bin():
    assert ece(np.ones((2, 1)), np.zeros((2, 1)), each_once(2)).plain == 1.0


def test_ks_is_the_largest_gap_of_two_cumulated_shares():
    rng = np.random.default_rng(2)
    confidence = np.round(rng.uniform(size=(40, 3)), 1)  # ties have no order
    correct = (rng.uniform(size=(40, 3)) < 0.4).astype(float)
    gaps = [
        abs((correct - confidence)[confidence <= c].sum()) / confidence.size
        for c in np.unique(confidence)
    ]
    assert ks(confidence, correct, each_once(40)).plain == pytest.approx(max(gaps))


def test_ks_of_many_responses_is_read_at_quantiles():
    rng = np.random.default_rng(3)
    confidence, correct = draw(rng, 400, 0.05)
    order = np.argsort(confidence, axis=None)
    exact = np.abs(np.cumsum((correct - confidence).ravel()[order])).max() / confidence.size
    assert ks(confidence, correct, each_once(400)).plain == pytest.approx(exact, abs=0.002)


@pytest.mark.parametrize(
    ("measure", "queries"), [(ece, 50), (ece, 100), (ece, 500), (ks, 50), (ks, 100)]
)
@pytest.mark.parametrize("error", [0.0, 0.05, 0.15])
def test_the_interval_covers(measure, error, queries):
    """In nine of ten samples at least; a true value of 0 lies under every percentile interval."""
    rng = np.random.default_rng(0)
    trials = 100 if queries < 500 else 40
    found = [
        measure(*draw(rng, queries, error), resample(queries, 200, seed)) for seed in range(trials)
    ]
    covered = [low <= error <= high for low, high in (one.ci95 for one in found)]
    assert np.mean(covered) >= 0.9
    assert all(one.ci95[0] <= one.debiased <= one.ci95[1] for one in found)
    plain, debiased = np.mean([[one.plain, one.debiased] for one in found], axis=0)
    if error:
        assert debiased == pytest.approx(error, abs=0.015)
    else:
        assert debiased < 0.8 * plain
        assert not any(low <= 0 for low, _ in (interval(one.resampled) for one in found))


@pytest.mark.parametrize(("before", "after"), [(0.15, 0.05), (0.15, 0.0), (0.05, 0.05)])
def test_the_interval_of_a_difference_covers(before, after):
    """Two models on the same queries, whose luck they share."""
    rng = np.random.default_rng(0)
    covered = []
    for seed in range(100):
        luck, weights = rng.normal(size=(100, 1)), resample(100, 300, seed)
        first, second = (ece(*draw(rng, 100, e, luck=luck), weights) for e in (before, after))
        _, (low, high) = difference(first, second)
        covered.append(low <= after - before <= high)
    assert np.mean(covered) >= 0.9


def test_no_difference_of_a_model_with_itself():
    found = ece(*draw(np.random.default_rng(0), 80, 0.1), resample(80, 200, 0))
    value, (low, high) = difference(found, found)
    assert value == 0
    assert low <= 0 <= high
    assert high - low < found.ci95[1] - found.ci95[0]
