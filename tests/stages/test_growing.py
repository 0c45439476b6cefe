"""Training on hosts that come and die, as many workers as there is room for."""

import json

import pytest
from hosts import hosts
from labeling import command
from object_store import plain_environment
from processes import ROOT, amid, started

pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.timeout(1500)]
STEPS = 30


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """After which step a number of workers wait."""
    directory = tmp_path_factory.mktemp("held")
    for workers, step in ((1, 10), (2, 20)):
        (directory / str(workers)).write_text(str(step))
    return directory


@pytest.fixture(scope="module")
def cluster(held):
    # A group of workers that waits for a host that just died gives up, and a smaller one starts.
    soon = {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "20"}
    with hosts(plain_environment() | soon | {"HELD": str(held)}) as made:
        made.add("one", cpus=4)
        yield made


def checkpoints(root):
    """Steps of the checkpoints that Ray would go on from, oldest first."""
    for snapshot in root.glob("train-*/_checkpoints/checkpoint_manager_snapshot.json"):
        named = sorted(
            file for file in snapshot.parent.glob("checkpoint_*/losses.json")
            if file.parent.name in snapshot.read_text()
        )  # fmt: skip
        return [json.loads(file.read_text()) for file in named]
    return []


def test_training_grows_to_a_host_that_comes_and_goes_on_without_it(cluster, held, tiny, tmp_path):
    """A host has room for one worker; every step is taken once, of the same schedule."""
    interpreter, _, *arguments = command(tmp_path)
    run = started(
        [
            interpreter, str(ROOT / "tests/helpers/growing.py"), *arguments, "--until", "train",
            "--set", f"model.source={tiny}", "--set", "data.train=[{name: capitals, limit: 48}]",
            "--set", "examples={total: 80, bin_width: 0.25, generation_ratio: 0.2}",
            "--set", "train={workers: 1, max_workers: 2, cpus: 3, dtype: float32, batch_size: 8, "
            "epochs: 3, micro_tokens: 1, checkpoint_every: 5}",
        ],
        cluster.environment,
    )  # fmt: skip
    with run as training:
        amid(training, lambda: checkpoints(tmp_path))
        cluster.add("two", cpus=4)
        amid(training, lambda: [1 for c in checkpoints(tmp_path) if c[-1]["workers"] == 2])
        (held / "1").unlink()
        cluster.kill("two")
        printed, _ = training.communicate(timeout=300)
    assert training.returncode == 0, printed
    (file,) = tmp_path.glob("train-*/losses.jsonl")
    steps = [json.loads(line) for line in file.read_text().splitlines()]
    assert [one["step"] for one in steps] == [1 + i for i in range(STEPS)]
    workers = [one["workers"] for one in steps]
    grown, shrunk = workers.index(2), STEPS - workers[::-1].index(2)
    assert workers == [1] * grown + [2] * (shrunk - grown) + [1] * (STEPS - shrunk)
    assert 0 < grown < shrunk < STEPS
    assert {one["rows"] for one in steps} == {8}
    assert [one["lr"] for one in steps] == sorted((one["lr"] for one in steps), reverse=True)
