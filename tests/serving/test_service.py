"""The Serve app over real HTTP, on a real engine with a tiny model, by OpenAI's own client."""

import asyncio
import json
import math
import time

import httpx
import openai
import pytest
import requests
import tiny_service
import yaml
from finished import finish_report
from ports import free_port
from refusals import REFUSED
from waiting import once

from pipelines.config import Config, load
from pipelines.method.policies import NAMED, POLICIES, in_order
from pipelines.method.prompts import Prompts
from pipelines.running.board import Board
from pipelines.running.progress import Count
from pipelines.serving import keys
from pipelines.storage.models import fetch

pytestmark = pytest.mark.process

PORT = free_port()
URL = f"http://127.0.0.1:{PORT}/tiny"
QUESTION = "What is the capital of Peru?"
ANSWERED = "Name a colour."  # the tiny model's responses to it have answers, of some, not the first

KEY = "a-key-that-nobody-tells"
EDT = {"temperature_kind": "edt"}


def settings(model, **engine):
    evaluate = {"num_samples": 8, "sampling": {"max_tokens": 6}}
    serve = {"scaling": {"kind": "text"}}
    return tiny_service.settings(model, PORT, engine, serve, evaluate=evaluate)


@pytest.fixture(scope="module")
def service(tiny, ray_cluster, tmp_path_factory):
    """As a Serve config file or a RayService runs it."""
    from ray import serve

    from jobs.serve import Arguments, app

    directory = tmp_path_factory.mktemp("service")
    data = {"train": [{"name": "capitals"}], "eval": [{"name": "elements"}]}
    made = settings(tiny) | {"root": str(directory / "root"), "data": data}
    file = directory / "config.yaml"
    file.write_text(yaml.safe_dump(made))
    chosen = {"early_stopping": 0.0, "asc": 0.4, "best_of_n": None}
    chosen |= {"early_stopping@mean_logprob": 0.5, "sc_conf@tail_entropy": None}
    finish_report(load(str(file), []), chosen, {"early_stopping": 1.0})
    serve.start(http_options={"port": PORT})
    given = {"config": str(file), "set": ["serve.max_budget=8"], "base": True}
    arguments = Arguments(**given, without_keys=True)
    serve.run(app(arguments), name="tiny", route_prefix="/tiny")
    yield serve.get_deployment_handle("Answerer", "tiny")
    serve.shutdown()


@pytest.fixture(scope="module")
def client(service):
    return openai.OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0, timeout=120)


def user(text):
    return [{"role": "user", "content": text}]


@pytest.fixture
def chat(client):
    def chat(question=ANSWERED, model="base", scaling=None, **fields):
        scaling = {"details": True, **(scaling or {})}
        return client.chat.completions.create(
            model=model, messages=user(question), extra_body={"scaling": scaling},
            **{"seed": 0, **fields},
        )  # fmt: skip

    return chat


def texts(completion):
    return [one["text"] for one in completion.scaling["details"]]


@pytest.mark.parametrize("schedule", ["sequential", "waves", "all"])
@pytest.mark.parametrize(
    ("policy", "threshold"),
    [("best_of_n", None), ("self_consistency", None), ("sc_conf", None), ("early_stopping", 1e-6),
     ("asc", 0.4), ("asc_conf", 0.4), ("esc", 2), ("cges", 0.5)],
)  # fmt: skip
def test_an_answer_is_what_replay_makes_of_its_samples(chat, policy, threshold, schedule):
    asked = {"policy": policy, "budget": 8, "schedule": schedule}
    made = chat(scaling=asked if threshold is None else asked | {"threshold": threshold})
    got, used = made.scaling, made.scaling["details"]
    scored = POLICIES[policy].needs_confidence
    for one in used:
        assert (
            (one["p_true"] <= one["mass"] <= 1) if scored else one["p_true"] is one["mass"] is None
        )
    samples = [(one["answer"], one["p_true"] if scored else math.nan) for one in used]
    again = in_order(POLICIES[policy].make(threshold or 0), samples)
    assert got["answer"] == again.answers[-1] is not None
    assert got["samples"]["used"] == again.samples[-1] == len(samples)
    assert (got["stop_reason"] == "sure") or len(samples) == 8
    assert got["threshold"] == threshold
    shown = next(one for one in used if one["text"] == made.choices[0].message.content)
    assert shown["answer"] == got["answer"]
    assert got["confidence"] == shown["p_true"]
    assert made.choices[0].finish_reason == shown["finish_reason"]


@pytest.mark.parametrize("policy", ["early_stopping@mean_logprob", "sc_conf@tail_entropy"])
def test_an_answer_by_the_confidences_of_tokens_takes_no_score(chat, policy):
    made = chat(scaling={"policy": policy})
    got, used = made.scaling, made.scaling["details"]
    assert all(one["p_true"] is one["mass"] is None for one in used)
    assert made.usage.completion_tokens_details.scored_tokens == 0
    again = in_order(
        NAMED[policy].make(got["threshold"] or 0),
        [(one["answer"], one["confidence"]) for one in used],
    )
    assert got["answer"] == again.answers[-1] is not None
    assert got["samples"]["used"] == again.samples[-1] == len(used)
    shown = next(one for one in used if one["text"] == made.choices[0].message.content)
    assert 0 < got["confidence"] == shown["confidence"] < 1
    assert got["policy"] == policy
    drawn = chat(scaling={"policy": "best_of_n"})
    assert texts(made) == texts(drawn)[: len(used)]  # what is told changes no draw


def test_every_token_is_accounted_for(chat):
    asked = {"policy": "early_stopping", "threshold": 0, "schedule": "all"}
    made = chat(scaling=asked, max_tokens=100)
    usage, details = made.usage, made.usage.completion_tokens_details
    tokens = [one["tokens"] for one in made.scaling["details"]]
    prompts = Prompts.load(fetch("builtin:smollm2-135m"))
    assert usage.prompt_tokens == len(prompts.sampling_ids(ANSWERED))
    assert details.message_tokens + details.other_tokens == sum(tokens)
    assert details.wasted_tokens > 0  # siblings that were under way
    parts = [details.message_tokens, details.other_tokens, details.wasted_tokens]
    assert usage.completion_tokens == sum([*parts, details.scored_tokens])
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    counted = made.scaling["samples"]
    assert counted["started"] == 8 == counted["finished"] + counted["cancelled"]
    receipt = made.scaling["receipt"]
    cached = usage.prompt_tokens_details.cached_tokens
    assert receipt["one_sample"] == usage.prompt_tokens - cached + tokens[0]
    assert receipt["one_sample"] <= receipt["tokens"]
    whole = chat(scaling={"policy": "best_of_n", "schedule": "all"}).scaling["receipt"]
    assert whole["tokens"] == whole["full_budget"]
    assert whole["saved"] == 0


def test_the_default_request_stops_where_the_report_chose(chat):
    """At the base model's, for that is served: its first sample with an answer is sure enough."""
    got = chat().scaling
    assert (got["threshold"], got["stop_reason"]) == (0.0, "sure")
    *before, last = [one["answer"] for one in got["details"]]
    assert last == got["answer"] is not None
    assert set(before) <= {None}
    assert chat(scaling={"policy": "asc"}).scaling["threshold"] == 0.4
    own = chat(scaling={"threshold": 1.0}).scaling
    assert (own["threshold"], own["samples"]["used"], own["stop_reason"]) == (1.0, 8, "budget")
    (first, *_) = chat(scaling={"threshold": 1.0, "budget": 1}).scaling["details"]
    assert first["answer"] is None
    none = chat(scaling={"threshold": 1.0, "budget": 1})
    assert (none.scaling["answer"], none.scaling["stop_reason"]) == (None, "no answer")
    assert none.choices[0].message.content == first["text"]


def test_presets_are_models(chat, client):
    names = [model.id for model in client.models.list()]
    assert names == ["base", "base:fast", "base:careful", "base:promised", "base:single"]
    assert client.models.retrieve("base:fast").id == "base:fast"
    with pytest.raises(openai.NotFoundError, match="'calibrated' is none of base"):
        client.models.retrieve("calibrated")
    single = chat(model="base:single")
    assert single.scaling["samples"]["started"] == 1
    assert single.scaling["confidence"] is None  # nothing was scored
    assert chat(model="base:careful").scaling["threshold"] == 1.0
    assert chat(model="base:fast").scaling["budget"] == 4
    assert chat(reasoning_effort="low").scaling["budget"] == 4
    assert chat(reasoning_effort="none").scaling["budget"] == 1


def test_what_is_not_scored_is_the_same_sample(chat):
    counted = chat(scaling={"policy": "self_consistency", "budget": 4})
    weighed = chat(scaling={"policy": "sc_conf", "budget": 4})
    assert texts(counted) == texts(weighed)


def test_equal_requests_draw_equal_samples(service, chat):
    """Also as part of a longer run, and as evaluation draws them: by evaluate.sampling."""
    asked = {"policy": "self_consistency", "query_id": QUESTION}
    short = chat(QUESTION, scaling=asked | {"budget": 3})
    long = chat(QUESTION, scaling=asked | {"schedule": "all"})
    assert texts(short) == texts(long)[:3]
    assert texts(chat(QUESTION, scaling=asked, seed=1)) != texts(long)
    collected = asyncio.run(collect(service))
    assert [one["text"] for one in collected["samples"]] == texts(long)
    assert max(one["num_tokens"] for one in collected["samples"]) == 6
    unseeded = [chat(QUESTION, scaling=asked, seed=None) for _ in range(2)]
    seeds = [one.scaling["seed"] for one in unseeded]
    assert seeds[0] != seeds[1]
    assert texts(chat(QUESTION, scaling=asked, seed=seeds[0])) == texts(unseeded[0])


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


def test_how_a_request_draws(chat):
    votes = {"policy": "self_consistency", "budget": 8}
    plain = chat(scaling=votes)
    assert {one["tokens"] for one in chat(scaling=votes, max_tokens=2).scaling["details"]} == {2}
    longer = chat(scaling=votes, max_tokens=2, max_completion_tokens=3)
    assert {one["tokens"] for one in longer.scaling["details"]} == {3}
    assert longer.choices[0].finish_reason == "length"
    greedy = chat(scaling=votes, temperature=0)
    assert (greedy.scaling["temperature_kind"], greedy.scaling["samples"]["started"]) == (
        "greedy",
        1,
    )
    assert texts(chat(scaling=votes, temperature=0, seed=5)) == texts(greedy)
    assert texts(chat(scaling=votes, temperature=0.1)) != texts(plain)
    assert texts(chat(scaling=votes | EDT)) != texts(plain)
    assert set(texts(chat(scaling=votes, top_p=1e-6))) == set(texts(greedy))
    word = texts(plain)[0].split()[-1]
    stopped = chat(scaling=votes, stop=[word])
    assert texts(stopped)[0] == texts(plain)[0].partition(word)[0]
    assert stopped.scaling["details"][0]["finish_reason"] == "stop"


def test_a_conversation_is_rendered_as_the_template_has_it(client):
    def ask(messages):
        made = client.chat.completions.create(
            model="base", messages=messages, seed=0,
            extra_body={"scaling": {"policy": "best_of_n", "query_id": "q", "details": True}},
        )  # fmt: skip
        return texts(made), made.usage.prompt_tokens

    plain = ask(user(ANSWERED))
    parts = [{"type": "text", "text": "Name a "}, {"type": "text", "text": "colour."}]
    assert ask([{"role": "user", "content": parts}]) == plain
    system = ask([{"role": "system", "content": "Be brief."}, *user(ANSWERED)])
    assert system != plain
    assert ask([{"role": "developer", "content": "Be brief."}, *user(ANSWERED)]) == system
    turns = [*user("Hello."), {"role": "assistant", "content": None}, *user(ANSWERED)]
    assert ask(turns)[1] > plain[1]


@pytest.mark.parametrize(
    ("fields", "kind", "param", "says"),
    [
        ({"model": "calibrated"}, openai.NotFoundError, "model", "'calibrated' is none of base"),
        ({"model": "base:slow"}, openai.NotFoundError, "model", "':careful, :promised, :single'"),
        ({"n": 2}, openai.BadRequestError, "n", ""),
        ({"logprobs": True}, openai.BadRequestError, "logprobs", "does not do that"),
        ({"scaling": {"budget": 9}}, openai.BadRequestError, "scaling.budget", "limit, 8"),
        ({"scaling": {"policy": "esc"}}, openai.ConflictError, "scaling.threshold", "name one"),
        ({"top_p": 0.5, "scaling": EDT}, openai.BadRequestError, "top_p", "EDT draws from all"),
        ({"max_tokens": 5000}, openai.BadRequestError, "messages", "engine.max_model_len"),
        ({"question": "Why? " * 300}, openai.BadRequestError, "messages", "engine.max_model_len"),
        ({"question": "a\0b"}, openai.BadRequestError, "messages.0.content", "NUL"),
    ],
)  # fmt: skip
def test_bad_requests_are_explained(chat, fields, kind, param, says):
    with pytest.raises(kind) as told:
        chat(**fields)
    assert told.value.param == param
    assert says.strip("'") in told.value.message
    assert told.value.request_id
    assert chat().scaling["answer"]  # it goes on


def test_every_kind_of_bad_request_leaves_it_unharmed(client):
    """Those of refusals.py, as JSON writes what JSON has not, too: NaN, and halves of characters;
    and bodies that are no request at all."""
    asked = {"model": "base:single", "messages": user(ANSWERED), "seed": 0, "max_tokens": 1}
    whole = client.chat.completions.create(**asked).choices
    with requests.Session() as session:
        session.headers["content-type"] = "application/json"

        def refused(body):
            got = session.post(f"{URL}/v1/chat/completions", data=body, timeout=300)
            assert got.status_code == 400, (body[:100], got.text)
            assert client.chat.completions.create(**asked).choices == whole  # it goes on
            return got.json()["error"]

        for fields, param in REFUSED:
            told = refused(json.dumps({"messages": user("Why?"), **fields}).encode())
            assert told["param"] == param
        for body in (b"", b"{", b"[]", b"\xff", b"[" * 100_000):
            assert refused(body)["message"]


def test_a_stream_tells_how_it_goes_and_ends_with_the_same_answer(chat):
    asked = {"policy": "sc_conf", "budget": 4, "details": False}
    whole = chat(scaling=asked)
    usage = {"include_usage": True}
    *chunks, last = chat(scaling=asked, stream=True, stream_options=usage)
    assert last.choices == []
    assert last.usage == whole.usage
    assert {len(one.choices) for one in chunks} == {1}
    said = [one.choices[0].delta.content for one in chunks]
    assert "".join(filter(None, said)) == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    told = [one.scaling for one in chunks[:-1] if hasattr(one, "scaling")]
    assert {one["index"] for one in told} == {0, 1, 2, 3}
    assert {one["event"] for one in told} == {"started", "text", "finished", "used"}
    volatile = ("seconds", "receipt")  # of the second time the prompt is cached
    final = {k: v for k, v in chunks[-1].scaling.items() if k not in volatile}
    assert final == {k: v for k, v in whole.scaling.items() if k not in volatile}
    assert not [one for one in chat(scaling=asked, stream=True) if one.usage]


def test_one_sample_alone_streams_as_it_is_made(chat):
    asked = {"model": "base:single", "max_tokens": 150, "question": QUESTION}
    longest = 0
    for seed in range(4):  # the tiny model ends some at once
        whole = chat(**asked, seed=seed).choices[0].message.content
        said = [one.choices[0].delta.content for one in chat(**asked, seed=seed, stream=True)]
        pieces = [one for one in said if one]
        assert "".join(pieces) == whole
        longest = max(longest, len(pieces))
    assert longest > 2


def test_the_asynchronous_client_streams(service, chat):
    asked = {"model": "base:single", "max_tokens": 20, "seed": 0}

    async def said():
        async with openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key="none", timeout=300) as client:
            made = client.chat.completions.create(**asked, messages=user(QUESTION), stream=True)
            return [one.choices[0].delta.content or "" async for one in await made]

    whole = chat(QUESTION, **asked).choices[0].message.content
    assert "".join(asyncio.run(said())) == whole


def test_what_would_fail_again_is_not_retried(service):
    """By OpenAI's client as it is by default, which retries 408 and 409."""
    sent = []
    http = httpx.Client(event_hooks={"request": [sent.append]})
    client = openai.OpenAI(base_url=f"{URL}/v1", api_key="none", timeout=300, http_client=http)
    with pytest.raises(openai.ConflictError):
        client.chat.completions.create(
            model="base", messages=user("Why?"), extra_body={"scaling": {"policy": "esc"}}
        )
    assert len(sent) == 1


def test_a_stream_is_server_sent_events_to_the_end(service):
    body = {"messages": user(ANSWERED), "stream": True}
    with requests.post(f"{URL}/v1/chat/completions", json=body, stream=True, timeout=300) as got:
        assert got.headers["content-type"].startswith("text/event-stream")
        events = [line for line in got.iter_lines() if line]
    assert events[-1] == b"data: [DONE]"
    for one in events[:-1]:
        assert json.loads(one.removeprefix(b"data: "))


def test_clients_at_once_and_such_that_go_away(service, chat):
    """Of some the deadline is their own; the others are served."""
    asked = {"policy": "best_of_n", "schedule": "all"}

    async def storm():
        client = openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0)

        async def ask(number):
            made = await client.chat.completions.create(
                model="base", messages=user(f"What is {number} + 7?"), max_tokens=100,
                timeout=0.02 if number % 2 else 300, extra_body={"scaling": asked},
            )  # fmt: skip
            return made.scaling["samples"]["used"]

        return await asyncio.gather(*(ask(n) for n in range(20)), return_exceptions=True)

    done = asyncio.run(storm())
    assert [one for one in done if isinstance(one, int)] == [8] * 10
    assert sum(isinstance(one, openai.APITimeoutError) for one in done) == 10
    assert chat().scaling["answer"]


def test_a_text_is_completed(client, chat):
    scaling = {"policy": "best_of_n", "budget": 4, "details": True}
    asked = {"model": "base", "prompt": "Once upon a time", "seed": 0, "max_tokens": 6}
    whole = client.completions.create(**asked, extra_body={"scaling": scaling})
    assert whole.usage.prompt_tokens == 4
    assert whole.scaling["samples"]["used"] == 4
    assert whole.choices[0].text in texts(whole)
    assert (whole.object, whole.choices[0].finish_reason) == ("text_completion", "length")
    *sent, last = client.completions.create(
        **asked, extra_body={"scaling": scaling}, stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    assert "".join(one.choices[0].text for one in sent) == whole.choices[0].text
    assert last.usage.completion_tokens == whole.usage.completion_tokens
    single = client.completions.create(**asked | {"model": "base:single"}, stream=True)
    assert "".join(one.choices[0].text for one in single) == texts(whole)[0]
    with pytest.raises(openai.BadRequestError) as told:
        client.completions.create(model="base", prompt=[5])
    assert told.value.param == "prompt"


def test_a_body_may_be_so_long_and_no_longer(service, chat):
    long = json.dumps({"messages": user("a" * 2**22)}).encode()
    for body in (long, iter([long[: 2**20], long[2**20 :]])):  # told how long, or in chunks
        got = requests.post(f"{URL}/v1/chat/completions", data=body, timeout=300)
        assert (got.status_code, got.json()["error"]["code"]) == (413, "too_long")
    just = long[: 2**22 - 100] + b'"}]}'
    headers = {"content-type": "application/json"}
    got = requests.post(f"{URL}/v1/chat/completions", data=just, headers=headers, timeout=300)
    assert got.json()["error"]["code"] == "context_length_exceeded"


def test_it_is_alive_and_ready_and_measured(service, chat):
    assert requests.get(f"{URL}/health", timeout=300).json() == {"status": "ok"}
    assert requests.get(f"{URL}/ready", timeout=300).json() == {"status": "ready"}
    for path in ("/health", "/ready", "/"):
        got = requests.head(f"{URL}{path}", timeout=300)
        assert (got.status_code, got.content) == (200, b"")
    assert requests.get(f"{URL}/v2", timeout=300).json()["error"]["code"] == "not_found"
    chat()

    def families():
        from prometheus_client.parser import text_string_to_metric_families

        text = requests.get(f"{URL}/metrics", timeout=300).text
        return {one.name: one.samples for one in text_string_to_metric_families(text)}

    # Ray exports every ten seconds.
    once(lambda: families().get("ray_selfcal_generated_tokens"))
    names = set(families())
    assert [one for one in names if one.startswith("ray_serve_")]
    assert not [name for name in names if not name.startswith(("ray_selfcal_", "ray_serve_"))]


def what_needs_a_key(url):
    """The key's value is nowhere in what is told."""
    asked = {"messages": user(QUESTION), "scaling": {"policy": "best_of_n", "budget": 1}}
    for headers in ({}, {"authorization": "Bearer wrong-1"}, {"authorization": KEY}):
        for got in (
            requests.post(f"{url}/chat/completions", json=asked, headers=headers, timeout=300),
            requests.post(
                f"{url}/completions", json={"prompt": "a b"}, headers=headers, timeout=300
            ),
            requests.get(f"{url}/models", headers=headers, timeout=300),
        ):
            assert (got.status_code, got.json()["error"]["code"]) == (401, "invalid_api_key")
            assert got.headers["www-authenticate"] == "Bearer"
            assert "wrong-1" not in got.text
    assert openai.OpenAI(base_url=url, api_key=KEY).models.list().data


def what_clients_leave_behind_ends(url, board):
    """Both samples under way: the engine's tokens stand still, far from what was asked for."""

    def tokens():
        return once(board.sum).tokens

    scaling = {"policy": "best_of_n", "schedule": "all", "budget": 64}
    client = openai.OpenAI(base_url=url, api_key=KEY, timeout=300)
    asked = {"model": "base", "messages": user(QUESTION), "seed": 0, "max_tokens": 150}
    before = tokens()
    usage = client.chat.completions.create(**asked, extra_body={"scaling": scaling}).usage
    whole = usage.completion_tokens - usage.completion_tokens_details.scored_tokens
    once(lambda: tokens() >= before + whole)  # they are posted every other second
    for _ in range(2):
        stream = client.chat.completions.create(
            **asked, extra_body={"scaling": scaling}, stream=True
        )
        next(one for one in stream if getattr(one, "scaling", {}).get("event") == "text")
        stream.close()
    assert settled(tokens) - before - whole < 1.5 * whole  # of twice as many


def settled(count):
    """What a count stands at, once it has not changed for some posts of it."""
    last, since = count(), time.monotonic()

    def stands():
        nonlocal last, since
        if (now := count()) != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > 5

    once(stands, seconds=60)
    return last


def test_one_engine_answers_for_the_base_and_the_calibrated_model(
    service, chat, tiny, tmp_path, monkeypatch
):
    """By the name in a request, the calibrated one by default; to the letter what each draws, and
    tells of its tokens."""
    from adapters import write_adapter
    from ray import serve

    from pipelines.serving.served import Served
    from pipelines.serving.service import deploy

    both = Served("base", str(tiny), {"calibrated": str(write_adapter(tiny, tmp_path / "adapter"))})
    chosen = settings(tiny, max_num_seqs=32, max_num_batched_tokens=512)
    chosen["evaluate"] |= {"confidences": ["mean_logprob"]}
    made = Config.model_validate(chosen)
    with Board.open() as board:
        monkeypatch.setenv(keys.VARIABLE, KEY)
        _, handle = deploy(made, both, "both", "/both", keys.read(made.serve), board)
        rows = [asyncio.run(collect(handle, name)) for name in both.names]
        once(lambda: (board.sum() or Count()).kept == 2 * 8)  # what both have handed over
        url = f"{URL[: -len('tiny')]}both/v1"
        what_needs_a_key(url)
        what_clients_leave_behind_ends(url, board)
    scaling = {"policy": "best_of_n", "budget": 4, "details": True}
    asked = {"messages": user(QUESTION), "seed": 0, "scaling": scaling}
    answers = {
        name: requests.post(
            f"{url}/chat/completions", json=asked | named, timeout=300,
            headers={"authorization": f"Bearer {KEY}"},
        ).json()["scaling"]["details"]
        for name, named in {
            "default": {}, "base": {"model": "base"}, "calibrated": {"model": "calibrated"},
        }.items()
    }  # fmt: skip
    serve.delete("both")
    first, second = (
        [sample["mean_logprob"] for sample in row["samples"] if sample["num_tokens"] > 1]
        for row in rows
    )
    assert first
    assert first != second
    assert max(first + second) < 0
    assert answers["default"] == answers["calibrated"] != answers["base"]
    alone = chat(QUESTION, scaling={"policy": "best_of_n", "budget": 4})
    assert [one["text"] for one in answers["base"]] == texts(alone)


def test_what_vllm_refuses_is_one_line_and_nothing_of_it_stays(service, tiny, monkeypatch):
    from ray import serve

    from pipelines.serving import service as serving
    from pipelines.serving.served import base_model
    from pipelines.serving.service import deploy

    once_only = serving.Answerer.options(max_constructor_retry_count=1)
    monkeypatch.setattr(serving, "Answerer", once_only)
    split = Config.model_validate(settings(tiny, tensor_parallel_size=3))
    with pytest.raises(ValueError, match=r"^engine: vLLM does not start: .* heads \(2\)") as told:
        deploy(split, base_model(split), name="refused", route="/refused")
    assert "\n" not in str(told.value)
    once(lambda: "refused" not in serve.status().applications)


def test_what_a_killed_evaluation_left_goes_and_nothing_else(service):
    from ray import serve

    from pipelines.stages.evaluate import applications, remove_left
    from pipelines.storage.location import Location

    @serve.deployment(ray_actor_options={"num_cpus": 0})
    class Idle:
        pass

    own, another = (Location.of(root) for root in ("s3://bucket/own", "s3://bucket/another"))
    left = [f"{applications(root)}base" for root in (own, another)]
    for name in left:
        serve.run(Idle.bind(), name=name, route_prefix=f"/{name}")
    remove_left(own)
    assert {"tiny", left[1]} <= set(serve.status().applications)
    assert left[0] not in serve.status().applications
    serve.delete(left[1])


def test_the_schema_is_true(service):
    schema = requests.get(f"{URL}/openapi.json", timeout=300).json()
    operation = schema["paths"]["/v1/chat/completions"]["post"]
    assert set(operation["responses"]) == {"200", "4XX", "5XX"}
    assert set(operation["responses"]["200"]["content"]) == {
        "application/json", "text/event-stream",
    }  # fmt: skip
    fields = schema["components"]["schemas"]["ChatRequest"]["properties"]
    assert {"messages", "model", "temperature", "stop", "seed", "scaling", "stream"} <= set(fields)
