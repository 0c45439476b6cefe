"""Sizes of models, against the numbers of parameters that their publishers' weights have."""

import json

import pytest

from pipelines.storage.shape import PUBLISHED, of, shape_of

PARAMETERS = {  # the sums of the shapes in their safetensors' headers
    "meta-llama/Llama-3.1-8B-Instruct": 8_030_261_248,
    "Qwen/Qwen2.5-7B-Instruct": 7_615_616_512,
    "Qwen/Qwen2.5-1.5B-Instruct": 1_543_714_304,
    "Qwen/Qwen2.5-0.5B-Instruct": 494_032_768,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": 1_777_088_000,
    "builtin:smollm2-135m": 134_515_008,
}
SETTINGS = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "tie_word_embeddings": True,
}


@pytest.mark.parametrize(("source", "parameters"), PARAMETERS.items())
def test_published_shapes_have_the_published_parameters(source, parameters):
    assert PUBLISHED[source].parameters == parameters


def test_a_directory_is_read_in_its_own_words(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(SETTINGS))
    shape, where = shape_of(str(tmp_path))
    assert where == "its config.json"
    assert (shape.head_dim, shape.kv_heads, shape.tied, shape.biases) == (16, 2, True, False)
    attention, mlp = 64 * 64 * 2 + 64 * 32 * 2, 3 * 64 * 128
    assert shape.parameters == 1000 * 64 + 2 * (attention + mlp + 2 * 64) + 64


def test_an_adapter_has_rank_times_both_sides_of_each_target():
    shape = of(SETTINGS)
    assert shape.lora(8, ["q_proj", "v_proj"]) == 2 * 8 * ((64 + 64) + (64 + 32))
    assert shape.lora(8, ["down_proj"]) == 2 * 8 * (64 + 128)
    assert shape.lora(8, ["qkv_proj"]) == 0


@pytest.mark.parametrize("change", [{"num_experts": 8}, {"hidden_size": None}, {"vocab_size": "x"}])
def test_what_is_no_dense_decoder_is_not_guessed(tmp_path, change):
    (tmp_path / "config.json").write_text(json.dumps(SETTINGS | change))
    assert shape_of(str(tmp_path)) is None


def test_what_nobody_knows_is_none():
    assert shape_of("someone/a-model-that-is-nowhere") is None
    assert shape_of("/nowhere") is None
