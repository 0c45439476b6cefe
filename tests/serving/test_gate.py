"""Which requests come in, and what is told to those that may not."""

import asyncio
from contextlib import ExitStack, suppress

import pytest

from pipelines.config.serving import ServeConfig
from pipelines.serving.errors import RequestError
from pipelines.serving.gate import Gate


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def refused(gate, owner="a"):
    """None where a request may come in; it leaves at once."""
    try:
        with gate.entered(owner):
            return None
    except RequestError as error:
        return error


def test_a_key_has_so_many_at_once_and_another_its_own():
    gate = Gate(ServeConfig(max_concurrent=2))
    with ExitStack() as inside:
        for _ in range(2):
            inside.enter_context(gate.entered("a"))
        told = refused(gate)
        assert (told.status, told.code) == (429, "concurrency")
        assert told.retry_after >= 1
        assert refused(gate, "b") is None
    assert refused(gate) is None


def test_one_that_failed_leaves_too():
    gate = Gate(ServeConfig(max_concurrent=1))
    with pytest.raises(KeyError), gate.entered("a"):
        raise KeyError
    assert refused(gate) is None


def ended(gate, clock, each, count):
    """So many requests, one after the other, that take so many seconds."""
    for _ in range(count):
        with gate.entered("a"):
            clock.now += each


def test_who_would_wait_past_its_deadline_does_not_come_in():
    clock = Clock()
    gate = Gate(ServeConfig(deadline=10.0), clock)
    ended(gate, clock, 1.0, 20)
    with ExitStack() as inside:
        for _ in range(5):  # one a second ends
            inside.enter_context(gate.entered("a"))
        for _ in range(2):
            with suppress(RequestError):
                inside.enter_context(gate.entered("a"))
        told = refused(gate)
        assert (told.status, told.code) == (429, "overloaded")
        assert told.retry_after in (6, 7)
    assert refused(gate) is None


def test_without_a_deadline_nothing_is_estimated():
    clock = Clock()
    gate = Gate(ServeConfig(), clock)
    ended(gate, clock, 1000.0, 5)
    with ExitStack() as inside:
        for _ in range(500):
            inside.enter_context(gate.entered("a"))
        assert gate.full().retry_after == 60  # a client that is told hours never comes back


def test_a_service_that_drains_ends_when_the_last_one_has():
    async def run():
        gate = Gate(ServeConfig())
        with gate.entered("a"):
            draining = asyncio.create_task(gate.drain())
            await asyncio.sleep(0)
            assert not draining.done()
            told = refused(gate)
            assert (told.status, told.code) == (503, "draining")
            assert told.retry_after >= 1
        await draining
        assert refused(gate).status == 503

    asyncio.run(run())
