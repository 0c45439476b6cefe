"""The Serve app over real HTTP, on a real engine with a tiny model."""

import asyncio
import json
import math
import signal
import sys
import urllib.error
import urllib.request
from collections import Counter

import pytest
import requests
import yaml
from finished import finish_report
from object_store import free_port
from processes import printed_until, start
from waiting import once

from pipelines.config import Config, load
from pipelines.method.policies import POLICIES, in_order
from pipelines.method.prompts import Prompts
from pipelines.running.board import Board
from pipelines.running.progress import Count
from pipelines.storage.models import fetch

pytestmark = pytest.mark.process

PORT = 8123
URL = f"http://127.0.0.1:{PORT}/tiny"
QUESTION = "What is the capital of Peru?"
ANSWERED = "Name a colour."  # the tiny model's responses to it have answers, of some, not the first


def settings(model, **engine):
    return {
        "root": "r",
        "model": {"source": str(model)},
        "data": {"train": [{"name": "capitals"}]},
        "sampling": {"max_tokens": 9},
        "engine": {
            "dtype": "float32", "block_size": 32, "kv_cache_gib": 1, "max_model_len": 256,
            "enforce_eager": True, **engine,
        },
        "evaluate": {"num_samples": 8, "sampling": {"max_tokens": 6}},
        "serve": {"samples_ahead": 2, "port": PORT},
    }  # fmt: skip


@pytest.fixture(scope="module")
def service(tiny, ray_cluster, tmp_path_factory):
    """As a Serve config file or a RayService runs it."""
    from ray import serve

    from jobs.serve import app

    directory = tmp_path_factory.mktemp("service")
    data = {"train": [{"name": "capitals"}], "eval": [{"name": "elements"}]}
    made = settings(tiny) | {"root": str(directory / "root"), "data": data}
    file = directory / "config.yaml"
    file.write_text(yaml.safe_dump(made))
    chosen = {"early_stopping": 0.0, "asc": 0.4, "best_of_n": None}
    finish_report(load(str(file), []), chosen, {"early_stopping": 1.0})
    serve.start(http_options={"port": PORT})
    arguments = {"config": str(file), "set": ["serve.max_budget=8"], "base": True}
    yield serve.run(app(arguments), name="tiny", route_prefix="/tiny")
    serve.shutdown()


def post(**request):
    data = json.dumps(request).encode()
    headers = {"content-type": "application/json"}
    sent = urllib.request.Request(f"{URL}/answer", data, headers)
    with urllib.request.urlopen(sent, timeout=120) as response:
        return json.load(response)


def refused(**request):
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(**request)
    return caught.value.code, caught.value.read().decode()


@pytest.mark.parametrize(
    ("policy", "threshold"),
    [("best_of_n", 0), ("self_consistency", 0), ("sc_conf", 0), ("early_stopping", 1e-6),
     ("asc", 0.4), ("asc_conf", 0.4), ("esc", 2)],
)  # fmt: skip
def test_an_answer_is_what_replay_makes_of_its_samples(service, policy, threshold):
    got = post(question=ANSWERED, policy=policy, threshold=threshold, budget=8)
    scored = POLICIES[policy].needs_confidence
    for one in got["samples"]:
        assert (
            (one["p_true"] <= one["mass"] <= 1) if scored else one["p_true"] is one["mass"] is None
        )
    samples = [(one["answer"], one["p_true"] if scored else math.nan) for one in got["samples"]]
    again = in_order(POLICIES[policy].make(threshold), samples)
    assert got["answer"] == again.answers[-1]
    assert got["samples_used"] == again.samples[-1] == len(samples) <= 8
    assert got["stopped_early"] == (len(samples) < 8) or len(samples) == 8
    assert got["answer"] is not None
    assert got["threshold"] == (threshold or None)
    weights = Counter()
    for answer, c in samples:
        weights[answer] += c if scored else 1
    del weights[None]
    share = weights[got["answer"]] / weights.total() if got["answer"] else None
    assert got["confidence"] == (share and pytest.approx(share))


def test_the_default_request_stops_where_the_report_chose(service):
    """At the base model's, for that is served: its first sample with an answer is sure enough."""
    got = post(question=ANSWERED)
    assert (got["threshold"], got["stopped_early"]) == (0.0, True)
    *before, last = [one["answer"] for one in got["samples"]]
    assert last == got["answer"]
    assert set(before) <= {None}
    assert last is not None
    assert post(question=ANSWERED, policy="asc")["threshold"] == 0.4
    own = post(question=ANSWERED, threshold=1.0, budget=3)
    assert (own["threshold"], own["samples_used"]) == (1.0, 3)


def test_what_is_not_scored_is_the_same_sample(service):
    counted = post(question=ANSWERED, policy="self_consistency", budget=4)["samples"]
    weighed = post(question=ANSWERED, policy="sc_conf", budget=4)["samples"]
    for field in ("text", "answer"):
        assert [one[field] for one in counted] == [one[field] for one in weighed]


def test_equal_requests_draw_equal_samples(service):
    """Also as part of a longer run, and as evaluation draws them: by evaluate.sampling."""
    short = post(question=QUESTION, policy="self_consistency", budget=3)
    long = post(question=QUESTION, policy="self_consistency", budget=8)
    other = post(question=QUESTION, policy="self_consistency", budget=8, seed=1)
    texts = [one["text"] for one in long["samples"]]
    assert [one["text"] for one in short["samples"]] == texts[:3]
    assert [one["text"] for one in other["samples"]] != texts
    collected = asyncio.run(collect(service))
    assert [one["text"] for one in collected["samples"]] == texts
    assert max(one["num_tokens"] for one in collected["samples"]) == 6


async def collect(handle, *model):
    prompts = Prompts.load(fetch("builtin:smollm2-135m"))  # the tiny model's tokenizer
    return await handle.collect.remote(
        {
            "query_id": QUESTION, "dataset": "d", "role": "eval", "split": "s",
            "question": QUESTION, "reference": ["Lima"], "kind": "text", "prompt": "",
            "prompt_ids": prompts.sampling_ids(QUESTION),
        },
        *model,
    )  # fmt: skip


def test_choices_are_shown_once(service):
    """Beside the question, listed by it, or both: the same conversation, so the same samples."""
    listed = "Which is cold?\n(A) ice\n(B) fire"
    texts = [
        [one["text"] for one in post(query_id="q", kind="option", budget=3, **asked)["samples"]]
        for asked in (
            {"question": "Which is cold?", "choices": ["ice", "fire"]},
            {"question": listed, "choices": ["ice", "fire"]},
            {"question": listed},
        )
    ]
    assert texts[0] == texts[1] == texts[2]


def test_the_budget_is_capped(service):
    assert post(question=QUESTION, policy="best_of_n", budget=1000)["samples_used"] == 8


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"question": "Why?", "policy": "magic"}, "policy 'magic' is none of best_of_n"),
        (
            {"question": "Why?", "policy": "esc"},
            "threshold: name one, for none was measured for esc",
        ),
        ({"question": "\ud800"}, "question: "),
        ({"question": "Why? " * 300}, "engine.max_model_len"),
        ({"question": "Why?", "model": "calibrated"}, "model: 'calibrated' is none of base"),
    ],
)
def test_bad_requests_are_explained(service, request_, says):
    code, body = refused(**request_)
    assert code == 422
    assert says in body


def test_one_engine_answers_for_the_base_and_the_calibrated_model(service, tiny, tmp_path):
    """By the name in a request, the calibrated one by default; to the letter what each draws."""
    from adapters import write_adapter
    from ray import serve

    from pipelines.serving.served import Served
    from pipelines.serving.service import deploy

    both = Served("base", str(tiny), {"calibrated": str(write_adapter(tiny, tmp_path / "adapter"))})
    made = Config.model_validate(settings(tiny, max_num_seqs=32, max_num_batched_tokens=512))
    with Board.open() as board:
        handle = deploy(made, both, name="both", route="/both", board=board)
        for name in both.names:
            asyncio.run(collect(handle, name))
        once(lambda: (board.sum() or Count()).kept == 2 * 8)  # what both have handed over
    asked = {"question": QUESTION, "policy": "best_of_n", "budget": 4}
    answers = {
        name: requests.post(f"{URL[: -len('tiny')]}both/answer", json=asked | named, timeout=60)
        for name, named in {
            "default": {}, "base": {"model": "base"}, "calibrated": {"model": "calibrated"},
        }.items()
    }  # fmt: skip
    serve.delete("both")
    samples = {name: answer.json()["samples"] for name, answer in answers.items()}
    assert samples["default"] == samples["calibrated"] != samples["base"]
    alone = post(**asked)["samples"]
    assert [one["text"] for one in samples["base"]] == [one["text"] for one in alone]


def test_what_vllm_refuses_is_one_line(service, tiny):
    from pipelines.serving.served import base_model
    from pipelines.serving.service import deploy

    split = Config.model_validate(settings(tiny, tensor_parallel_size=3))
    with pytest.raises(ValueError, match=r"^engine: vLLM does not start: .* heads \(2\)") as told:
        deploy(split, base_model(split), name="refused", route="/refused")
    assert "\n" not in str(told.value)


def test_replies_that_are_neither_yes_nor_no_are_told_in_one_line(tiny, tmp_path):
    port = free_port()
    # The tiny model replies Yes or No to the paper's question alone.
    made = settings(tiny) | {
        "confidence": {"question": "Name a colour."},
        "serve": {"port": port, "samples_ahead": 16},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(made))
    command = [sys.executable, "-m", "jobs.serve", "--config", str(tmp_path / "config.yaml")]
    server = start([*command, "--base"])
    printed_until("Answering at", server)
    url = f"http://127.0.0.1:{port}/answer"
    for number in range(3):
        request = {"question": f"What is {number} + 7?", "policy": "best_of_n", "budget": 32}
        answered = requests.post(url, json=request, timeout=60).json()  # it goes on
        assert answered["samples_used"] == 32
    told = printed_until("P(True) is noise", server)
    server.send_signal(signal.SIGINT)
    rest, _ = server.communicate(timeout=120)
    assert (told + rest).count("confidence: the reply to the confidence turn") == 1


def test_health(service):
    with urllib.request.urlopen(f"{URL}/health", timeout=60) as response:
        assert json.load(response) == {"status": "ok"}
