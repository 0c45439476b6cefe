"""Shared fixtures: the built-in model's directory, a tiny random model, tokenizers of families."""

import copy
import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from labeling import Allowed

# How long an example takes says how busy the machine is.
settings.register_profile("any_machine", deadline=None)
settings.load_profile("any_machine")

# Threads that wait for each other sleep, here and in all that is started here: engines beside each
# other would take ten times as long where those of one spin on the cores that another wants. Read
# when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A thread that outlives its Ray would start another, and take this process with it a minute after
# that one's end. Read when Ray is imported.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")

TEMPLATES = Path(__file__).parent / "data" / "templates"

# Special tokens that each family's template uses: (bos, eos, others).
FAMILIES = {
    "llama3": (
        "<|begin_of_text|>",
        "<|eot_id|>",
        ["<|start_header_id|>", "<|end_header_id|>"],
    ),
    "r1": (
        "<｜begin▁of▁sentence｜>",
        "<｜end▁of▁sentence｜>",
        ["<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"],
    ),
    "gemma": ("<bos>", "<eos>", ["<start_of_turn>", "<end_of_turn>"]),
}


@pytest.fixture(scope="session")
def smollm() -> Path:
    """The built-in model as a local directory."""
    from pipelines.storage.models import fetch

    return fetch("builtin:smollm2-135m")


@pytest.fixture(scope="module")
def pace(tmp_path_factory: pytest.TempPathFactory) -> "Allowed":
    """How far the runs of a file's cluster come."""
    from labeling import Allowed

    return Allowed(tmp_path_factory.mktemp("pace"))


@pytest.fixture
def allowed(pace: "Allowed") -> Iterator["Allowed"]:
    """The pace, in a test that sets it: from its end on all may be answered again."""
    yield pace
    pace.all()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, smollm: Path) -> Path:
    """A random model of 2 layers, 64 wide, with the built-in model's tokenizer; loads at once."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from pipelines.method.prompts import Prompts

    directory = tmp_path_factory.mktemp("tiny")
    config = LlamaConfig.from_pretrained(smollm)
    config.hidden_size, config.intermediate_size, config.num_hidden_layers = 64, 128, 2
    config.num_attention_heads, config.num_key_value_heads, config.head_dim = 2, 1, 32
    config.initializer_range = 0.2
    config.dtype = "float32"
    config.tie_word_embeddings = False
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    prompts = Prompts.load(smollm)
    with torch.no_grad():
        head = model.lm_head.weight
        head[config.eos_token_id] *= 4  # so that some responses end by themselves
        # And so that a run goes on: the reply to the confidence turn is often Yes or No.
        asked = [prompts.sampling_ids(f"What is the capital of {name}?") for name in "ABCDEFGH"]
        responses = torch.randint(3, config.vocab_size, (8, 8)).tolist()
        wholes = [prompts.scoring_ids(*one) for one in zip(asked, responses, strict=True)]
        last = [model.model(torch.tensor([ids])).last_hidden_state[0, -1] for ids in wholes]
        reply = torch.stack(last).mean(0)
        head[[prompts.yes_id, prompts.no_id]] += 10 * reply / reply.norm() ** 2
    model.save_pretrained(directory)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(smollm / name, directory / name)
    return directory


SLOW = 60  # seconds

NEED_A_MODEL = {"smollm", "tiny", "ray_cluster"}  # or Ray


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`make check` leaves out what is marked `process`; a machine without a GPU, `gpu`."""
    import torch

    for item in items:
        if NEED_A_MODEL & set(getattr(item, "fixturenames", ())):
            item.add_marker("process")
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="torch finds no GPU on this machine"))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A failure, and what took minutes, is told when it comes: a run that is ended before its end
    has told it."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    if report.duration > SLOW:
        took = f"{report.duration:.0f} s of {report.when}"
        print(f"\n{datetime.now():%H:%M} {report.nodeid}: {took}", flush=True)
    if report.failed:
        print(f"\n{report.nodeid}: failed\n{report.longreprtext}", flush=True)


def family_tokenizer(family: str, smollm: Path) -> Any:
    """A family's special tokens and chat template on the built-in model's vocabulary."""
    from pipelines.method.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(smollm)
    if family == "chatml":
        return tokenizer
    bos, eos, others = FAMILIES[family]
    tokenizer.add_special_tokens(
        {"bos_token": bos, "eos_token": eos, "additional_special_tokens": others}
    )
    tokenizer.chat_template = (TEMPLATES / f"{family}.jinja").read_text().strip()
    return tokenizer


@pytest.fixture(scope="session", params=["chatml", *FAMILIES])
def shared_tokenizer(request: pytest.FixtureRequest, smollm: Path) -> Any:
    made = family_tokenizer(request.param, smollm)
    made.family = request.param
    return made


@pytest.fixture
def tokenizer(shared_tokenizer: Any) -> Any:
    """A tokenizer of each family, whose attributes a test may set."""
    return copy.copy(shared_tokenizer)


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    """A real Ray on this machine, as a run starts one: with places for an actor of one CPU. It is
    a file's own: idle it would hold gigabytes that others' engines want."""
    import ray

    from pipelines.config import Config
    from pipelines.running.cluster import connect

    connect(
        Config.model_validate(
            {
                "root": "unused",
                "model": {"source": "unused"},
                "data": {"train": [{"name": "capitals"}]},
            }
        )
    )
    yield
    ray.shutdown()


@pytest.fixture
def told(tmp_path, monkeypatch, capsys):
    """Exit status, standard error and rows of a command that checks a config and reads its data."""
    import yaml

    from jobs import cli
    from pipelines.stages import queries

    monkeypatch.chdir(tmp_path)

    def told(config, *overrides):
        text = config if isinstance(config, str | bytes) else yaml.safe_dump(config)
        (tmp_path / "config.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
        arguments = ["--config", "config.yaml"]
        for override in overrides:
            arguments += ["--set", override]
        options = cli.parser("jobs.run", "").parse_args(arguments)
        read = []
        status = cli.run(options, lambda config: read.extend(queries.read(config)) or 0)
        return status, capsys.readouterr().err, read

    return told
