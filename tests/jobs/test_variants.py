"""Recipes of training examples, compared on the responses of one model."""

import json
from functools import partial

import labeling
import numpy as np
import pytest
import torch
from ray import cloudpickle

from jobs.benchmarks import recipes
from jobs.benchmarks.confidences import STATISTICS, difference, score
from pipelines.config import Config
from pipelines.method.prompts import Prompts
from pipelines.stages import label
from pipelines.training.lora import load_base


def config_of(tiny, root="unused"):
    return Config.model_validate(
        {
            "root": str(root),
            "model": {"source": str(tiny)},
            "data": {
                "train": [{"name": "capitals", "limit": 6}],
                "calibration": [{"name": "capitals", "split": "calibration", "limit": 4}],
                "eval": [{"name": "capitals", "split": "test", "limit": 2}],
            },
            "sampling": {"num_samples": 4, "max_tokens": 32},
            "examples": {"total": 16},
            "train": {"dtype": "float32", "batch_size": 8, "learning_rate": 0.01},
        }
    )


def test_a_difference_is_paired_and_of_the_mean_over_seeds():
    """Two seeds .1 and .2 above base on every query: the interval has no width."""
    draws = np.random.default_rng(0)
    base = draws.uniform(0, 0.5, (20, 4))
    correct = (draws.uniform(size=(20, 4)) < 0.3).astype(float)
    trained = [(base + shift, correct) for shift in (0.1, 0.2)]
    mean, interval = difference(STATISTICS["mean_c"], (base, correct), trained)
    assert [mean, *interval] == pytest.approx([0.15, 0.15, 0.15])


def test_a_differences_interval_is_over_queries():
    """Queries differ by 0 or 1 and their samples are alike: the mean of 100 is within .5 +- .1."""
    base = np.zeros((100, 8))
    trained = np.repeat([[0.0], [1.0]], 50, axis=0) + base
    mean, interval = difference(STATISTICS["mean_c"], (base, base), [(trained, base)])
    assert mean == 0.5
    assert interval == pytest.approx([0.402, 0.598], abs=0.015)


def test_scores_are_those_of_each_response_alone(tiny):
    config, prompts = config_of(tiny), Prompts.load(tiny)
    model = load_base(tiny, config)
    asked = [prompts.sampling_ids(f"What is the capital of {name}?") for name in ("Peru", "Chile")]
    responses = [[[500, 600], [500, 600], [7]], [[500, 600, 8], [9, 10], [11]]]
    rows = [
        {
            "prompt_ids": ids, "response_ids": of, "reference": "Lima", "kind": "text",
            "samples": [{"answer": answer} for answer in ("lima", None, "quito")],
        }
        for ids, of in zip(asked, responses, strict=True)
    ]  # fmt: skip
    confidence, correct = score(config, model, rows)
    assert correct.tolist() == [[1, 0, 0], [1, 0, 0]]
    for ids, of, found in zip(asked, responses, confidence, strict=True):
        for response, c in zip(of, found, strict=True):
            with torch.no_grad():
                logits = model(torch.tensor([prompts.scoring_ids(ids, response)])).logits[0, -1]
            assert c == pytest.approx(float(logits.softmax(-1)[prompts.yes_id]), rel=1e-4)


def told(capfd):
    return [line for line in capfd.readouterr().out.splitlines() if line.startswith("{")]


@pytest.mark.process
def test_a_comparison_goes_on_where_it_was_cut(tiny, tmp_path, monkeypatch, capfd):
    cloudpickle.register_pickle_by_value(labeling)  # Ray's workers do not find the tests' helpers
    monkeypatch.setattr(label, "run", partial(label.run, make_engine=labeling.engine))
    config = config_of(tiny, tmp_path)
    first = recipes.compare(config, ["weighted"], 1)
    lines = [json.loads(line) for line in told(capfd)]
    assert recipes.compare(config, ["weighted"], 1) == first
    assert told(capfd) == []
    assert [line["recipe"] for line in lines] == ["base", "weighted_0"]
    assert all({"mean_c", "ece", "auroc", "brier"} <= set(line) for line in lines)
    (figure,) = first
    assert figure.name == "recipes.weighted"
    assert (figure.baseline, figure.ours) == pytest.approx([x["brier"] for x in lines], abs=1e-4)
    (manifest,) = tmp_path.glob("responses-*/_MANIFEST.json")
    assert json.loads(manifest.read_text())["rows"] == 4  # no test query is looked at
