"""What an engine takes of a node's memory, and what is said where that is not free."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import psutil
import pytest
from clock import set_clock
from safetensors.numpy import save_file

from pipelines.config import EngineConfig
from pipelines.engine.footprint import Need, need, refusal, reserve

GIB = 2**30
NEED = Need(weights=2 * GIB, kv_cache=4 * GIB, logits=1 * GIB, processes=2 * GIB)
ENGINE = EngineConfig(kv_cache_gib=4, dtype="float32")


@pytest.fixture
def model(tmp_path):
    """A directory with 1,000 float16 weights and 100 bytes of int8 ones, in two files."""
    save_file({"a": np.zeros((20, 25), np.float16)}, tmp_path / "1.safetensors")
    quantized = {"b": np.zeros(500, np.float16), "c": np.zeros((10, 10), np.int8)}
    save_file(quantized, tmp_path / "2.safetensors")
    settings = {"vocab_size": 5_000, "hidden_size": 0}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    return tmp_path


@pytest.fixture(autouse=True)
def node(tmp_path_factory, monkeypatch):
    """Notes of this test's engines alone."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("node")))


@pytest.mark.parametrize(
    ("dtype", "weights"), [("float32", 4_100), ("bfloat16", 2_100), ("auto", 2_100)]
)
def test_weights_are_counted_as_the_engine_loads_them(model, dtype, weights):
    assert need(model, EngineConfig(dtype=dtype, kv_cache_gib=1)).weights == weights


def test_weights_that_are_published_twice_count_once(model):
    save_file({"again": np.zeros(1_000, np.float16)}, model / "consolidated.safetensors")
    named = {"a": "1.safetensors", "b": "2.safetensors", "c": "2.safetensors"}
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": named}))
    assert need(model, EngineConfig(dtype="float32", kv_cache_gib=1)).weights == 4_100


@pytest.mark.parametrize("cut", [True, False])
def test_weights_that_are_not_whole_are_told(model, cut):
    whole = (model / "2.safetensors").read_bytes()
    if cut:
        (model / "2.safetensors").write_bytes(whole[:-1])
    else:
        named = {"weight_map": {"b": "3.safetensors"}}
        (model / "model.safetensors.index.json").write_text(json.dumps(named))
    with pytest.raises(ValueError, match=r"^model.source: .*safetensors is not whole") as told:
        need(model, EngineConfig())
    assert "\n" not in str(told.value)


def test_the_other_parts_follow_the_config(model):
    small = need(model, EngineConfig(kv_cache_gib=3, max_num_seqs=10))
    assert small.kv_cache == 3 * GIB
    assert small.logits == 10 * 5_000 * 4 * 4  # float32, four of them at once
    parts = EngineConfig(kv_cache_gib=3, max_num_seqs=10, tensor_parallel_size=2)
    split = need(model, parts)
    assert (split.kv_cache, split.weights) == (6 * GIB, small.weights)
    assert split.processes > small.processes


def linear(name, out, into):
    return {f"{name}.weight": np.zeros((out, into), np.float16)}


@pytest.mark.parametrize("tied", [False, True])
def test_lora_has_room_for_every_matrix_in_each_of_its_slots(tmp_path, tied):
    """As vLLM 0.32 allocates it for a Llama: added up by layers and not by files.

    So it was for SmolLM2-135M and a Llama without tied embeddings, to the byte.
    """
    vocab, hidden, inner, heads, kv_heads, head, layers = 500, 64, 128, 4, 2, 16, 3
    tensors = linear("model.embed_tokens", vocab, hidden)
    for layer in (f"model.layers.{number}" for number in range(layers)):
        tensors |= linear(f"{layer}.self_attn.q_proj", heads * head, hidden)
        tensors |= linear(f"{layer}.self_attn.k_proj", kv_heads * head, hidden)
        tensors |= linear(f"{layer}.self_attn.v_proj", kv_heads * head, hidden)
        tensors |= linear(f"{layer}.self_attn.o_proj", hidden, heads * head)
        tensors |= linear(f"{layer}.mlp.gate_proj", inner, hidden)
        tensors |= linear(f"{layer}.mlp.up_proj", inner, hidden)
        tensors |= linear(f"{layer}.mlp.down_proj", hidden, inner)
        tensors[f"{layer}.input_layernorm.weight"] = np.zeros(hidden, np.float16)
    if not tied:
        tensors |= linear("lm_head", vocab, hidden)
    save_file(tensors, tmp_path / "model.safetensors")
    settings = {"vocab_size": vocab, "hidden_size": hidden}
    (tmp_path / "config.json").write_text(json.dumps(settings))

    qkv = 3 * hidden + (heads + 2 * kv_heads) * head  # A of each of the three, then B
    mlp = 2 * (hidden + inner) + inner + hidden
    a_layer = qkv + (heads * head + hidden) + mlp
    everything = layers * a_layer + 2 * (vocab + hidden)
    slots, rank = 3, 8
    found = need(tmp_path, ENGINE, slots * rank)
    assert found.adapters == slots * rank * everything * 4
    assert replace(found, adapters=0) == need(tmp_path, ENGINE)


def test_experts_in_one_tensor_have_a_slot_each(tmp_path):
    save_file({"experts.down_proj": np.zeros((6, 20, 30), np.float16)}, tmp_path / "a.safetensors")
    assert need(tmp_path, ENGINE, 8).adapters == 8 * 6 * (20 + 30) * 4


def test_sizes_that_differ_by_layer_or_are_none_start_no_trace(model):
    settings = {"hidden_size": 8, "vocab_size": 5_000, "intermediate_size": [64, 128]}
    (model / "config.json").write_text(json.dumps(settings | {"text_config": [1]}))
    found = need(model, ENGINE)
    (model / "config.json").write_text(json.dumps(settings | {"intermediate_size": 128}))
    assert found == need(model, ENGINE)


@pytest.mark.parametrize(("container", "total"), [(None, 100), ((0, 64 * GIB), 64)])
def test_without_a_size_the_kv_cache_takes_the_rest_of_vllms_share(
    model, monkeypatch, container, total
):
    monkeypatch.setattr("ray._private.utils.get_cgroup_mem_stats", lambda: container)
    asked = psutil.virtual_memory()._replace(total=100 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: asked)
    monkeypatch.setattr("pipelines.engine.footprint._numa_nodes", lambda: 1)
    most = need(model, EngineConfig(gpu_memory_utilization=0.5, max_num_seqs=10))
    assert total / 2 * GIB < most.total < (total / 2 + 1) * GIB  # and the actor


def test_what_fits_is_told_nothing():
    reserve(NEED, ENGINE, free=lambda: 9 * GIB, patience=0)


def test_what_does_not_fit_is_a_line_that_names_what_it_takes_and_the_keys():
    with pytest.raises(ValueError, match=r"^engine: one takes 9") as told:
        reserve(NEED, ENGINE, free=lambda: 5 * GIB, patience=0)
    own = psutil.Process().memory_info().rss / GIB
    line = str(told.value)
    assert "9.0 GiB (weights 2.0, KV cache 4.0, logits and activations 1.0, processes 2.0)" in line
    assert abs(float(line.partition(", and ")[2].split()[0]) - (5 + own)) < 0.2
    for key in ("engine.kv_cache_gib (4)", "engine.max_num_seqs (256)", "engine.dtype to bfloat16"):
        assert key in line
    assert "engine.count" not in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("engine", "wanted", "says"),
    [
        ({"kv_cache_gib": 4, "count": 3}, NEED, "lower engine.kv_cache_gib (4), "),
        ({"kv_cache_gib": 4, "count": 3}, NEED, "engine.count (3)"),
        ({"kv_cache_gib": 4, "max_count": 5}, NEED, "engine.max_count (5)"),
        ({}, NEED, "set engine.kv_cache_gib, without which vLLM takes engine.gpu_memory_utili"),
        ({"kv_cache_gib": 1}, replace(NEED, logits=0), "are free; free some memory"),
        ({"kv_cache_gib": 1}, replace(NEED, adapters=3 * GIB), "set engine.adapter to merged"),
        ({"kv_cache_gib": 1}, replace(NEED, adapters=3 * GIB), "processes 2.0, adapters 3.0)"),
    ],
)
def test_the_advice_is_of_keys_that_change_it(engine, wanted, says):
    assert says in refusal(wanted, EngineConfig(**engine), 3 * GIB, others=0)


RESERVING = """
import sys
from pipelines.config import EngineConfig
from pipelines.engine.footprint import Need, reserve
reserve(Need(0, 6 * 2**30, 0, 0), EngineConfig(), free=lambda: 10 * 2**30, patience=0)
print("reserved", flush=True)
sys.stdin.read()
"""


@pytest.mark.process
def test_engines_that_start_together_count_what_the_others_have_yet_to_take(monkeypatch):
    import tempfile

    environment = {"TMPDIR": tempfile.gettempdir(), "PYTHONPATH": ":".join(sys.path)}
    other = subprocess.Popen(
        [sys.executable, "-c", RESERVING], env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert other.stdout.readline() == "reserved\n"
        for seconds in (0, 3600):  # the machine's clock is set meanwhile
            set_clock(monkeypatch, seconds)
            with pytest.raises(ValueError, match=r"GiB are free beside 1 more that run here"):
                reserve(NEED, ENGINE, free=lambda: 10 * GIB, patience=0)
    finally:
        other.communicate("")
    reserve(NEED, ENGINE, free=lambda: 10 * GIB, patience=0)  # it ended, and takes nothing more
