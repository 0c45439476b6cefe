"""What a request is answered: every token counted once, why it stopped, and the same streamed."""

import asyncio
import json

import pytest
from fakes import DRAWING

from pipelines.engine.protocol import Counters, Generated
from pipelines.engine.sampling import Sample
from pipelines.serving.adaptive import Decision
from pipelines.serving.errors import RequestError, late
from pipelines.serving.reply import Answered, ChatChoice, ChatCompletion, Reply, scaled, usage
from pipelines.serving.scaling import Plan
from pipelines.serving.stream import events

PLAN = Plan("early_stopping", 0.5, 8, "waves", False, "text", None, DRAWING, 0, None)


def sample(index, answer, p_true, tokens):
    generated = Generated([], f"text {index}", tokens, "stop", 20, 3)
    return Sample(index, generated, answer, p_true, 0.9)


USED = [sample(1, "b", 0.2, 7), sample(0, "a", 0.1, 10), sample(2, "b", 0.6, 4)]


def answered(used=USED, reason="policy", answer="b", started=5, finished=4, **spent):
    counted = {"generated_tokens": 31, "prompt_tokens": 28, "scored_tokens": 24} | spent
    counters = Counters(**counted, cached_tokens=52)
    return Answered(
        PLAN, 20, Decision(answer, used, reason, started, finished, True), counters, 1.5
    )


def test_usage_counts_each_token_once():
    made = usage(answered())
    details = made.completion_tokens_details
    assert (details.message_tokens, details.other_tokens) == (4, 17)
    assert details.wasted_tokens == 31 - 21  # of the siblings, finished or not
    assert made.completion_tokens == 31 + 24 == 4 + 17 + 10 + details.scored_tokens
    assert made.total_tokens == 20 + 55


def test_the_receipt_compares_with_one_sample_and_the_full_budget():
    """A sample after the first computes (28 - 20) / 4 of the prompt; 7 tokens on average."""
    receipt = scaled(answered(), [], details=False).receipt
    assert receipt.tokens == 28 + 31 + 24
    assert receipt.one_sample == 20 + 10  # sample 0, though it was not the first to end
    assert receipt.full_budget == 28 + 3 * 2 + 8 * (7 + 6)  # four were scored
    assert receipt.saved == pytest.approx(1 - 83 / 138)


def test_where_all_is_drawn_and_scored_nothing_is_saved():
    """Though the first one decides: the others had ended before it."""
    one = answered(
        [sample(0, "b", 0.9, 10)],
        started=8,
        finished=8,
        generated_tokens=80,
        prompt_tokens=34,
        scored_tokens=240,
    )
    assert scaled(one, [], details=False).receipt.saved == 0


def test_what_the_cache_held_of_the_prompt_is_a_part_of_it():
    assert usage(answered()).prompt_tokens_details.cached_tokens == 3
    assert scaled(answered(), [], details=False).receipt.cached == 52


def test_what_is_told_of_the_samples():
    made = scaled(answered(), ["top_k"], details=True)
    assert (made.answer, made.confidence, made.mass) == ("b", 0.6, 0.9)
    assert made.votes == {"b": 2, "a": 1}
    assert made.weights == pytest.approx({"b": 0.8 / 0.9, "a": 0.1 / 0.9})
    assert made.share == pytest.approx(0.8 / 0.9)
    assert made.samples.model_dump() == {"started": 5, "finished": 4, "cancelled": 1, "used": 3}
    assert made.ignored == ["top_k"]
    assert [one.index for one in made.details] == [1, 0, 2]


UNPARSED = [sample(0, None, 0.3, 5), sample(1, None, 0.7, 6)]


@pytest.mark.parametrize(
    ("used", "answer", "reason", "told"),
    [
        (USED, "b", "policy", "sure"),
        (USED, "b", "budget", "budget"),
        (USED, "b", "deadline", "deadline"),
        (UNPARSED, None, "budget", "no answer"),
        (UNPARSED, None, "deadline", "deadline"),
    ],
)
def test_why_it_stopped(used, answer, reason, told):
    made = scaled(answered(used, reason, answer), [], details=False)
    assert made.stop_reason == told
    if answer is None:
        assert (made.answer, made.share, made.confidence) == (None, None, 0.7)  # the surest text


def completion(**changes):
    one = answered(**changes)
    choice = ChatChoice(message=Reply(content="It is b."), finish_reason="stop")
    return ChatCompletion(
        id="i", created=1, model="m", choices=[choice], usage=usage(one),
        scaling=scaled(one, [], details=False),
    )  # fmt: skip


def test_after_the_deadline_the_answer_so_far_stands_beside_the_error():
    response = late(completion(reason="deadline"))
    body = json.loads(response.body)
    assert response.status_code == 408
    assert body["error"]["code"] == "deadline"
    assert body["choices"][0]["message"]["content"] == "It is b."


def streamed(answer, with_usage=True, live=False):
    async def collect():
        return [one async for one in events(answer, "i", 1, "m", with_usage, live)]

    lines = asyncio.run(collect())
    assert all(one.startswith("data: ") and one.endswith("\n\n") for one in lines)
    return [one[6:-2] for one in lines]


@pytest.mark.parametrize("with_usage", [False, True])
def test_a_stream_ends_with_the_completion(with_usage):
    async def answer(tell):
        tell(0, "started", None)
        tell(0, "text", "It is")
        tell(0, "finished", USED[2])
        return completion()

    *chunks, done = streamed(answer, with_usage)
    assert done == "[DONE]"
    chunks = [json.loads(one) for one in chunks]
    if with_usage:
        *chunks, last = chunks
        assert (last["choices"], last["usage"]) == ([], completion().usage.model_dump())
    assert all(len(one["choices"]) == 1 and "usage" not in one for one in chunks)
    told = [one["scaling"] for one in chunks[1:4]]
    assert [one["event"] for one in told] == ["started", "text", "finished"]
    assert told[1]["text"] == "It is"
    assert (told[2]["answer"], told[2]["p_true"], told[2]["tokens"]) == ("b", 0.6, 4)
    assert chunks[4]["choices"][0]["delta"] == {"content": "It is b."}
    assert chunks[5]["choices"][0]["finish_reason"] == "stop"
    assert chunks[5]["scaling"]["answer"] == "b"


def test_one_sample_alone_streams_its_text_as_it_comes():
    async def answer(tell):
        for piece in ("It ", "is ", "b."):
            tell(0, "text", piece)
        return completion()

    chunks = [json.loads(one) for one in streamed(answer, False, live=True)[:-1]]
    said = [one["choices"][0]["delta"].get("content") for one in chunks]
    assert said == ["", "It ", "is ", "b.", None]


@pytest.mark.parametrize(
    ("error", "code"),
    [(RequestError(408, "late", code="deadline"), "deadline"), (KeyError("x"), "internal_error")],
)
def test_what_fails_amid_a_stream_is_its_last_event(error, code):
    async def answer(tell):
        raise error

    *_, last = streamed(answer)
    assert json.loads(last)["error"]["code"] == code
    assert "KeyError" not in last


def test_a_reader_that_goes_away_cancels_the_answer():
    cancelled = []

    async def answer(tell):
        tell(0, "started", None)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def leave():
        stream = events(answer, "i", 1, "m", with_usage=False, live=False)
        await anext(stream)
        await anext(stream)
        await stream.aclose()
        await asyncio.sleep(0)

    asyncio.run(leave())
    assert cancelled == [True]
