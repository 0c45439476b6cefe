"""What the door lets through, and for how long it waits: an app behind it, without a server."""

import asyncio
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from clock import run_patiently
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException

from pipelines.serving import door
from pipelines.serving.door import Door
from pipelines.serving.errors import RequestError, refused, unread
from pipelines.serving.gate import Visit

PIECE = {"type": "http.request", "body": b"ab", "more_body": True}
LAST = {"type": "http.request", "body": b"c"}


class Gate:
    """Keeps the visits, and lets all in."""

    def __init__(self):
        self.visits = []

    @contextmanager
    def entered(self, owner):
        self.visits.append(Visit())
        yield self.visits[-1]


def app(answer):
    """Answers a body as `answer` does, behind the door."""
    made = FastAPI(exception_handlers={RequestError: refused, HTTPException: unread})

    @made.post("/v1/asked")
    async def asked(request: Request):
        return answer(await request.body())

    return Door(made)


@pytest.fixture
def ask(monkeypatch):
    gate = Gate()
    own = SimpleNamespace(digests=(), gate=gate, max_body=100)
    context = SimpleNamespace(servable_object=own)
    monkeypatch.setattr(door.serve, "get_replica_context", lambda: context)

    def ask(sent, answer=bytes.decode):
        """Status, and whether the gate learns of it; after `sent` a client sends no more."""
        left, told = list(sent), []

        async def receive():
            return left.pop(0) if left else await asyncio.Event().wait()

        async def send(message):
            told.append(message)

        scope = {
            "type": "http", "method": "POST", "path": "/v1/asked", "headers": [],
            "query_string": b"", "root_path": "",
        }  # fmt: skip
        run_patiently(app(answer)(scope, receive, send))
        return told[0]["status"], gate.visits[-1].answered

    return ask


def test_a_body_in_pieces(ask):
    assert ask([PIECE, LAST], {b"abc": "read"}.__getitem__) == (200, True)


@pytest.mark.parametrize("sent", [[], [PIECE], [PIECE] * 5])
def test_a_body_that_is_held_back_leaves_its_place(ask, sent):
    assert ask(sent) == (408, False)


def test_a_client_that_held_its_body_back_is_not_to_try_again():
    answer = asyncio.run(unread(None, HTTPException(408, "it took too long")))
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(("status", "learned"), [(408, True), (429, False), (409, False)])
def test_of_what_is_not_answered_the_gate_learns_from_a_deadline_alone(ask, status, learned):
    def refuse(_):
        raise RequestError(status, "no")

    assert ask([LAST], refuse) == (status, learned)
