"""jobs.serve at its limits, what it says of its model, and told to end while it answers."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import openai
import pytest
import requests
import tiny_service
import yaml
from ports import free_port
from processes import printed_until, started
from waiting import once

from pipelines.serving import keys

pytestmark = pytest.mark.process

KEYS = ("a-key", "another-key")
HEADERS = {"authorization": f"Bearer {KEYS[0]}"}
# Of one, requests beyond eight wait; of the other, what takes longer ends with what it has.
LIMITS = (
    ["engine.max_num_seqs=2", "serve.max_queue=1", "serve.max_concurrent=9"],
    ["serve.deadline=20"],
)

# Of the tiny model it takes many seconds.
LONG = {
    "messages": [{"role": "user", "content": "What is 7 + 5?"}],
    "seed": 0,
    "max_tokens": 150,
    "scaling": {"policy": "best_of_n", "budget": 24, "schedule": "sequential", "kind": "text"},
}
ENDLESS = {"scaling": LONG["scaling"] | {"budget": 10_000}}
SHORT = {"max_tokens": 1, "scaling": LONG["scaling"] | {"budget": 1}}


@pytest.fixture(scope="module")
def command(tiny, tmp_path_factory):
    directory = tmp_path_factory.mktemp("drain")
    serve = {"max_budget": 10_000}
    made = tiny_service.settings(tiny, free_port(), {"max_num_seqs": 32}, serve)
    # The tiny model replies Yes or No to the paper's question alone.
    made |= {"confidence": {"question": "Name a colour."}}
    (directory / "config.yaml").write_text(yaml.safe_dump(made))
    file = str(directory / "config.yaml")
    return [sys.executable, "-m", "jobs.serve", "--config", file, "--base", "--port"]


@pytest.fixture(scope="module")
def served(command):
    """Two of them, with their ports: they start side by side."""
    ports = [free_port() for _ in range(2)]
    environment = {**os.environ, keys.VARIABLE: " ".join(KEYS)}
    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                started([*command, str(port), *(f"--set={one}" for one in limits)], environment)
            )
            for port, limits in zip(ports, LIMITS, strict=True)
        ]
        for one in servers:
            printed_until("Answering at", one)
        yield list(zip(servers, ports, strict=True))


def ask(port, **fields):
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    return requests.post(url, json=LONG | fields, headers=HEADERS, timeout=300)


def let_in(post):
    """Its response. Of two that come at once, before Serve has given one to an engine, one may be
    too many that wait: it comes again."""
    (got,) = once(lambda: [one for one in [post()] if one.status_code != 429])
    return got


def under_way(port, **fields):
    """A stream that has begun."""
    got = let_in(
        lambda: requests.post(
            f"http://127.0.0.1:{port}/v1/chat/completions",
            json=LONG | {"stream": True} | fields, headers=HEADERS, timeout=300, stream=True,
        )
    )  # fmt: skip
    lines, before = got.iter_lines(), []
    for line in lines:
        if b'"finished"' in line:
            return lines
        before.append(line)
    raise AssertionError(f"{got.status_code}, and it ended before a sample had: {before}")


@pytest.fixture(scope="module")
def late(served):
    """What does not end before the deadline, whole and as a stream: asked while the others are."""
    _, (_, port) = served
    with ThreadPoolExecutor() as pool:
        whole = pool.submit(ask, port, **ENDLESS)
        yield whole, pool.submit(lambda: list(under_way(port, **ENDLESS)))


@pytest.mark.usefixtures("late")
def test_a_port_where_another_answers_is_refused(served, command):
    """Serve itself would share its requests."""
    (_, port), _ = served
    done = subprocess.run([*command, str(port)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr
    *_, last = done.stderr.splitlines()
    assert last.startswith(f"error: serve.port: at 127.0.0.1:{port} nothing more can answer (")


def test_who_is_refused_for_now_comes_again(served):
    """OpenAI's client does, after as long as it is told. Eight requests are under way; of three
    more one waits, one is too many of its key, and one too many that wait."""
    (_, port), _ = served
    refused = {}
    both = asyncio.Event()

    async def hear(response):
        if response.status_code == 429:
            refused[json.loads(await response.aread())["error"]["message"]] = response
            if len(refused) == 2:
                both.set()

    async def storm():
        async with httpx.AsyncClient(event_hooks={"response": [hear]}, timeout=300) as http:
            one, another = (
                openai.AsyncOpenAI(
                    base_url=f"http://127.0.0.1:{port}/v1", api_key=key, max_retries=30,
                    http_client=http,
                ).chat.completions
                for key in KEYS
            )  # fmt: skip

            async def ask(chats, **fields):
                fields = LONG | {"model": "base"} | fields
                scaling = {"scaling": fields.pop("scaling")}
                return await chats.create(**fields, extra_body=scaling)

            begun = [await ask(one, **ENDLESS, stream=True) for _ in range(8)]
            asked = [asyncio.create_task(ask(chats, **SHORT)) for chats in (one, one, another)]
            await asyncio.wait_for(both.wait(), 300)
            for stream in begun:
                await stream.close()
            return await asyncio.gather(*asked)

    done = asyncio.run(storm())
    assert [made.scaling["samples"]["used"] for made in done] == [1, 1, 1]
    assert sorted(refused) == [
        "1 requests wait already (serve.max_queue)",
        "9 requests of this key are under way (serve.max_concurrent); wait for one",
    ]
    assert all(int(response.headers["retry-after"]) >= 1 for response in refused.values())


def test_replies_that_are_neither_yes_nor_no_are_told(served):
    process, port = served[0]
    for seed in range(3):
        scaling = LONG["scaling"] | {"budget": 32, "schedule": "all"}
        answered = ask(port, seed=seed, max_tokens=9, scaling=scaling).json()  # it goes on
        assert answered["scaling"]["samples"]["used"] == 32
    told = printed_until("P(True) is noise", process)
    assert told.count("confidence: the reply to the confidence turn") == 1


def test_who_is_told_to_end_finishes_what_it_has(served):
    process, port = served[0]
    with ThreadPoolExecutor() as pool:
        whole = pool.submit(let_in, lambda: ask(port))
        stream = under_way(port)
        process.send_signal(signal.SIGTERM)
        printed = printed_until("Finishing what is under way", process)
        (refused,) = once(lambda: [one for one in [ask(port, **SHORT)] if one.status_code == 503])
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["code"] == "draining"
        ready = requests.get(f"http://127.0.0.1:{port}/ready", timeout=300)
        assert (ready.status_code, int(ready.headers["retry-after"]) >= 1) == (503, True)
        assert requests.get(f"http://127.0.0.1:{port}/health", timeout=300).status_code == 200
        *_, done = [line for line in stream if line]
        assert done == b"data: [DONE]"
        assert whole.result().status_code == 200
        assert whole.result().json()["scaling"]["samples"]["used"] == 24
    rest, _ = process.communicate(timeout=300)
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    assert "confidence:" not in printed + rest  # once is enough


def test_at_its_deadline_a_request_has_the_answer_so_far(late):
    whole, stream = (one.result() for one in late)
    assert whole.status_code == 408
    made = whole.json()
    assert made["error"]["code"] == "deadline"
    *_, last, done = [line.removeprefix(b"data: ") for line in stream if line]
    assert done == b"[DONE]"
    assert made["choices"][0]["message"]["content"]
    assert json.loads(last)["choices"][0]["finish_reason"]
    for scaling in (made["scaling"], json.loads(last)["scaling"]):
        assert scaling["stop_reason"] == "deadline"
        assert 0 < scaling["samples"]["used"] < 10_000


def test_a_second_interrupt_ends_it_at_once(served):
    process, port = served[1]
    under_way(port, scaling=LONG["scaling"] | {"budget": 64})
    process.send_signal(signal.SIGINT)
    printed_until("Finishing what is under way", process)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=300)
    assert process.returncode == 130, rest
    assert "Traceback" not in rest
