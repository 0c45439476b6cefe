"""How far a merged model's confidence is from base + adapter, against models that stay apart."""

import numpy as np
import pytest
import torch
from adapters import write_adapter
from peft import PeftModel
from transformers import AutoModelForCausalLM

from pipelines.config import Config
from pipelines.method.prompts import Prompts
from pipelines.training.drift import confidences, measure, told
from pipelines.training.lora import merge


def config(model, dtype):
    return Config.model_validate(
        {
            "root": "r",
            "model": {"source": str(model)},
            "data": {"train": [{"name": "capitals"}]},
            "confidence": {"kind": "yes_no"},  # of a random model far from 0 and 1
            "train": {"dtype": dtype},
        }
    )


@pytest.fixture(scope="module")
def adapter(tiny, tmp_path_factory):
    return write_adapter(tiny, tmp_path_factory.mktemp("drift") / "adapter")


@pytest.fixture(scope="module")
def rows(tiny):
    prompts = Prompts.load(tiny)
    draws = np.random.default_rng(0)
    return [
        {
            "prompt_ids": prompts.sampling_ids(f"What is the capital of {name}?"),
            "response_ids": draws.integers(100, 5000, 3 + number).tolist(),
            "turn_ids": prompts.turn_ids,
        }
        for number, name in enumerate("ABCDEF")
    ]


def yes(model, rows, tiny):
    """The share of Yes in Yes and No after each row, in float64."""
    prompts, found = Prompts.load(tiny), []
    for row in rows:
        with torch.no_grad():
            logits = model(torch.tensor([[i for part in row.values() for i in part]])).logits[0, -1]
        p = logits.double().softmax(-1)
        found.append(float(p[prompts.yes_id] / (p[prompts.yes_id] + p[prompts.no_id])))
    return np.array(found)


def load(path, dtype):
    return AutoModelForCausalLM.from_pretrained(path, dtype=dtype)


def as_measured(one, other):
    apart = np.abs(one - other)
    return {
        "mean": pytest.approx(apart.mean(), abs=1e-6),
        "max": pytest.approx(apart.max(), abs=1e-6),
    }


def test_each_difference_is_that_of_separate_models(tiny, adapter, rows, tmp_path):
    made = config(tiny, "bfloat16")
    merge(tiny, adapter, made, tmp_path)
    found = measure(tiny, adapter, tmp_path, rows, made)
    narrow = PeftModel.from_pretrained(
        load(tiny, torch.bfloat16), adapter, autocast_adapter_dtype=False
    )
    assert {one.dtype for one in narrow.parameters()} == {torch.bfloat16}
    base, tuned = yes(load(tiny, torch.bfloat16), rows, tiny), yes(narrow, rows, tiny)
    merged = yes(load(tmp_path, torch.bfloat16), rows, tiny)
    rounded = load(tiny, torch.bfloat16).float()  # what was trained has the weights in bfloat16
    exact = yes(PeftModel.from_pretrained(rounded, adapter), rows, tiny)
    assert found == {
        "examples": 6,
        "effect": as_measured(tuned, base),
        "merged": as_measured(merged, tuned),
        "adapter_float32": as_measured(tuned, exact),
        "merged_float32": as_measured(merged, exact),
    }
    assert found["merged"]["mean"] > 1e-4


def test_the_head_meets_the_position_that_is_read_alone(tiny, adapter, rows):
    model, met = load(tiny, torch.float32), []
    model.get_output_embeddings().register_forward_pre_hook(lambda _, given: met.append(given[0]))
    for one in (model, PeftModel.from_pretrained(model, adapter)):
        met.clear()
        confidences(one, rows, "yes_no", Prompts.load(tiny))
        assert [tuple(hidden.shape[:2]) for hidden in met] == [(1, 1)] * len(rows)


def test_in_float32_a_merge_loses_nothing(tiny, adapter, rows, tmp_path):
    made = config(tiny, "float32")
    merge(tiny, adapter, made, tmp_path)
    found = measure(tiny, adapter, tmp_path, rows, made)
    assert found["effect"]["mean"] > 0.01
    for name in ("merged", "adapter_float32", "merged_float32"):
        assert found[name]["max"] < 1e-5


def test_another_model_in_the_merged_ones_place_is_all_of_the_effect_away(tiny, adapter, rows):
    found = measure(tiny, adapter, tiny, rows, config(tiny, "float32"))
    assert found["merged"] == found["effect"]


@pytest.mark.parametrize(
    ("merged", "rounding", "advice"),
    [(0.004, 0.003, None), (0.019, 0.002, "engine.adapter=lora"), (0.019, 0.016, "train.dtype")],
)
def test_what_is_said_of_it(merged, rounding, advice):
    """A cure is named where the drift is large, and the one that cures: LoRA rounds in bfloat16,
    too."""
    line = told(
        {
            "examples": 16,
            "effect": {"mean": 0.149},
            "merged": {"mean": merged, "max": 0.036},
            "adapter_float32": {"mean": rounding},
            "merged_float32": {"mean": merged},
        }
    )
    assert f"{merged} from the adapter's, 0.036 at most" in line
    for key in ("engine.adapter=lora", "train.dtype"):
        assert (key in line) == (key == advice)
    assert "\n" not in line
