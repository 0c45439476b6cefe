"""Chat requests: what is taken, and that what is refused is one clear line, whatever it holds."""

import json

import pytest
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.testclient import TestClient
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from pipelines.method.policies import POLICIES
from pipelines.serving.chat import ChatRequest
from pipelines.serving.errors import RequestError, malformed, refused, unread
from pipelines.serving.request import EFFORTS

app = FastAPI(
    exception_handlers={
        RequestValidationError: malformed, RequestError: refused, HTTPException: unread,
    }
)  # fmt: skip
USER = {"role": "user", "content": "Why?"}
NAN, INFINITY = float("nan"), float("inf")


@app.post("/")
def asked_for(request: ChatRequest) -> dict:
    return {
        "ignored": request.ignored(),
        "texts": [message.text for message in request.messages],
        "question": request.question,
        "stops": request.stops,
    }


client = TestClient(app)


def posted(body):
    return client.post("/", content=body, headers={"content-type": "application/json"})


def asked(**fields):
    """As JSON writes what JSON has not, too: NaN, and halves of characters."""
    return posted(json.dumps({"messages": [USER], **fields}).encode())


def of(*roles_and_contents):
    return [{"role": role, "content": content} for role, content in roles_and_contents]


def test_a_conversation():
    parts = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]
    parts.append({"type": "text", "text": "b"})
    messages = of(("developer", "Be brief."), ("user", parts), ("assistant", None), ("user", "c"))
    messages[1]["name"] = "somebody"
    got = asked(messages=messages).json()
    assert got["texts"] == ["Be brief.", "ab", "", "c"]
    assert got["question"] == "c"


@pytest.mark.parametrize(
    ("stop", "stops"), [(None, []), ("x", ["x"]), ([], []), (["a", "b", "c", "d"], [*"abcd"])]
)
def test_stops(stop, stops):
    assert asked(stop=stop).json()["stops"] == stops


TAKEN = {
    "user": "u", "metadata": {"a": "b"}, "store": True, "service_tier": "auto",
    "safety_identifier": "s", "prompt_cache_key": "k", "prompt_cache_retention": "24h",
    "parallel_tool_calls": True, "tools": None, "tool_choice": "none", "functions": [],
    "function_call": "none", "response_format": {"type": "text"}, "logprobs": False,
    "top_logprobs": None, "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {},
    "modalities": ["text"], "audio": None, "prediction": None, "web_search_options": None,
    "n": 1, "model": None, "max_tokens": None, "max_completion_tokens": 3, "temperature": 0,
    "top_p": 1, "seed": -1, "stream": False, "stream_options": None, "reasoning_effort": "low",
    "scaling": None,
}  # fmt: skip


@pytest.mark.parametrize("field", TAKEN)
def test_what_asks_for_nothing_more_is_taken(field):
    got = asked(**{field: TAKEN[field]})
    assert (got.status_code, got.json().get("ignored")) == (200, []), got.text


def test_what_is_not_known_is_ignored_and_told():
    assert asked(top_k=5, verbosity="low").json()["ignored"] == ["top_k", "verbosity"]


REFUSED = [
    ({"n": 2}, "n"),
    ({"n": True}, "n"),
    ({"n": "1"}, "n"),
    ({"n": 0}, "n"),
    ({"logprobs": True}, "logprobs"),
    ({"top_logprobs": 5}, "top_logprobs"),
    ({"tools": [{"type": "function"}]}, "tools"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": {"type": "function"}}, "tool_choice"),
    ({"functions": [{"name": "f"}]}, "functions"),
    ({"function_call": {"name": "f"}}, "function_call"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
    ({"audio": {"voice": "v"}}, "audio"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
    ({"web_search_options": {"a": 1}}, "web_search_options"),
    ({"presence_penalty": 0.1}, "presence_penalty"),
    ({"frequency_penalty": -2}, "frequency_penalty"),
    ({"logit_bias": {"5": 1}}, "logit_bias"),
    ({"web_search_options": {}}, "web_search_options"),
    ({"tools": "auto"}, "tools"),
    ({"response_format": "auto"}, "response_format"),
    ({"logprobs": "none"}, "logprobs"),
    ({"logprobs": 0}, "logprobs"),
    ({"presence_penalty": ""}, "presence_penalty"),
    ({"presence_penalty": False}, "presence_penalty"),
    ({"logit_bias": []}, "logit_bias"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": "true"}, "stream"),
    ({"stream": 1}, "stream"),
    ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ({"stream": True, "stream_options": []}, "stream_options"),
    ({"temperature": NAN}, "temperature"),
    ({"temperature": INFINITY}, "temperature"),
    ({"temperature": -1}, "temperature"),
    ({"temperature": "1"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"temperature": 1001}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"top_p": 1.1}, "top_p"),
    ({"top_p": NAN}, "top_p"),
    ({"top_p": "0.5"}, "top_p"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"max_tokens": "8"}, "max_tokens"),
    ({"max_tokens": 8.5}, "max_tokens"),
    ({"max_tokens": 2**31}, "max_tokens"),
    ({"max_completion_tokens": -1}, "max_completion_tokens"),
    ({"max_completion_tokens": False}, "max_completion_tokens"),
    ({"seed": 1.5}, "seed"),
    ({"seed": True}, "seed"),
    ({"seed": "1"}, "seed"),
    ({"stop": 5}, "stop"),
    ({"stop": ""}, "stop"),
    ({"stop": ["a", ""]}, "stop.1"),
    ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
    ({"stop": [None]}, "stop.0"),
    ({"stop": "a" * 257}, "stop"),
    ({"stop": ["a", "a" * 257]}, "stop.1"),
    ({"stop": True}, "stop"),
    ({"model": 5}, "model"),
    ({"model": ""}, "model"),
    ({"model": "\ud800"}, "model"),
    ({"reasoning_effort": "most"}, "reasoning_effort"),
    ({"reasoning_effort": 1}, "reasoning_effort"),
    ({"messages": []}, "messages"),
    ({"messages": None}, "messages"),
    ({"messages": "Why?"}, "messages"),
    ({"messages": {}}, "messages"),
    ({"messages": [None]}, "messages.0"),
    ({"messages": ["Why?"]}, "messages.0"),
    ({"messages": [{}]}, "messages.0.role"),
    ({"messages": [{"content": "Why?"}]}, "messages.0.role"),
    ({"messages": of(("tool", "x"))}, "messages.0.role"),
    ({"messages": of(("function", "x"))}, "messages.0.role"),
    ({"messages": of(("User", "x"))}, "messages.0.role"),
    ({"messages": of((None, "x"))}, "messages.0.role"),
    ({"messages": [USER, *of(("user", 5))]}, "messages.1.content"),
    ({"messages": of(("user", True))}, "messages.0.content"),
    ({"messages": of(("user", {"type": "text", "text": "x"}))}, "messages.0.content"),
    ({"messages": of(("user", "a\0b"))}, "messages.0.content"),
    ({"messages": of(("user", "a\ud800b"))}, "messages.0.content"),
    ({"messages": of(("user", ["x"]))}, "messages.0.content.0"),
    ({"messages": of(("user", [{"type": "text"}]))}, "messages.0.content.0.text"),
    ({"messages": of(("user", [{"text": "x"}]))}, "messages.0.content.0.type"),
    ({"messages": of(("user", [{"type": "text", "text": 5}]))}, "messages.0.content.0.text"),
    (
        {"messages": of(("user", [{"type": "image_url", "image_url": {"url": "http://x"}}]))},
        "messages.0.content.0.type",
    ),
    (
        {"messages": of(("user", [{"type": "input_audio", "input_audio": {}}]))},
        "messages.0.content.0.type",
    ),
    ({"scaling": {"budgte": 3}}, "scaling.budgte"),
    ({"scaling": []}, "scaling"),
    ({"scaling": "fast"}, "scaling"),
    ({"scaling": {"budget": True}}, "scaling.budget"),
    ({"scaling": {"budget": "3"}}, "scaling.budget"),
    ({"scaling": {"budget": 3.0}}, "scaling.budget"),
    ({"scaling": {"budget": 0}}, "scaling.budget"),
    ({"scaling": {"budget": 10**20}}, "scaling.budget"),
    ({"scaling": {"threshold": NAN}}, "scaling.threshold"),
    ({"scaling": {"threshold": INFINITY}}, "scaling.threshold"),
    ({"scaling": {"threshold": -0.1}}, "scaling.threshold"),
    ({"scaling": {"threshold": True}}, "scaling.threshold"),
    ({"scaling": {"threshold": "0.5"}}, "scaling.threshold"),
    ({"scaling": {"policy": "magic"}}, "scaling.policy"),
    ({"scaling": {"policy": "ma\ud800gic"}}, "scaling.policy"),
    ({"scaling": {"policy": 1}}, "scaling.policy"),
    ({"scaling": {"policy": "esc", "threshold": 2.5}}, "scaling.threshold"),
    ({"scaling": {"policy": "best_of_n", "threshold": 0.5}}, "scaling.threshold"),
    ({"scaling": {"fallback": "first"}}, "scaling.fallback"),
    ({"scaling": {"kind": "list"}}, "scaling.kind"),
    ({"scaling": {"order": "random"}}, "scaling.order"),
    ({"scaling": {"schedule": "some"}}, "scaling.schedule"),
    ({"scaling": {"schedule": []}}, "scaling.schedule"),
    ({"scaling": {"schedule": [1, 0]}}, "scaling.schedule.1"),
    ({"scaling": {"schedule": [True]}}, "scaling.schedule.0"),
    ({"scaling": {"schedule": 3}}, "scaling.schedule"),
    ({"scaling": {"choices": ["a", 1]}}, "scaling.choices.1"),
    ({"scaling": {"choices": "ab"}}, "scaling.choices"),
    ({"scaling": {"choices": ["a", "a" * 4001]}}, "scaling.choices.1"),
    ({"scaling": {"choices": ["a"] * 27}}, "scaling.choices"),
    ({"scaling": {"schedule": [1] * 1001}}, "scaling.schedule"),
    ({"scaling": {"query_id": "a" * 1001}}, "scaling.query_id"),
    ({"messages": [{"role": "user"}] * 10_001}, "messages"),
    ({"scaling": {"kind": "text", "choices": ["a", "b"]}}, "scaling.choices"),
    ({"scaling": {"target": {}}}, "scaling.target"),
    ({"scaling": {"target": {"accuracy": 1.5}}}, "scaling.target.accuracy"),
    ({"scaling": {"target": {"mean_samples": 0}}}, "scaling.target.mean_samples"),
    ({"scaling": {"target": {"latency": 1}}}, "scaling.target.latency"),
    ({"scaling": {"temperature_kind": "greedy"}}, "scaling.temperature_kind"),
    ({"scaling": {"seed": 1.0}}, "scaling.seed"),
    ({"scaling": {"seed": 1}, "seed": 2}, "scaling.seed"),
    ({"scaling": {"query_id": " "}}, "scaling.query_id"),
    ({"scaling": {"query_id": "\udfff"}}, "scaling.query_id"),
    ({"scaling": {"details": 1}}, "scaling.details"),
]


@pytest.mark.parametrize(("fields", "param"), REFUSED, ids=lambda one: str(one)[:60])
def test_what_is_refused_is_told_by_its_field(fields, param):
    got = asked(**fields)
    assert got.status_code == 400, got.text
    told = got.json()["error"]
    assert told["param"] == param
    assert told["type"] == "invalid_request_error"
    assert (param or "").partition(".")[0] in told["message"]
    assert "\n" not in told["message"]


def test_there_are_a_hundred_kinds_of_them():
    assert len(REFUSED) >= 100


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"5", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object(body):
    got = posted(body)
    assert got.status_code == 400
    assert got.json()["error"]["message"]


def test_every_field_is_described():
    schemas = app.openapi()["components"]["schemas"]
    fields = {
        (name, field): told
        for name in ("ChatRequest", "Scaling", "Target", "StreamOptions")
        for field, told in schemas[name]["properties"].items()
    }
    assert not [where for where, told in fields.items() if "description" not in told]
    policy, _ = fields["Scaling", "policy"]["anyOf"]
    assert policy["enum"] == [*POLICIES]


def test_efforts_are_the_presets():
    from pipelines.config.serving import PRESETS

    assert {one for one in EFFORTS.values() if one} == set(PRESETS)


MANY = {f"name{number}": 1 for number in range(10_000)}


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [1] * 10_000},
        {"messages": of(("user", [1] * 10_000))},
        {"stop": [""] * 10_000},
        {"scaling": {"schedule": [0] * 10_000}},
        {"scaling": {"schedule": [1] * 10_000}},
        {"scaling": {"choices": [1] * 10_000}},
        {"scaling": MANY},
        {"scaling": {"target": MANY}},
        MANY,
    ],
)
def test_of_many_faults_few_are_looked_for(fields):
    """Telling all of a long list would take the server seconds."""
    with pytest.raises(ValidationError) as told:
        ChatRequest.model_validate({"messages": [USER], **fields})
    assert told.value.error_count() < 10


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"stop": ["a"] * 5}, "stop: expected a length of 4 at most"),
        ({"stop": "a" * 257}, "stop: expected a length of 256 at most"),
        ({"scaling": {"schedule": [1] * 1001}}, "scaling.schedule: expected a length of 1000"),
        ({"scaling": {"schedule": []}}, "scaling.schedule: expected one or more"),
        ({"scaling": MANY}, "scaling: expected 100 fields at most, not 10000"),
        (MANY, "expected 100 fields at most, not 10001"),
    ],
)
def test_a_limit_is_told(fields, says):
    assert asked(**fields).json()["error"]["message"].startswith(says)


def test_a_long_name_is_told_in_short():
    name, short = "a" * 10_000, "a" * 80 + "..."
    assert asked(**{name: 1}).json()["ignored"] == [short]
    told = asked(scaling={name: 1}).json()["error"]
    assert told["message"] == f"scaling.{short}: there is no such field"
    assert told["param"] == f"scaling.{short}"
