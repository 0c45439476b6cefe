"""A response as events: what its samples do, then the same answer as in one piece."""

import asyncio
import json

import pytest
from decided import USED, answered

from pipelines.serving.errors import RequestError, late
from pipelines.serving.events import Events
from pipelines.serving.form import ChatForm, TextForm
from pipelines.serving.reply import outcome
from pipelines.serving.stream import EventStream, chunks


def made(**changes):
    return outcome(answered(**changes), [], details=False)


def test_after_the_deadline_the_answer_so_far_stands_beside_the_error():
    response = late(ChatForm("m").whole(made(reason="deadline")))
    body = json.loads(response.body)
    assert response.status_code == 408
    assert body["error"]["code"] == "deadline"
    assert body["choices"][0]["message"]["content"] == "text 2"


def batches(*told, one=False):
    """What a reader has of events: of those that are told between its looks, all at once."""

    async def collect():
        events, read = Events(one), []

        async def reader():
            async for batch in events.batches():
                read.append(batch)

        task = asyncio.create_task(reader())
        for at_once in told:
            for event in at_once:
                events.add(*event)
            await asyncio.sleep(0)
        events.close()
        await task
        return read

    return asyncio.run(collect())


def test_events_come_as_they_are_told_and_pieces_of_a_text_together():
    told = batches(
        [(0, "started", None), (1, "started", None)],
        [(0, "text", "It"), (0, "text", " is"), (1, "text", "A"), (0, "text", " b.")],
        [(0, "finished", USED[2]), (1, "aborted", 5)],
    )
    assert told == [
        [{"event": "started", "index": 0}, {"event": "started", "index": 1}],
        [
            {"event": "text", "index": 0, "text": "It is"},
            {"event": "text", "index": 1, "text": "A"},
            {"event": "text", "index": 0, "text": " b."},
        ],
        [
            {"event": "finished", "index": 0, "answer": "b", "p_true": 0.6, "tokens": 4},
            {"event": "aborted", "index": 1, "tokens": 5},
        ],
    ]
    assert batches() == []
    assert batches([(0, "text", "a")], [(0, "text", "b")], one=True) == [
        [{"event": "message", "index": 0, "text": "a"}],
        [{"event": "message", "index": 0, "text": "b"}],
    ]


TOLD = [[], [{"event": "started", "index": 0}], [{"event": "text", "index": 0, "text": "It is"}]]


def streamed(told, with_usage=True, form=None):
    """The data of each event; told: an exception is raised."""

    async def source():
        for one in told:
            if isinstance(one, Exception):
                raise one
            yield one

    async def collect():
        return [one async for one in chunks(source(), form or ChatForm("m"), with_usage)]

    lines = asyncio.run(collect())
    assert all(one.startswith("data: ") and one.endswith("\n\n") for one in lines)
    return [one[6:-2] for one in lines]


@pytest.mark.parametrize("with_usage", [False, True])
def test_a_stream_ends_with_the_completion(with_usage):
    *sent, done = streamed([*TOLD, made()], with_usage)
    assert done == "[DONE]"
    sent = [json.loads(one) for one in sent]
    if with_usage:
        *sent, last = sent
        assert (last["choices"], last["usage"]) == ([], made().usage.model_dump())
    assert all(len(one["choices"]) == 1 and "usage" not in one for one in sent)
    assert sent[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [one["scaling"]["event"] for one in sent[1:3]] == ["started", "text"]
    assert sent[3]["choices"][0]["delta"] == {"content": "text 2"}
    assert sent[4]["choices"][0]["finish_reason"] == "stop"
    assert sent[4]["scaling"]["answer"] == "b"
    assert {one["object"] for one in sent} == {"chat.completion.chunk"}


def test_a_text_completion_is_streamed_as_text():
    *sent, _ = [json.loads(one) for one in streamed([*TOLD, made()], True, TextForm("m"))[:-1]]
    assert {one["object"] for one in sent} == {"text_completion"}
    assert "".join(one["choices"][0]["text"] for one in sent) == "text 2"


def test_one_sample_alone_streams_its_text_as_it_comes():
    pieces = [[{"event": "message", "index": 0, "text": text}] for text in ("text", " 2")]
    sent = [json.loads(one) for one in streamed([[], *pieces, made()], False)[:-1]]
    said = [one["choices"][0]["delta"].get("content") for one in sent]
    assert said == ["", "text", " 2", None]


@pytest.mark.parametrize(
    ("error", "code"),
    [(RequestError(408, "late", code="deadline"), "deadline"), (KeyError("x"), "internal_error")],
)
def test_what_fails_amid_a_stream_is_its_last_event(error, code):
    *_, last = streamed([[], error])
    assert json.loads(last)["error"]["code"] == code
    assert "KeyError" not in last


def test_no_proxy_holds_a_stream_back():
    async def source():
        yield []

    headers = EventStream(source(), ChatForm("m"), False).headers
    assert headers["cache-control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"  # nginx's


@pytest.mark.parametrize("after", [0, 2])
def test_a_client_that_goes_away_ends_what_it_asked_for(after):
    """Also one that is gone before the first event."""
    ended = []

    async def source():
        try:
            while True:
                yield [{"event": "started", "index": 0}]
        finally:
            ended.append("source")

    async def leave():
        told = source()
        await anext(told)
        sent = 0

        async def send(_):
            nonlocal sent
            sent += 1
            if sent > after:
                raise OSError("gone")

        response = EventStream(told, ChatForm("m"), False)
        scope = {"type": "http", "asgi": {"spec_version": "2.4"}}
        with pytest.raises(Exception):  # noqa: B017, PT011  the framework's own
            await response(scope, asyncio.Event().wait, send)

    asyncio.run(leave())
    assert ended == ["source"]
