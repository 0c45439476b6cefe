"""Sampling, scoring and training have one conversation: that of the config, in each of them."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file
from tokenizing import byte_level, template, write

from pipelines.config import Config
from pipelines.method.prompts import Prompts
from pipelines.method.template import Chat
from pipelines.stages import examples, queries
from pipelines.storage.location import Location
from pipelines.storage.schemas import LABELS

QUESTION = "Right? (Yes/No)"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """The variable changes the turn, and the system prompt what is before it."""
    role = "m.role + (' ' + voice if voice is defined and m.role == 'user' else '')"
    text = template("mentions").replace("m.role", role, 1)
    made = byte_level(special=("<|im_start|>", "<|im_end|>"))
    source = write(tmp_path_factory.mktemp("chat") / "model", made, text)
    save_file({"one": np.zeros(1)}, source / "model.safetensors")
    return Config.model_validate(
        {
            "root": "r",
            "model": {"source": str(source), "system": "Be brief.", "template": {"voice": "low"}},
            "data": {"train": [{"name": "capitals", "limit": 1}]},
            "confidence": {"question": QUESTION},
            "engine": {"kv_cache_gib": 0.1},
        }
    )


@pytest.fixture(scope="module")
def expected(config):
    prompts = Prompts.load(config.model.source, QUESTION, Chat({"voice": "low"}, "Be brief."))
    for less in (Chat({"voice": "low"}), Chat(system="Be brief.")):
        other = Prompts.load(config.model.source, QUESTION, less)
        assert other.sampling_ids("?") != prompts.sampling_ids("?")
    assert other.turn_ids != prompts.turn_ids
    assert prompts.turn_ids != Prompts.load(config.model.source, None, prompts.chat).turn_ids
    return prompts


def same(found, expected):
    return found.turn_ids == expected.turn_ids and (
        found.sampling_ids("What?") == expected.sampling_ids("What?")
    )


def test_queries(config, expected, tmp_path):
    queries.run(config, {}, Location.of(str(tmp_path)), ("train",))
    (row,) = pq.read_table(tmp_path / "train.parquet").to_pylist()
    assert row["prompt_ids"] == expected.sampling_ids(row["question"])


def test_examples(config, expected, tmp_path):
    (tmp_path / "label").mkdir()
    sample = {"index": 0, "answer": "Lima", "p_true": np.float32(0.5)}
    row = dict.fromkeys(LABELS.names) | {"query_id": "q", "samples": [sample]}
    row |= {"prompt_ids": [1], "response_ids": [[5]]}
    pq.write_table(pa.Table.from_pylist([row], LABELS), tmp_path / "label" / "0.parquet")
    label, out = Location.of(str(tmp_path / "label")), Location.of(str(tmp_path))
    examples.run(config, {"label": label}, out)
    one, *_ = pq.read_table(tmp_path / "examples.parquet").to_pylist()
    assert one["turn_ids"] == expected.turn_ids


@pytest.mark.process
def test_training(config, expected, monkeypatch):
    from pipelines.training import loop

    class MadeError(Exception):
        """What the worker would train, in place of the training."""

    def make(model_dir, config, prompts, device):
        raise MadeError(prompts)

    one = dict.fromkeys(("get_world_size", "get_local_world_size"), lambda: 1)
    context = SimpleNamespace(get_world_rank=lambda: 0, **one)
    monkeypatch.setattr("ray.train.get_context", lambda: context)
    monkeypatch.setattr(loop, "get_device", lambda: "cpu")
    monkeypatch.setattr(loop, "ready", make)
    with pytest.raises(MadeError) as made:
        loop.train_loop({"config": config.model_dump(mode="json"), "rows": 1})
    assert same(made.value.args[0], expected)


@pytest.mark.process
def test_the_engine(config, expected, monkeypatch):
    from pipelines.engine import vllm_engine

    def stand_in(_):
        fields = SimpleNamespace(generation_config_fields={})
        return SimpleNamespace(input_processor=fields, output_handler=None, shutdown=lambda: None)

    monkeypatch.setattr(vllm_engine.AsyncLLM, "from_engine_args", stand_in)
    engine = vllm_engine.VLLMEngine.of(config, config.model.source)
    try:
        assert same(engine.prompts, expected)
    finally:
        engine.shutdown()
