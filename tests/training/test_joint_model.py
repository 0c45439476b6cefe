"""The logits of training are the model's own, in families that scale, cap or shift them."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import AutoConfig, AutoModelForCausalLM, LlamaForCausalLM

from pipelines.config import Config
from pipelines.training.joint_model import JointModel, ready
from pipelines.training.micro_batches import collate

TINY = {
    "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16,
    "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip

FAMILIES = {
    # plain
    "llama": {}, "mistral": {}, "qwen2": {}, "qwen3": {}, "phi3": {}, "gemma": {}, "olmo2": {},
    # capped
    "gemma2": {"final_logit_softcapping": 2.0},
    "gemma3_text": {"final_logit_softcapping": 2.0},
    "vaultgemma": {"final_logit_softcapping": 2.0},
    "nanochat": {"final_logit_softcapping": 2.0},
    "recurrent_gemma": {"logits_soft_cap": 2.0},
    # scaled
    "granite": {"logits_scaling": 8.0}, "granitemoe": {"logits_scaling": 8.0},
    "cohere": {"logit_scale": 0.25}, "cohere2": {"logit_scale": 0.25},
    "hyperclovax": {"logits_scaling": 4.0},
    # experts
    "mixtral": {}, "qwen3_moe": {},
}  # fmt: skip
PLAIN = {"llama", "mistral", "qwen2", "qwen3", "phi3", "gemma", "olmo2", "mixtral", "qwen3_moe"}


class Turn:
    """Of method.prompts.Prompts, what a joint model asks for."""

    yes_id, no_id, end_id = 5, 6, 2

    def sampling_ids(self, question):
        return list(range(10, 10 + len(question)))

    def scoring_ids(self, prompt_ids, response_ids):
        return [*prompt_ids, *response_ids, 7, 8]


def config(**changes):
    return Config.model_validate(
        {
            "root": "r",
            "model": {"source": "m"},
            "data": {"train": [{"name": "capitals"}]},
            "train": {"dtype": "float32", **changes},
        }
    )


def made(family, cls=None, **changes):
    settings = AutoConfig.for_model(family, **TINY | FAMILIES[family] | changes)
    torch.manual_seed(0)
    model = cls(settings) if cls else AutoModelForCausalLM.from_config(settings)
    with torch.no_grad():  # as far apart as a trained model's: a cap of 2 is seen
        model.get_output_embeddings().weight.normal_()
    adapter = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    return JointModel(get_peft_model(model, adapter), config(), Turn())


def row(task, prompt, response):
    turn = [7, 8, 9]
    return {
        "task": task, "prompt_ids": prompt, "response_ids": response, "ended": True, "key": (0,),
        "turn_ids": turn, "target": 0.3, "weight": 1.0,
    }  # fmt: skip


ROWS = [
    row("generation", [10, 11, 12], [20, 21]),
    row("generation", [13], [22, 23, 24, 25, 26, 27]),
]


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_the_generation_loss_is_that_of_the_models_own_forward(family):
    module = made(family)
    module.check_logits()
    loss = module(collate(ROWS, "cpu", Turn.end_id))
    causal = module.model.get_base_model()
    own, headed = 0.0, 0.0
    for one in ROWS:
        labels = torch.tensor([*one["response_ids"], Turn.end_id])
        ids = torch.tensor([[*one["prompt_ids"], *one["response_ids"]]])
        said = slice(len(one["prompt_ids"]) - 1, None)
        own += float(cross_entropy(causal(input_ids=ids).logits[0, said], labels))
        hidden = causal.get_decoder()(input_ids=ids).last_hidden_state[0, said]
        headed += float(cross_entropy(causal.get_output_embeddings()(hidden), labels))
    assert float(loss.generation) == pytest.approx(own, rel=1e-5)
    assert (headed == pytest.approx(own, rel=1e-3)) == (family in PLAIN), "the head alone"


@pytest.mark.parametrize("family", ["llama", "gemma2", "cohere", "granite"])
def test_rounding_in_bfloat16_is_no_difference(family):
    made(family).to(torch.bfloat16).check_logits()


class Drifting(LlamaForCausalLM):
    """Does more to its logits, by their place, than its decoder and head do."""

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = output.logits * torch.linspace(1, 2, output.logits.shape[1])[:, None]
        return output


def test_a_model_whose_logits_would_be_others_is_refused():
    with pytest.raises(ValueError, match=r"other logits than a model of type llama gives \(they"):
        made("llama", Drifting).check_logits()


def test_logits_that_are_no_numbers_are_refused():
    module = made("llama")
    with torch.no_grad():
        module.model.get_base_model().get_output_embeddings().weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="other logits"):
        module.check_logits()


def test_dropout_of_the_frozen_model_is_off():
    """It would follow from the cut of a batch; and an engine has none."""
    module = made("llama", attention_dropout=0.5)
    one, other = (module(collate(ROWS, "cpu", 2)).total for _ in range(2))
    assert torch.equal(one, other)


def refused(model_dir, **changes):
    with pytest.raises(ValueError, match=r"^[^\n]+$") as raised:
        ready(model_dir, config(**changes), Turn(), "cpu")
    return str(raised.value)


def test_what_keeps_a_model_from_training_is_one_line(tiny, tmp_path, monkeypatch):
    lora = {"targets": ["norm"]}
    assert refused(tiny, lora=lora).startswith("train.lora.targets: the model has no matrix 'norm'")
    other = tmp_path / "other"
    shutil.copytree(tiny, other)
    settings = json.loads((tiny / "config.json").read_text()) | {"model_type": "no-such"}
    (other / "config.json").write_text(json.dumps(settings))
    assert refused(other).startswith("model.source, train.lora.targets: m cannot be trained here (")

    def full(self, *arguments):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nMore")

    monkeypatch.setattr(JointModel, "check_logits", full)
    assert refused(tiny).endswith("does not fit the memory of a worker's GPU")
