"""What the report measures, against counting by hand; and the page of any results."""

import re

import numpy as np
import pytest

from pipelines.config import Config
from pipelines.method.answers import canonical
from pipelines.stages.report.measure import measure
from pipelines.stages.report.page import render

CONFIG = Config.model_validate(
    {
        "root": "r",
        "model": {"source": "builtin:smollm2-135m"},
        "data": {"train": [{"name": "capitals"}]},
        "evaluate": {
            "num_samples": 3,
            "policies": ["self_consistency", "early_stopping"],
            "thresholds": [0.5, 0.9],
            "bootstrap": 20,
        },
    }
)


def row(reference, *samples):
    return {
        "reference": reference,
        "kind": "text",
        "samples": [
            {"answer": answer and canonical(answer, "text"), "p_true": p} for answer, p in samples
        ],
    }


TEST = [
    row("Rome", ("Rome", 0.6), ("Milan", 0.2), ("Milan", 0.1)),
    row("Oslo", ("Bergen", 0.7), ("Oslo", 0.95), ("Oslo", 0.9)),
    row("Lima", (None, 0.9), ("Lima", 0.4), ("Lima", 0.3)),
]
# Here 0.9 is right and 0.5 is not, so 0.9 is what the calibration queries choose.
CALIBRATION = [row("Bern", ("Basel", 0.6), ("Bern", 0.95), ("Bern", 0.9))]


def points(name):
    return measure(CONFIG, TEST, CALIBRATION)["policies"][name]


def test_figures_of_responses():
    measured = measure(CONFIG, TEST, CALIBRATION)
    assert (measured["queries"], measured["responses"], measured["unparsed"]) == (3, 9, 1)
    assert measured["accuracy"] == pytest.approx(5 / 9)  # without an answer is wrong
    right = np.array([1, 0, 0, 0, 1, 1, 0, 1, 1])
    c = np.array([0.6, 0.2, 0.1, 0.7, 0.95, 0.9, 0.9, 0.4, 0.3])
    assert measured["brier"] == pytest.approx(np.mean((c - right) ** 2))
    for low, high in measured["ci95"].values():
        assert 0 <= low <= high <= 1


def test_a_policy_over_budgets():
    """SC: of ties the answer seen first; one without an answer never votes."""
    accuracy = [point["accuracy"] for point in points("self_consistency")]
    assert accuracy == pytest.approx([1 / 3, 2 / 3, 2 / 3])
    assert [point["avg_samples"] for point in points("self_consistency")] == [1, 2, 3]


def test_a_threshold_is_chosen_on_the_calibration_queries():
    found = points("early_stopping")
    assert [(p["threshold"], p["budget"]) for p in found] == [
        (0.5, 1), (0.5, 2), (0.5, 3), (0.9, 1), (0.9, 2), (0.9, 3),
    ]  # fmt: skip
    assert [p["threshold"] for p in found if p["chosen"]] == [0.9] * 3
    last = found[-1]
    # Rome by the best of three; Oslo at 0.95, after two; Lima after the best of three.
    assert last["avg_samples"] == pytest.approx((3 + 2 + 3) / 3)
    assert last["accuracy"] == pytest.approx(1)


def results(measured):
    tokens = dict.fromkeys(
        ("generated_tokens", "prompt_tokens", "scored_tokens", "cached_tokens"), 10.0
    )
    tokens["mass"] = 0.481
    return {
        "datasets": {"<b>capitals": {"base": measured, "calibrated": measured}},
        "samples_saved": {"<b>capitals": {}},
        "cost": {
            "seconds": {"label": 3.0},
            "label": tokens,
            "train": {"steps": 2, "examples": 32, "tokens": 100},
            "evaluate": {"base": tokens, "calibrated": tokens},
            "break_even_queries": None,
        },
        "live": {"base": {"runs": 1, "same_samples": 1}},
    }


def test_the_page_holds_the_figures_and_escapes_names():
    measured = measure(CONFIG, TEST, CALIBRATION)
    arrays = (np.array([0.1, 0.9]), np.array([0.0, 1.0]))
    losses = [{"step": 1, "calibration": 0.2, "generation": None}] * 2
    page = render(
        results(measured),
        {"<b>capitals": {"base": arrays, "calibrated": arrays}},
        losses,
        CONFIG,
    )
    assert page.count(f"{measured['accuracy']:.3f}") >= 2
    assert page.count("<td>0.481<") == 3
    assert "<b>capitals" not in page
    assert len(re.findall("<svg", page)) == 4
