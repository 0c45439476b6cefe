"""Clients that people have, as they are, over real HTTP and on a real model: OpenAI's,
lm-evaluation-harness and LiteLLM.

The packages of the last two are many and none of ours, so uv runs them in an environment of its
own, which it keeps in its cache. More of OpenAI's client is in test_service.py and test_drain.py.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import openai
import pytest
import requests
import tiny_service
import yaml
from ports import free_port
from processes import printed_until, started

from pipelines.config import Config

pytestmark = [pytest.mark.process, pytest.mark.long]

PACKAGES = ["lm_eval[api]==0.4.13", "litellm[proxy]==1.108.7"]
# Nothing is asked of the network: no hub, no list of prices.
OFFLINE = {"HF_HUB_OFFLINE": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
CAPITALS = {"France": "Paris", "Japan": "Tokyo", "Egypt": "Cairo", "Peru": "Lima"}
QUESTIONS = [f"What is the capital of {country}?" for country in CAPITALS]
SCALING = {"policy": "best_of_n", "kind": "text"}


@pytest.fixture(scope="module")
def service(smollm, ray_cluster):
    """Where it answers."""
    from ray import serve

    from pipelines.serving.served import base_model
    from pipelines.serving.service import deploy

    port = free_port()
    config = Config.model_validate(tiny_service.settings(smollm, port, {"kv_cache_gib": 0.5}))
    deploy(config, base_model(config), name="clients", route="/")
    yield f"http://127.0.0.1:{port}/v1"
    serve.shutdown()


@pytest.fixture(scope="module")
def theirs():
    """How a command of their environment begins, and the variables that it runs with."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    python = Path(sys.executable)
    command = [
        str(python.with_name("uv")), "run", "--no-project",
        # Not of an environment, whose packages they would see.
        "--python", str(python.resolve()), *(f"--with={one}" for one in PACKAGES),
    ]  # fmt: skip
    try:
        subprocess.run(
            [*command, "python", "--version"], env=inherited, check=True, capture_output=True,
            text=True, timeout=300,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        why = getattr(error, "stderr", None) or str(error)
        pytest.skip(f"{', '.join(PACKAGES)} cannot be installed here: {why.strip()}")
    return command, inherited | OFFLINE


@pytest.fixture
def run(theirs):
    """What a command of theirs prints; it must succeed."""
    command, environment = theirs

    def run(*arguments):
        done = subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def ask(service, question, **fields):
    body = {"messages": [{"role": "user", "content": question}], "temperature": 1.0, **fields}
    answered = requests.post(f"{service}/chat/completions", json=body, timeout=60)
    assert answered.status_code == 200, answered.text
    return answered.json()


def text(completion):
    return completion["choices"][0]["message"]["content"]


def test_the_official_client(service):
    """A real model knows this."""
    client = openai.OpenAI(base_url=service, api_key="none", timeout=60)
    asked = {
        "model": "base", "messages": [{"role": "user", "content": QUESTIONS[0]}], "temperature": 0,
        "extra_body": {"scaling": SCALING},
    }  # fmt: skip
    whole = client.chat.completions.create(**asked)
    assert whole.choices[0].message.content == "The capital of France is Paris."
    assert whole.choices[0].finish_reason == "stop"
    assert 0.01 < whole.scaling["mass"] <= 1
    chunks = client.chat.completions.create(**asked, stream=True)
    said = [one.choices[0].delta.content or "" for one in chunks]
    assert "".join(said) == whole.choices[0].message.content
    assert len(said) > 3


def test_the_harness_counts_what_the_service_answers(service, run, tmp_path):
    """With a preset's budget and the task's own scaling: the harness gets the very texts that a
    plain request of the same seed does; some are right, which a real model's alone are."""
    fields = {"stop": ["\n\n", "Question:"], "max_tokens": 9, "seed": 1234, "temperature": 0.7}
    one, four = (
        [text(ask(service, q, model=model, scaling=SCALING, **fields)) for q in QUESTIONS]
        for model in ("base:single", "base:fast")
    )
    assert one != four
    lines = [
        json.dumps({"question": question, "answer": f"The capital of {country} is {capital}."})
        for question, (country, capital) in zip(QUESTIONS, CAPITALS.items(), strict=True)
    ]
    (tmp_path / "questions.jsonl").write_text("\n".join(lines))
    task = {
        "task": "own", "dataset_path": "json", "test_split": "test",
        "dataset_kwargs": {
            "data_files": {"test": str(tmp_path / "questions.jsonl")},
            "cache_dir": str(tmp_path / "cache"),
        },
        "output_type": "generate_until",
        "doc_to_text": "{{question}}", "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": fields["stop"], "max_gen_toks": 9, "temperature": 0.7},
        "metric_list": [{"metric": "exact_match"}],
    }  # fmt: skip
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(task))
    at = f"model=base:fast,base_url={service}/chat/completions,num_concurrent=4"
    run(
        "lm_eval", "--model", "local-chat-completions", "--model_args", at, "--tasks", "own",
        "--include_path", str(tmp_path), "--apply_chat_template", "--log_samples",
        "--gen_kwargs", json.dumps({"scaling": SCALING}), "--output_path", str(tmp_path / "out"),
    )  # fmt: skip
    (results,) = (tmp_path / "out").rglob("results_*.json")
    (recorded,) = (tmp_path / "out").rglob("samples_own_*.jsonl")
    samples = [json.loads(line) for line in recorded.read_text().splitlines()]
    samples.sort(key=lambda sample: sample["doc_id"])
    answered = [sample["resps"][0][0] for sample in samples]
    assert answered == four
    right = [said == sample["target"] for said, sample in zip(answered, samples, strict=True)]
    measured = json.loads(results.read_text())["results"]["own"]["exact_match,none"]
    assert 0 < measured == sum(right) / len(right) < 1


LITELLM = """
import asyncio, json, sys
import litellm

asked = json.loads(sys.argv[1])
whole = litellm.completion(**asked).model_dump()
late = asyncio.run(litellm.acompletion(**asked)).model_dump()
chunks = list(litellm.completion(**asked, stream=True, stream_options={"include_usage": True}))
said = [one.choices[0].delta.content or "" for one in chunks if one.choices]
try:
    litellm.completion(**asked | {"extra_body": {"scaling": {"budget": 1000}}})
except litellm.BadRequestError as error:
    refused = str(error)
streamed = chunks[-1].usage.model_dump()
print(json.dumps([whole, late, "".join(said), streamed, refused]))
"""


def test_litellm(service, run):
    fields = {"seed": 7, "temperature": 1.0}
    plain = ask(service, QUESTIONS[0], model="base:fast", scaling=SCALING, **fields)
    asked = fields | {
        "model": "openai/base:fast", "api_base": service, "api_key": "none",
        "messages": [{"role": "user", "content": QUESTIONS[0]}],
        "extra_body": {"scaling": SCALING},
    }  # fmt: skip
    whole, late, said, streamed, refused = json.loads(
        run("python", "-c", LITELLM, json.dumps(asked)).splitlines()[-1]
    )
    assert text(whole) == text(late) == said == text(plain)
    for usage in (whole["usage"], late["usage"], streamed):
        assert usage["completion_tokens"] == plain["usage"]["completion_tokens"]
    assert whole["scaling"]["samples"] == plain["scaling"]["samples"]
    assert "scaling.budget: 1000 is over this server's limit" in refused


def test_litellm_proxy(service, theirs, tmp_path):
    """Its own clients choose by `scaling` as ours do."""
    command, environment = theirs
    served = {"model": "openai/base", "api_base": service, "api_key": "none"}
    config = {"model_list": [{"model_name": "calibrated", "litellm_params": served}]}
    (tmp_path / "proxy.yaml").write_text(yaml.safe_dump(config))
    port = str(free_port())
    file = str(tmp_path / "proxy.yaml")
    key = {"LITELLM_MASTER_KEY": "sk-of-this-test-alone"}
    with started([*command, "litellm", "--config", file, "--port", port], environment | key) as it:
        printed_until("running on", it)
        (own,) = key.values()
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=own, timeout=60)
        made = client.chat.completions.create(
            model="calibrated", messages=[{"role": "user", "content": QUESTIONS[0]}], seed=7,
            temperature=1.0, extra_body={"scaling": SCALING | {"budget": 4}},
        )  # fmt: skip
    plain = ask(service, QUESTIONS[0], seed=7, temperature=1.0, scaling=SCALING | {"budget": 4})
    assert made.choices[0].message.content == text(plain)
    assert made.usage.completion_tokens == plain["usage"]["completion_tokens"]
    assert made.scaling["samples"] == plain["scaling"]["samples"]
