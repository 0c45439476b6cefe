"""Metrics against torchmetrics, and their bootstrap against resamples written out."""

import time

import numpy as np
import pytest
import torch
from torchmetrics.functional import mean_squared_error
from torchmetrics.functional.classification import binary_auroc

from pipelines.method import metrics


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    confidence = np.round(rng.uniform(0, 1, (300, 10)), 2)  # with ties, and with 0.0 and 1.0
    correct = (rng.uniform(0, 1, (300, 10)) < confidence**2).astype(float)
    return confidence, correct


def figure(metric, confidence, correct):
    return float(metric(confidence, correct, metrics.each_once(len(confidence)))[0])


def test_auroc(data):
    confidence, correct = data
    theirs = binary_auroc(torch.tensor(confidence).flatten(), torch.tensor(correct).flatten().int())
    assert figure(metrics.auroc, confidence, correct) == pytest.approx(theirs.item(), abs=1e-6)
    assert np.isnan(figure(metrics.auroc, confidence, np.ones_like(correct)))


def test_wqd_is_of_pairs_of_one_query(data):
    """Brute force; and of each query alone it is its AUROC."""
    confidence, correct = data
    won = pairs = 0
    for c, right in zip(confidence, correct, strict=True):
        for i in np.flatnonzero(right):
            for j in np.flatnonzero(right == 0):
                won += 1 if c[i] > c[j] else 0.5 if c[i] == c[j] else 0
                pairs += 1
    assert figure(metrics.wqd, confidence, correct) == pytest.approx(won / pairs)
    one = confidence[:1], correct[:1]
    assert figure(metrics.wqd, *one) == pytest.approx(figure(metrics.auroc, *one))


def test_wqd_sees_nothing_of_what_differs_between_queries():
    """Confidence that tells easy queries from hard ones ranks all responses, and no query's."""
    confidence = np.repeat([[0.9], [0.1]], 4, axis=1)
    correct = np.array([[1.0, 1, 1, 0], [1, 0, 0, 0]])
    assert figure(metrics.auroc, confidence, correct) == 0.75
    assert figure(metrics.wqd, confidence, correct) == 0.5
    assert np.isnan(figure(metrics.wqd, confidence, np.ones((2, 4))))  # no pairs


def test_brier(data):
    confidence, correct = data
    theirs = mean_squared_error(torch.tensor(confidence), torch.tensor(correct))
    assert figure(metrics.brier, confidence, correct) == pytest.approx(theirs.item())


def test_reliability_curve(data):
    confidence, correct = data
    curve = metrics.reliability(confidence, correct)
    assert sum(count for _, _, count in curve) == confidence.size
    bins = np.minimum(np.round(confidence * 100) // 10, 9)
    for x, y, count in curve:
        inside = bins == np.floor(x * 10)
        assert (count, y) == (inside.sum(), pytest.approx(correct[inside].mean()))


@pytest.mark.parametrize("metric", [metrics.accuracy, metrics.brier, metrics.auroc, metrics.wqd])
def test_weights_are_queries_drawn_with_replacement(data, metric):
    """A weight of 2 is a query that stands twice, with all its responses."""
    confidence, correct = data
    weights = metrics.resample(len(confidence), 5, seed=3)
    assert weights.sum(1) == pytest.approx(len(confidence))
    drawn = [np.repeat(np.arange(len(confidence)), row.astype(int)) for row in weights]
    expected = [figure(metric, confidence[rows], correct[rows]) for rows in drawn]
    assert metric(confidence, correct, weights) == pytest.approx(expected)


def test_the_interval_is_that_of_the_mean():
    """Of 400 queries with one response, the 95% interval is the normal one."""
    correct = (np.random.default_rng(0).uniform(size=(400, 1)) < 0.3).astype(float)
    weights = metrics.resample(400, 2000, seed=0)
    low, high = metrics.interval(metrics.accuracy(correct, correct, weights))
    mean = correct.mean()
    half = 1.96 * np.sqrt(mean * (1 - mean) / 400)
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.006)


def test_ten_equal_responses_of_a_query_are_one_fact():
    one = (np.random.default_rng(0).uniform(size=(60, 1)) < 0.5).astype(float)
    weights = metrics.resample(60, 400, seed=0)
    narrow, wide = (
        metrics.interval(metrics.accuracy(c, c, weights)) for c in (one, np.repeat(one, 10, axis=1))
    )
    assert wide == pytest.approx(narrow)


def test_an_undefined_resample_is_left_out():
    """Two queries, all right and all wrong: a resample may have one class, and then no AUROC."""
    confidence, correct = np.array([[0.9], [0.1]]), np.array([[1.0], [0.0]])
    values = metrics.auroc(confidence, correct, metrics.resample(2, 50, seed=0))
    assert np.isnan(values).any()
    assert metrics.interval(values) == [1, 1]
    assert metrics.interval(np.full(3, np.nan)) is None


def test_a_thousand_resamples_of_a_thousand_queries_take_seconds():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(size=(1000, 16)).astype(np.float32).astype(np.float64)
    correct = (rng.uniform(size=(1000, 16)) < confidence).astype(float)
    weights = metrics.resample(1000, 250, seed=0)

    def seconds():
        began = time.process_time()
        metrics.auroc(confidence, correct, weights)
        return time.process_time() - began

    assert min(seconds() for _ in range(3)) < 2.5  # a quarter of the resamples
