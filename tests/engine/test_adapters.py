"""Adapters by vLLM's LoRA: one engine draws and scores with each of them, and with none."""

import asyncio
import os

import pytest
import torch
from adapters import write_adapter
from peft import PeftModel
from transformers import AutoModelForCausalLM

from pipelines.config import ConfidenceConfig, EngineConfig, SamplingConfig
from pipelines.engine.protocol import Counters, Drawing
from pipelines.method.template import PLAIN

QUESTIONS = ("What is 2 + 2?", "Name a colour.", "What is the capital of France?")
ENGINE = EngineConfig(
    dtype="float32", block_size=32, kv_cache_gib=0.1, max_model_len=512, max_num_seqs=32,
    max_num_batched_tokens=512,
    enforce_eager=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def adapters(tiny, tmp_path_factory):
    made = tmp_path_factory.mktemp("adapters")
    return {
        name: write_adapter(tiny, made / name, seed, rank=rank)
        for seed, (name, rank) in enumerate({"one": 4, "other": 32}.items())
    }


def test_every_adapter_of_one_engine_gives_its_own_confidence(tiny, adapters):
    """In one batch, with the base model's: drawn by EDT and scored in the same session."""
    names = ["base", *adapters]

    async def draws():
        from pipelines.engine.vllm_engine import VLLMEngine

        made = VLLMEngine(str(tiny), ENGINE, ConfidenceConfig(), PLAIN, adapters)
        drawing = Drawing.of(SamplingConfig(max_tokens=6))
        engines = [made, *map(made.adapted, adapters)]
        prompts = [made.prompts.sampling_ids(question) for question in QUESTIONS]

        async def one(engine, ids, key):
            draw = await engine.draw(ids, key, drawing, Counters())
            return made.prompts.scoring_ids(ids, draw.generated.token_ids), await draw.score()

        try:
            # Again: the second time all are loaded, and some of the blocks are there.
            return made.prompts.yes_id, [
                await asyncio.gather(
                    *(one(engine, ids, key) for ids in prompts for engine in engines)
                )
                for key in range(2)
            ]
        finally:
            made.shutdown()

    yes, rounds = asyncio.run(draws())
    base = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    reference = PeftModel.from_pretrained(base, adapters["one"], "one")
    reference.load_adapter(adapters["other"], "other")

    @torch.no_grad()
    def expected(ids):
        """c by each name."""
        found = {}
        for name in adapters:
            reference.set_adapter(name)
            found[name] = float(reference(torch.tensor([ids])).logits[0, -1].softmax(-1)[yes])
        with reference.disable_adapter():
            found["base"] = float(reference(torch.tensor([ids])).logits[0, -1].softmax(-1)[yes])
        return found

    apart = set()
    for drawn in rounds:
        for place, (ids, scored) in enumerate(drawn):
            by_name, name = expected(ids), names[place % 3]
            assert scored.p_true == pytest.approx(by_name[name], rel=1e-3), name
            apart |= {n for n in names if abs(by_name[n] / by_name[name] - 1) > 0.01}
    assert apart == {*names}, "with a wrong one the test would fail"


def test_an_adapter_that_vllm_has_no_room_for(tiny, tmp_path):
    from pipelines.engine.arguments import engine_arguments

    directory = write_adapter(tiny, tmp_path / "adapter", rank=520)
    with pytest.raises(ValueError, match=r"engine.adapter: vLLM takes no adapter of rank 520, 512"):
        engine_arguments(str(tiny), ENGINE, [directory])


def test_the_largest_rank_of_a_config_is_vllms():
    from typing import get_args

    from vllm.config.lora import MaxLoRARanks

    from pipelines.config.whole import MOST_LORA

    assert max(get_args(MaxLoRARanks)) == MOST_LORA


@pytest.mark.parametrize(("gpus", "share"), [(0, 0.8), (1, 0.8), (0.25, 0.2)])
def test_an_engine_takes_its_share_of_a_gpu(tiny, gpus, share):
    from pipelines.engine.arguments import engine_arguments

    engine = ENGINE.model_copy(update={"gpus": gpus, "gpu_memory_utilization": 0.8})
    assert engine_arguments(str(tiny), engine)["gpu_memory_utilization"] == pytest.approx(share)


def test_the_configs_kv_cache_stands_over_the_environments(tiny, monkeypatch):
    from pipelines.engine.arguments import engine_arguments

    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    assert engine_arguments(str(tiny), ENGINE)["kv_cache_memory_bytes"] == int(0.1 * 2**30)
    assert "VLLM_CPU_KVCACHE_SPACE" not in os.environ
