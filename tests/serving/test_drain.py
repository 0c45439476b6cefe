"""jobs.serve is told to end while it answers."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
import tiny_service
import yaml
from ports import free_port
from processes import printed_until, start
from waiting import once

pytestmark = pytest.mark.process

# Of the tiny model it takes many seconds.
LONG = {
    "messages": [{"role": "user", "content": "What is 7 + 5?"}],
    "seed": 0,
    "max_tokens": 150,
    "scaling": {"policy": "best_of_n", "budget": 24, "schedule": "sequential", "kind": "text"},
}


@pytest.fixture(scope="module")
def command(tiny, tmp_path_factory):
    directory = tmp_path_factory.mktemp("drain")
    made = tiny_service.settings(tiny, free_port(), {"max_num_seqs": 32})
    (directory / "config.yaml").write_text(yaml.safe_dump(made))
    file = str(directory / "config.yaml")
    return [sys.executable, "-m", "jobs.serve", "--config", file, "--base", "--port"]


@pytest.fixture(scope="module")
def served(command):
    """Two of them, with their ports: they start side by side."""
    ports = [free_port() for _ in range(2)]
    started = [start([*command, str(port)]) for port in ports]
    try:
        for one in started:
            printed_until("Answering at", one)
        yield list(zip(started, ports, strict=True))
    finally:
        for one in started:
            one.kill()
            one.wait()


def ask(port, **fields):
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    return requests.post(url, json=LONG | fields, timeout=300)


def under_way(port, **fields):
    """A stream that has begun."""
    got = requests.post(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json=LONG | {"stream": True} | fields, timeout=300, stream=True,
    )  # fmt: skip
    lines = got.iter_lines()
    next(line for line in lines if b'"finished"' in line)
    return lines


def test_a_port_where_another_answers_is_refused(served, command):
    """Serve itself would share its requests."""
    (_, port), _ = served
    done = subprocess.run([*command, str(port)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr
    *_, last = done.stderr.splitlines()
    assert last.startswith(f"error: serve.port: at 127.0.0.1:{port} nothing more can answer (")


def test_who_is_told_to_end_finishes_what_it_has(served):
    process, port = served[0]
    with ThreadPoolExecutor() as pool:
        whole = pool.submit(ask, port)
        stream = under_way(port)
        process.send_signal(signal.SIGTERM)
        printed_until("Finishing what is under way", process)
        short = {"max_tokens": 1, "scaling": LONG["scaling"] | {"budget": 1}}
        (refused,) = once(lambda: [one for one in [ask(port, **short)] if one.status_code == 503])
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["code"] == "draining"
        ready = requests.get(f"http://127.0.0.1:{port}/ready", timeout=60)
        assert (ready.status_code, int(ready.headers["retry-after"]) >= 1) == (503, True)
        assert requests.get(f"http://127.0.0.1:{port}/health", timeout=60).status_code == 200
        *_, done = [line for line in stream if line]
        assert done == b"data: [DONE]"
        assert whole.result().status_code == 200
        assert whole.result().json()["scaling"]["samples"]["used"] == 24
    rest, _ = process.communicate(timeout=300)
    assert process.returncode == 0, rest
    assert "Traceback" not in rest


def test_a_second_interrupt_ends_it_at_once(served):
    process, port = served[1]
    under_way(port, scaling=LONG["scaling"] | {"budget": 64})
    process.send_signal(signal.SIGINT)
    printed_until("Finishing what is under way", process)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=300)
    assert process.returncode == 130, rest
    assert "Traceback" not in rest
