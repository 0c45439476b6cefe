"""Metrics against torchmetrics."""

import numpy as np
import pytest
import torch
from torchmetrics.functional import mean_squared_error
from torchmetrics.functional.classification import binary_auroc, binary_calibration_error

from pipelines.method import metrics


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    confidence = np.round(rng.uniform(0, 1, 3000), 2)  # with ties, and with 0.0 and 1.0
    correct = (rng.uniform(0, 1, 3000) < confidence**2).astype(float)
    return confidence, correct


def accuracy(confidence, correct):
    return float(correct.mean())


def test_auroc(data):
    confidence, correct = data
    theirs = binary_auroc(torch.tensor(confidence), torch.tensor(correct).long())
    assert metrics.auroc(confidence, correct) == pytest.approx(theirs.item(), abs=1e-6)
    assert metrics.auroc(confidence, np.ones_like(correct)) is None


def test_brier(data):
    confidence, correct = data
    theirs = mean_squared_error(torch.tensor(confidence), torch.tensor(correct))
    assert metrics.brier(confidence, correct) == pytest.approx(theirs.item())


def test_ece():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0, 1, 5000)  # off the bins' edges, where libraries differ
    correct = (rng.uniform(0, 1, 5000) < confidence**2).astype(float)
    theirs = binary_calibration_error(torch.tensor(confidence), torch.tensor(correct), n_bins=10)
    assert metrics.ece(confidence, correct) == pytest.approx(theirs.item(), abs=1e-6)


def test_ece_keeps_confidence_one():
    assert metrics.ece(np.array([1.0, 1.0]), np.array([0.0, 0.0])) == 1.0


def test_empty_is_undefined():
    empty = np.array([])
    assert metrics.ece(empty, empty) is None
    assert metrics.brier(empty, empty) is None


def test_reliability_curve(data):
    confidence, correct = data
    curve = metrics.reliability(confidence, correct)
    assert sum(count for _, _, count in curve) == len(confidence)
    gap = sum(abs(x - y) * n for x, y, n in curve) / len(confidence)
    assert gap == pytest.approx(metrics.ece(confidence, correct))


def test_bootstrap_interval_is_that_of_the_mean():
    """Of 400 queries with one response, the 95% interval is the normal one."""
    rng = np.random.default_rng(0)
    correct = [np.array([float(rng.uniform() < 0.3)]) for _ in range(400)]
    confidence = [np.array([0.5])] * 400
    mean = np.mean(correct)
    low, high = metrics.bootstrap_by_query(accuracy, confidence, correct, 800, 0)
    half = 1.96 * np.sqrt(mean * (1 - mean) / 400)
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.012)
    intervals = metrics.bootstrap_means(np.array(correct), 800, 0)
    assert intervals[0] == pytest.approx((low, high), abs=0.012)


def test_bootstrap_resamples_queries_not_responses():
    """Ten equal responses of a query are one fact: the interval must not shrink."""
    rng = np.random.default_rng(0)
    one = [np.array([float(rng.uniform() < 0.5)]) for _ in range(60)]
    ten = [np.repeat(y, 10) for y in one]
    narrow = metrics.bootstrap_by_query(accuracy, one, one, 400, 0)
    wide = metrics.bootstrap_by_query(accuracy, ten, ten, 400, 0)
    assert wide == pytest.approx(narrow)


@pytest.mark.parametrize(
    ("accuracy", "expected"), [(0.5, 1.0), (0.55, 1.5), (0.6, 2.0), (0.7, 4.0), (0.9, None)]
)
def test_samples_for_an_accuracy(accuracy, expected):
    curve = [(1.0, 0.5), (2.0, 0.6), (4.0, 0.7)]
    assert metrics.samples_for(accuracy, curve) == (
        None if expected is None else pytest.approx(expected)
    )
