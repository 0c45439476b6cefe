"""A request whose replica dies goes to another, and a client has its text once."""

import asyncio
import gc
import time
from functools import partial
from types import SimpleNamespace

import pytest
from clock import run_patiently
from decided import PLAN, answered
from ray.exceptions import ActorDiedError
from ray.serve.exceptions import BackPressureError, RequestCancelledError
from responses import Response

from pipelines.serving.completion import RawPrompt
from pipelines.serving.dispatch import Dispatch
from pipelines.serving.errors import RequestError
from pipelines.serving.reply import outcome
from pipelines.serving.wire import Asked

MADE = outcome(answered(), [], details=False)


def asked():
    return Asked("m", PLAN, RawPrompt("a b"), False, [], False, came=time.time())


ASKED = asked()
DIED = ActorDiedError()


class Replicas:
    """A handle: each call is answered as the next of `told` says; a list is a stream's."""

    def __init__(self, *told):
        self._told, self.asked, self.cancelled = list(told), [], 0
        self.answer = SimpleNamespace(remote=self._whole)
        self.tell = SimpleNamespace(remote=self._stream)

    def cancel(self, told):
        """As Serve's own, of a response that has failed: it raises the failure."""
        self.cancelled += 1
        if isinstance(told, Exception):
            raise told

    def options(self, **_):
        return self

    def _whole(self, asked):
        self.asked.append(asked)
        told = self._told.pop(0)
        return Response(told, partial(self.cancel, told))

    def _stream(self, asked):
        self.asked.append(asked)
        told = self._told.pop(0)
        replicas = self

        class Stream:
            def __aiter__(self):
                return self

            async def __anext__(self):
                if not told:
                    try:
                        await asyncio.Event().wait()
                    except asyncio.CancelledError:  # as Serve's own has it
                        raise RequestCancelledError("an id") from None
                one = told.pop(0)
                if isinstance(one, Exception) and not isinstance(one, RequestError):
                    raise one
                return one

            def cancel(self):
                replicas.cancel(None)

        return Stream()


def dispatch(replicas, deadline=None, answered=lambda: None):
    full = partial(RequestError, 429, "full", retry_after=1)
    return Dispatch(replicas, full, deadline, answered)


def streamed(replicas, deadline=None):
    async def collect():
        return [one async for one in dispatch(replicas, deadline).tell(asked())]

    return run_patiently(collect())


def test_another_replica_is_asked_the_same():
    replicas = Replicas(DIED, DIED, MADE)
    assert asyncio.run(dispatch(replicas).answer(ASKED)) == MADE
    assert replicas.asked == [ASKED] * 3


def test_each_outcome_is_told_of():
    """And no refusal: a replica whose engine hangs refuses, too."""
    told = []
    ask = partial(dispatch, answered=lambda: told.append("answered"))

    async def streamed(replicas):
        return [one async for one in ask(replicas).tell(asked())]

    assert asyncio.run(ask(Replicas(MADE)).answer(ASKED)) == MADE
    assert asyncio.run(streamed(Replicas([[], MADE])))[-1] == MADE
    assert told == ["answered"] * 2
    with pytest.raises(RequestError):
        asyncio.run(ask(Replicas(RequestError(408, "no"))).answer(ASKED))
    assert told == ["answered"] * 2


def test_where_all_die_the_last_death_is_told():
    with pytest.raises(ActorDiedError):
        asyncio.run(dispatch(Replicas(*[DIED] * 50)).answer(ASKED))


def pieces(*texts):
    return [[{"event": "message", "index": 0, "text": text}] for text in texts]


def test_a_message_goes_on_where_it_was():
    begun = [[], *pieces("It", " is"), DIED]
    again = [[], *pieces("I", "t is a", " b."), MADE]
    told = streamed(Replicas(begun, again))
    said = [event["text"] for one in told[:-1] for event in one if event["event"] == "message"]
    assert "".join(said) == "It is a b."
    assert [{"event": "restarted"}] in told
    assert told[-1] == MADE


def test_a_refusal_by_the_next_replica_still_has_a_status():
    with pytest.raises(RequestError, match="no"):
        streamed(Replicas([DIED], [RequestError(404, "no")]))


def test_a_message_that_another_draws_otherwise_is_an_error():
    """And the other draws no more of it."""
    replicas = Replicas([[], *pieces("It"), DIED], [[], *pieces("He"), MADE])
    with pytest.raises(RuntimeError, match="another message"):
        streamed(replicas)
    assert replicas.cancelled == 1


def test_what_a_replica_refuses_is_raised():
    refusal = RequestError(409, "no", "scaling.threshold", "not_calibrated")
    for run in (lambda one: asyncio.run(dispatch(Replicas(one)).answer(ASKED)),
                lambda one: streamed(Replicas([one]))):  # fmt: skip
        with pytest.raises(RequestError) as told:
            run(refusal)
        assert told.value == refusal


def test_a_full_queue_and_a_deadline_without_a_replica():
    for told, deadline, status in ((BackPressureError(1, 1), None, 429), (None, -1.9, 408)):
        whole, stream = Replicas(told), Replicas([told] if told else [])
        with pytest.raises(RequestError) as refusal:
            run_patiently(dispatch(whole, deadline).answer(asked()))
        assert refusal.value.status == status
        assert whole.cancelled == (status == 408)
        with pytest.raises(RequestError) as refusal:
            streamed(stream, deadline)
        assert refusal.value.status == status
        assert stream.cancelled == (status == 408)


def test_an_outcome_that_is_there_is_told_however_late_the_ingress_comes():
    assert asyncio.run(dispatch(Replicas(MADE), -60.0).answer(asked())) == MADE
    assert streamed(Replicas([[], MADE]), -60.0)[-1] == MADE


def test_who_goes_away_cancels_what_is_under_way():
    wrong = []

    async def leave(replicas, whole):
        asyncio.get_running_loop().set_exception_handler(lambda _, told: wrong.append(told))
        if whole:
            task = asyncio.ensure_future(dispatch(replicas).answer(ASKED))
        else:
            stream = dispatch(replicas).tell(ASKED)
            await anext(stream)
            task = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if not whole:
            await stream.aclose()

    for replicas, whole in ((Replicas(None), True), (Replicas([[]]), False)):
        asyncio.run(leave(replicas, whole))
        assert replicas.cancelled >= 1
    gc.collect()
    assert not wrong, "what it fails with then is in no log"
    closed = Replicas([[], [], []])

    async def close():
        stream = dispatch(closed).tell(ASKED)
        await anext(stream)
        await stream.aclose()

    asyncio.run(close())
    assert closed.cancelled == 1
