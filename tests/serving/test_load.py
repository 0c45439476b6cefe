"""Many clients at once, replicas that are killed, and clients that leave, on real engines."""

import asyncio
import collections
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psutil
import pytest
import schemathesis
import stated
import tiny_service
from asking import ask, ask_all, client, most_at_once, percentile, request
from hypothesis import HealthCheck, given, seed, settings
from ports import free_port
from processes import command_line, descendants, kill
from ray import cloudpickle
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks
from waiting import once

from pipelines.config import Config

pytestmark = [pytest.mark.process, pytest.mark.long]

KEY = "a-key-of-many-clients"
AT_ONCE = 32  # requests of the key
QUESTIONS = range(30)


def config(model, port, serve, **engine):
    evaluate = {"num_samples": 4, "sampling": {"max_tokens": 6}}
    serve = {"scaling": {"kind": "text"}, **serve}
    return Config.model_validate(
        tiny_service.settings(model, port, engine, serve, evaluate=evaluate)
    )


class Service:
    """One application, deployed again and again."""

    def __init__(self, model):
        self._model, self._port = model, free_port()
        self.url = f"http://127.0.0.1:{self._port}/load"

    def deploy(self, serve, **engine):
        from pipelines.serving import keys
        from pipelines.serving.served import base_model
        from pipelines.serving.service import deploy

        made = config(self._model, self._port, serve, **engine)
        digests = keys.read(made.serve)
        _, self.engines = deploy(made, base_model(made), "load", "/load", digests)

    def client(self, **more):
        return client(self.url, KEY, **more)

    def ask(self, bodies, at_once):
        async def run():
            async with self.client() as made:
                return await ask_all(made, bodies, at_once)

        return asyncio.run(run())

    def idle(self, replicas):
        """Tokens that so many engines have drawn; none while something runs, waits or is held."""
        # Which replica tells, Serve chooses.
        asked = (self.engines.stated.remote().result() for _ in range(4 * replicas))
        told = {process: (any(states), tokens) for process, states, tokens in asked}
        if len(told) < replicas or any(busy for busy, _ in told.values()):
            return 0
        return sum(tokens for _, tokens in told.values())


@pytest.fixture(scope="module")
def replicas(tiny, ray_cluster):
    from ray import serve

    from pipelines.serving import service

    cloudpickle.register_pickle_by_value(stated)  # Ray's workers do not find the tests' helpers
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SELFCAL_API_KEYS", KEY)
        answerer = service.Answerer.options(func_or_class=stated.Stated)
        patched.setattr(service, "Answerer", answerer)
        made = Service(tiny)
        serve.start(http_options={"port": free_port()})  # with nothing on it, as a run leaves it
        made.deploy({"max_concurrent": AT_ONCE}, count=2)
        yield made
    serve.shutdown()


@pytest.fixture(scope="module")
def undisturbed(replicas):
    """What the questions are answered, by number."""
    told = replicas.ask([request(number) for number in QUESTIONS], 8)
    assert {one.status for one in told} == {200}
    return [one.said for one in told]


def answerers():
    return descendants("ServeReplica:load:Answerer")


def engines():
    return [
        one
        for replica in answerers()
        for one in replica.children(recursive=True)
        if "EngineCore" in command_line(one)
    ]


def running():
    from ray import serve

    answerer = serve.status().applications["load"].deployments["Answerer"]
    return answerer.replica_states.get("RUNNING", 0)


def both_run():
    return len(answerers()) == running() == 2


def test_none_fails_where_replicas_are_killed(replicas, undisturbed):
    """A replica's process, and the engine of one of the two that run then; each while many ask."""

    async def storm():
        told, many, over = [], asyncio.Event(), False

        async def ask_on(made, always):
            while not over:
                if not always:
                    await many.wait()
                number = random.choice(QUESTIONS)
                told.append((number, await ask(made, request(number))))

        async def answered(number):
            while len(told) < number:
                await asyncio.sleep(0.01)

        async with replicas.client() as made, asyncio.TaskGroup() as clients:
            for number in range(AT_ONCE):
                # Few ask while a replica starts: many would leave it no core.
                clients.create_task(ask_on(made, always=number < 4))
            for victims in (answerers, engines):
                await asyncio.to_thread(once, both_run, every=0.5)
                many.set()
                await answered(len(told) + 100)
                kill(random.choice(victims()))
                await answered(len(told) + 400)
                many.clear()
            over = True
            many.set()
        return told

    began = time.monotonic()
    told = asyncio.run(storm())
    print(f"{len(told)} in {time.monotonic() - began:.1f} s")
    assert collections.Counter(one.status for _, one in told) == {200: len(told)}
    assert len(told) >= 1000
    assert [one.said for _, one in told] == [undisturbed[number] for number, _ in told]
    once(both_run, every=0.5)
    after = replicas.ask([request(number % len(QUESTIONS)) for number in range(64)], AT_ONCE)
    assert {one.status for one in after} == {200}
    runs = {"amid": [one for _, one in told], "after": after}
    for name, some in runs.items():
        print(f"{name}: p50 {percentile(some, 0.5):.2f} s, p99 {percentile(some, 0.99):.2f} s")
    # What waits for a replica that is gone takes minutes; a busy machine, these seconds.
    assert percentile(after, 0.99) < max(10, 2 * percentile(runs["amid"], 0.99))


SETTLED = 60  # seconds in which nothing is left in the engines, on a busy machine
LONG = {"scaling": {"policy": "best_of_n", "budget": 32, "schedule": "all"}, "max_tokens": 150}


async def close_amid(made, body):
    async with made.stream("POST", "/v1/chat/completions", json=body | {"stream": True}) as got:
        assert got.status_code == 200
        async for line in got.aiter_lines():
            if '"event": "text"' in line:
                return


async def impatient(made, body):
    with suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            await made.post("/v1/chat/completions", json=body)


async def drop(made, body):
    """The connection, when the request is sent."""
    url = made.base_url
    sent = made.build_request("POST", "/v1/chat/completions", json=body)
    lines = [f"POST {sent.url.path} HTTP/1.1", *(f"{k}: {v}" for k, v in sent.headers.items())]
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write("\r\n".join([*lines, "", ""]).encode() + sent.read())
    await writer.drain()
    await asyncio.sleep(random.random() / 10)
    writer.transport.abort()


def test_what_clients_leave_behind_ends(replicas):
    """In the engines, and of what a key has under way: it may send as many as before."""

    async def storm():
        leaving = (
            lambda made, body: close_amid(made, body),
            lambda made, body: impatient(made, body),
            lambda made, body: drop(made, body),
            lambda made, body: drop(made, body | {"stream": True}),
        )
        async with replicas.client() as made:
            for leave in leaving:
                before = await asyncio.to_thread(once, lambda: replicas.idle(2), SETTLED)
                for _ in range(2):
                    lot = (leave(made, request(number, **LONG)) for number in range(20))
                    await asyncio.gather(*lot)
                drawn = await asyncio.to_thread(once, lambda: replicas.idle(2), SETTLED) - before
                assert drawn < 2 * 20 * 32 * 150 / 2, "of all that was asked for"

    asyncio.run(storm())

    def all_come_in():  # of those that left, some may just have come
        told = replicas.ask([request(number) for number in range(AT_ONCE)], AT_ONCE)
        return {one.status for one in told} == {200}

    once(all_come_in, SETTLED)


DEADLINE = 60.0


@pytest.fixture(scope="module")
def redeployed(replicas, undisturbed):
    """The application with limits and one replica: what was under way meanwhile, and asked."""
    limits = {
        "deadline": DEADLINE, "max_queue": 16, "max_concurrent": 64, "max_budget": 4,
        "max_output_tokens": 40, "scaling": {"kind": "text", "budget": 4},
    }  # fmt: skip
    long = {"scaling": {"policy": "best_of_n", "budget": 8}, "max_tokens": 150}
    over = False

    def meanwhile():
        told = []
        while not over:
            told += replicas.ask([request(len(told) % len(QUESTIONS))], 1)
        return told

    def until_refused(body):
        """One after the other, so that some is always under way: the new one has smaller limits."""
        told = []
        once(lambda: told.extend(replicas.ask([body], 1)) or told[-1].status != 200, seconds=300)
        return told

    with ThreadPoolExecutor() as pool:
        bodies = [request(0, **long), request(0, **long, stream=True)]
        under_way = [pool.submit(until_refused, body) for body in bodies]
        asked = pool.submit(meanwhile)
        once(lambda: not replicas.idle(2))
        began = time.monotonic()
        try:
            replicas.deploy(limits, max_num_seqs=16)
        finally:
            over = True
        print(f"deployed in {time.monotonic() - began:.1f} s")
        return [one.result() for one in under_way], asked.result()


def test_a_replica_that_leaves_finishes_what_it_has(redeployed, undisturbed):
    under_way, meanwhile = redeployed
    finished = [one for *answered, _ in under_way for one in answered]
    assert len({one.said for one in finished}) == 1
    assert finished[0].said[2:] == (8, "budget")
    assert [told[-1].status for told in under_way] == [400, 400]  # nothing else came between
    print("meanwhile:", collections.Counter(one.status for one in meanwhile))
    for number, one in enumerate(meanwhile):
        # The new one has a deadline, and its engine starts.
        late = one.status == 408 or '"code": "deadline"' in one.said
        assert late or one.said == undisturbed[number % len(QUESTIONS)]


def test_the_number_of_replicas_changes_no_answer(replicas, redeployed, undisturbed):
    assert running() == 1
    told = replicas.ask([request(number) for number in QUESTIONS], 4)
    assert [one.said for one in told] == undisturbed


def test_what_is_over_a_limit_is_refused_by_its_name(replicas, redeployed):
    most = {"max_tokens": 40, "scaling": {"policy": "best_of_n", "budget": 4}}
    over = ({"max_tokens": 41}, {"max_completion_tokens": 41}, {"scaling": {"budget": 5}})
    asked = [request(0, **most | more) for more in ({}, *over)]
    taken, *refused = replicas.ask(asked, len(asked))
    assert taken.status == 200
    assert [(one.status, one.said) for one in refused] == [
        (400, "max_tokens: a sample has 40 tokens at most here (serve.max_output_tokens)"),
        (400, "max_completion_tokens: a sample has 40 tokens at most here "
              "(serve.max_output_tokens)"),
        (400, "scaling.budget: 5 is over this server's limit, 4"),
    ]  # fmt: skip


def test_more_than_it_can_do(replicas, redeployed):
    """Requests come at their own pace, whatever becomes of those before: ten times as many as are
    under way at once, and until many are refused."""
    body = {"scaling": {"policy": "best_of_n", "budget": 4}, "max_tokens": 40}
    (ingress,) = descendants("ServeReplica:load:Ingress")
    memory = psutil.Process(ingress.pid).memory_info().rss
    refused = []

    async def storm():
        async with replicas.client() as made:

            async def one(number):
                told = await ask(made, request(3 * number, **body))
                if told.status == 429:
                    refused.append(told)
                return told

            asked = []
            while len(refused) < 300:
                asked.append(asyncio.create_task(one(len(asked))))
                assert len(asked) < 10_000
                await asyncio.sleep(0.005)
            return await asyncio.gather(*asked)

    began = time.monotonic()
    told = asyncio.run(storm())
    again = replicas.ask([request(0)], 1)
    by_status = collections.Counter((one.status, isinstance(one.said, tuple)) for one in told)
    print(f"in {time.monotonic() - began:.1f} s {by_status}")
    accepted = [one for one in told if one.status != 429]
    most = most_at_once(accepted)
    print(f"accepted: {most} at once; p50 {percentile(accepted, 0.5):.2f} s, most "
          f"{percentile(accepted, 1):.2f} s")  # fmt: skip
    grown = (psutil.Process(ingress.pid).memory_info().rss - memory) / 2**20
    print(f"the ingress grew by {grown:.0f} MiB; again in {again[0].seconds:.2f} s")
    assert set(by_status) <= {(200, True), (408, True), (408, False), (429, False)}
    assert len(told) >= 10 * most
    assert by_status[200, True] >= 0.8 * len(accepted)
    assert percentile(accepted, 1) < DEADLINE + 30, "late by more than a busy machine is"
    (why,) = {one.said for one in refused}
    assert why.endswith("(serve.deadline)"), "none for its key's limit, or the queue's"
    assert min(int(one.headers["retry-after"]) for one in refused) >= 1
    assert grown < 64
    assert again[0].status == 200
    once(lambda: replicas.idle(1), SETTLED)


ANSWERED = {
    "/v1/chat/completions": request(0),
    "/v1/completions": {"prompt": "Once upon a time", "scaling": {"policy": "best_of_n"}},
}


def test_the_schema_is_true_of_whatever_is_sent(replicas, redeployed):
    """Requests as the schema has them, few of which ask for what there is, and some that do."""
    schema, seen = schemathesis.openapi.from_url(f"{replicas.url}/openapi.json"), set()

    def is_true(case):
        got = case.call_and_validate(
            headers={"authorization": f"Bearer {KEY}"},
            checks=[
                not_a_server_error, checks.status_code_conformance,
                checks.content_type_conformance, checks.response_schema_conformance,
                checks.response_headers_conformance,
            ],
        )  # fmt: skip
        seen.add((case.path, got.status_code))

    for found in schema.get_all_operations():
        operation = found.ok()
        if (body := ANSWERED.get(operation.path)) is not None:
            for more in ({}, {"stream": True}):
                is_true(operation.Case(body=body | more, media_type="application/json"))
        given_cases = given(operation.as_strategy())(is_true)
        quiet = settings(max_examples=20, database=None, suppress_health_check=list(HealthCheck))
        seed(0)(quiet(given_cases))()
    paths = (*ANSWERED, "/v1/models", "/health", "/ready", "/metrics")
    assert seen >= {(path, 200) for path in paths} | {(path, 400) for path in ANSWERED}
