"""Which requests come in, and what is told to those that may not."""

import asyncio
from contextlib import ExitStack

import pytest

from pipelines.config.serving import ServeConfig
from pipelines.serving.errors import RequestError
from pipelines.serving.gate import Gate


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def entered(gate, inside, owner="a"):
    """None where a request may come in; it is answered, and leaves with `inside`."""
    try:
        inside.enter_context(gate.entered(owner)).answered = True
    except RequestError as error:
        return error
    return None


def refused(gate, owner="a"):
    """The same of one that leaves at once."""
    with ExitStack() as inside:
        return entered(gate, inside, owner)


def test_a_key_has_so_many_at_once_and_another_its_own():
    gate = Gate(ServeConfig(max_concurrent=2), 1)
    with ExitStack() as inside:
        for _ in range(2):
            inside.enter_context(gate.entered("a"))
        told = refused(gate)
        assert (told.status, told.code) == (429, "concurrency")
        assert told.retry_after >= 1
        assert refused(gate, "b") is None
    assert refused(gate) is None


def test_one_that_failed_leaves_too():
    gate = Gate(ServeConfig(max_concurrent=1), 1)
    with pytest.raises(KeyError), gate.entered("a"):
        raise KeyError
    assert refused(gate) is None


def batch(gate, clock, each):
    """As many as come in, at once, each of so many seconds; how many these were."""
    came_in = 0
    with ExitStack() as inside:
        while (told := entered(gate, inside)) is None:
            came_in += 1
        assert (told.status, told.code) == (429, "overloaded")
        assert told.retry_after >= 1
        clock.now += each
    return came_in


def test_as_many_come_in_as_end_in_time():
    clock = Clock()
    gate = Gate(ServeConfig(deadline=10.0), 4, clock)
    assert batch(gate, clock, 1.0) == 4
    grown = [batch(gate, clock, 1.0) for _ in range(5)]
    assert grown == sorted(grown)
    assert 5 <= grown[0] <= grown[-1] <= 4 + 5 + 1  # one more for each lot
    assert gate.queue_full().retry_after == 1
    late = [batch(gate, clock, 10.0) for _ in range(2)]
    assert late[1] <= 0.7 * late[0] + 1  # once, though all of the lot were late
    for _ in range(20):
        batch(gate, clock, 10.0)
    assert batch(gate, clock, 10.0) == 4  # for which nothing waits
    assert gate.queue_full().retry_after == 10


def test_a_service_that_slept_is_not_taken_for_a_slow_one():
    clock = Clock()
    gate = Gate(ServeConfig(deadline=10.0), 4, clock)
    for _ in range(70):
        clock.now += 3600
        assert refused(gate) is None
    assert batch(gate, clock, 1.0) >= 4


def test_what_is_refused_or_left_opens_no_gate():
    clock = Clock()
    gate = Gate(ServeConfig(deadline=10.0), 2, clock)
    for _ in range(50):
        with gate.entered("a"), gate.entered("a"):
            pass
    assert batch(gate, clock, 1.0) == 2


def test_what_a_client_left_late_closes_none():
    clock = Clock()
    gate = Gate(ServeConfig(deadline=10.0), 2, clock)
    for _ in range(20):
        batch(gate, clock, 1.0)
    came_in = batch(gate, clock, 1.0)
    with gate.entered("a"):
        clock.now += 11.0
    with gate.entered("a") as visit:
        clock.now += 11.0
        visit.read()  # its body took so long
        visit.answered = True
    assert batch(gate, clock, 1.0) >= came_in > 2


def test_without_a_deadline_all_come_in():
    clock = Clock()
    gate = Gate(ServeConfig(), 1, clock)
    with ExitStack() as inside:
        for _ in range(500):
            assert entered(gate, inside) is None
        clock.now += 1000
    assert gate.queue_full().retry_after == 60  # a client that is told hours never comes back


def test_a_service_that_drains_ends_when_the_last_one_has():
    async def run():
        gate = Gate(ServeConfig(), 1)
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
