"""Chat requests: what is taken, and that what is refused is one clear line, whatever it holds."""

import json

import pytest
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.testclient import TestClient
from pydantic import ValidationError
from refusals import REFUSED, USER, of
from starlette.exceptions import HTTPException

from pipelines.method.policies import NAMED
from pipelines.serving.chat import ChatRequest
from pipelines.serving.errors import RequestError, malformed, refused, unread
from pipelines.serving.request import EFFORTS

app = FastAPI(
    exception_handlers={
        RequestValidationError: malformed, RequestError: refused, HTTPException: unread,
    }
)  # fmt: skip


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


@pytest.mark.parametrize("sent", ["application/x-www-form-urlencoded", "text/plain", None])
def test_a_body_that_is_not_said_to_be_json(sent):
    """As curl's -d sends it, where nothing else is said."""
    body = json.dumps({"messages": [USER]}).encode()
    got = client.post("/", content=body, headers={"content-type": sent} if sent else {})
    was = f"it was {sent}" if sent else "there was none"
    told = got.json()["error"]
    assert (got.status_code, told["param"]) == (400, None)
    assert told["message"] == f"send the header content-type: application/json ({was})"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "the body holds nothing; send a JSON object"),
        (b"null", "the body holds nothing; send a JSON object"),
        (b"[]", "expected a JSON object"),
        (b"5", "expected a JSON object"),
        (b'{"messages": [}', "the body is not JSON: Expecting value, at character 14"),
        (b"{'a': 1}", "the body is not JSON: Expecting property name enclosed in double quotes, "
         "at character 1"),
        (b'{"a": "caf\xe9"}', "the body is not UTF-8: byte 0xe9, after 10 others"),
        (b"[" * 100_000, "the body is nested too deeply"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "the body has a number of over 4300 digits"),
        (b'{"messages": [5]}', "messages.0: expected a JSON object"),
    ],
    ids=lambda one: str(one)[:40],
)  # fmt: skip
def test_a_body_that_is_no_request(body, says):
    got = posted(body)
    assert (got.status_code, got.json()["error"]["message"]) == (400, says)


def test_every_field_is_described():
    schemas = app.openapi()["components"]["schemas"]
    fields = {
        (name, field): told
        for name in ("ChatRequest", "Scaling", "Target", "StreamOptions")
        for field, told in schemas[name]["properties"].items()
    }
    assert not [where for where, told in fields.items() if "description" not in told]
    policy, _ = fields["Scaling", "policy"]["anyOf"]
    assert policy["enum"] == [*NAMED]


def test_efforts_are_presets():
    from pipelines.serving.scaling import PRESETS

    assert {one for one in EFFORTS.values() if one} == {"fast", "careful", "single"} < set(PRESETS)


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
