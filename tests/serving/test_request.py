"""Requests that are refused are one clear message, whatever they hold."""

import json

import pytest
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.testclient import TestClient

from pipelines.serving.request import Request, refuse

app = FastAPI(exception_handlers={RequestValidationError: refuse})


@app.post("/answer")
def answer(request: Request) -> dict:
    return request.model_dump()


client = TestClient(app)


def posted(body):
    return client.post("/answer", content=body, headers={"content-type": "application/json"})


def asked(**fields):
    """As JSON writes what JSON has not, too: NaN, and halves of characters."""
    return posted(json.dumps({"question": "Why?", **fields}).encode())


def test_a_request():
    got = asked(kind="option", choices=["a", "b"], policy="esc", threshold=2, budget=3, seed=-1)
    assert got.status_code == 200
    assert got.json()["threshold"] == 2


@pytest.mark.parametrize("policy", ["early_stopping", "esc", "best_of_n"])
def test_a_request_need_not_name_a_threshold(policy):
    assert asked(policy=policy).json()["threshold"] is None


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"budget": True}, "budget: Input should be a valid integer"),
        ({"budget": "3"}, "budget: Input should be a valid integer"),
        ({"budget": 3.0}, "budget: Input should be a valid integer"),
        ({"budget": 0}, "budget: Input should be greater than or equal to 1"),
        ({"seed": 1.5}, "seed: Input should be a valid integer"),
        ({"seed": True}, "seed: Input should be a valid integer"),
        ({"threshold": True}, "threshold: Input should be a valid number"),
        ({"threshold": "0.5"}, "threshold: Input should be a valid number"),
        ({"threshold": float("nan")}, "threshold: Input should be "),
        ({"threshold": float("inf")}, "threshold: Input should be a finite number"),
        ({"threshold": -0.1}, "threshold: Input should be greater than or equal to 0"),
        ({"question": ""}, "question: expected some text"),
        ({"question": " \n\t"}, "question: expected some text"),
        ({"question": "a\0b"}, "question: expected text without NUL"),
        ({"question": "a\ud800b"}, "question: "),
        ({"question": 3}, "question: Input should be a valid string"),
        ({"question": None}, "question: Input should be a valid string"),
        ({"query_id": "\udfff"}, "query_id: "),
        ({"query_id": " "}, "query_id: expected some text"),
        ({"kind": "option", "choices": ["a", "\ud800"]}, "choices.1: "),
        ({"kind": "option", "choices": ["a", 1]}, "choices.1: Input should be a valid string"),
        ({"kind": "option", "choices": ["a"]}, "from 2 to 26, not 1"),
        ({"choices": ["a", "b"]}, "choices are of kind option"),
        ({"policy": "ma\ud800gic"}, "policy"),
        ({"policy": "magic"}, "policy 'magic' is none of best_of_n"),
        ({"policy": "esc", "threshold": 2.5}, "a window, a whole number"),
        ({"policy": "esc", "threshold": 0}, "a window, a whole number"),
        ({"kind": "number", "\ud800": 1}, "Input should be a valid string"),
        ({"thresold": 0.5}, "thresold: Extra inputs are not permitted"),
        ({"budget": 0, "seed": True}, "; seed: "),
    ],
)
def test_what_is_refused(fields, says):
    got = asked(**fields)
    assert got.status_code == 422, got.text
    assert says in got.json()["detail"]
    assert "\n" not in got.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object(body):
    got = posted(body)
    assert got.status_code in (400, 422)
    assert got.json()["detail"]
