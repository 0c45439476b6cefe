"""Whether engines answer: asked seldom, and not at all while they are known to."""

import asyncio
from types import SimpleNamespace

import pytest
from clock import run_patiently
from ray.serve.exceptions import BackPressureError
from responses import Response

from pipelines.serving.errors import RequestError
from pipelines.serving.readiness import Readiness


class Engines:
    """A handle, each of whose tokens comes as `told` says; None: never."""

    def __init__(self, *told):
        self._told, self.asked, self.cancelled = list(told), 0, 0
        self.ready = SimpleNamespace(remote=self._remote)

    def _remote(self):
        self.asked += 1
        return Response(self._told.pop(0), self._cancel)

    def _cancel(self):
        self.cancelled += 1


async def refusals(readiness, probes):
    """What so many probes at once are told; None where they are not refused."""

    async def probe():
        try:
            await readiness.check()
        except RequestError as error:
            return error.status, error.message

    return set(await asyncio.gather(*(probe() for _ in range(probes))))


@pytest.mark.parametrize("told", ["a token", BackPressureError(1, 1)])
def test_of_many_probes_one_asks(told):
    engines = Engines(told)
    assert run_patiently(refusals(Readiness(engines), 5)) == {None}
    assert engines.asked == 1


@pytest.mark.parametrize(("told", "kind"), [(KeyError("x"), "KeyError"), (None, "TimeoutError")])
def test_that_none_answers_is_known_to_all(told, kind):
    engines = Engines(told)
    said = run_patiently(refusals(Readiness(engines), 5))
    assert said == {(503, f"no engine answers ({kind})")}
    assert (engines.asked, engines.cancelled) == (1, told is None)


def test_a_request_that_is_answered_says_as_much():
    """Before a probe, and while one waits behind others."""
    engines = Engines(None)

    async def run():
        readiness = Readiness(engines)
        waiting = asyncio.create_task(refusals(readiness, 2))
        await asyncio.sleep(1)
        readiness.answered()
        assert await waiting == await refusals(readiness, 2) == {None}

    run_patiently(run())
    assert engines.asked == 1
