"""The train stage on real Ray Train and DeepSpeed, against plain torch; workers; resume."""

import json
import os
import signal
import threading

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transformers import get_cosine_schedule_with_warmup
from waiting import once

from pipelines import train
from pipelines.config import Config
from pipelines.prompts import Prompts
from pipelines.schemas import EXAMPLES, EXAMPLES_FILE
from pipelines.storage import Location

ROWS = 22


def config(model, **changes):
    settings = {
        "learning_rate": 0.01, "batch_size": 8, "epochs": 2, "dtype": "float32",
        "micro_tokens": 200, "max_length": 100, "lora": {"dropout": 0.0, "r": 4},
        "cpus": 0.5, "checkpoint_every": 2,
    }  # fmt: skip
    return Config.model_validate(
        {
            "root": "r",
            "model": {"source": str(model)},
            "data": {"train": [{"name": "capitals"}]},
            "train": settings | changes,
        }
    )


def write_examples(directory, prompts, too_long=2):
    """ROWS examples of uneven length, and some over max_length."""
    generator = torch.Generator().manual_seed(5)

    def ids(n):
        return torch.randint(100, 5000, (n,), generator=generator).tolist()

    rows = [
        {
            "example_id": f"e{i}",
            "query_id": f"q{i // 3}",
            "dataset": "d",
            "task": "calibration",
            "prompt_ids": ids(4 + i % 5),
            "response_ids": ids(200 if i >= ROWS else 1 + i % 7),
            "turn_ids": prompts.turn_ids,
            "target": [0.0, 0.3, 0.8, 1.0][i % 4],
        }
        for i in range(ROWS + too_long)
    ]
    directory.mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schema=EXAMPLES), directory / EXAMPLES_FILE)
    return rows[:ROWS]


@pytest.fixture(scope="module")
def examples(tmp_path_factory, tiny):
    directory = tmp_path_factory.mktemp("train") / "examples"
    return Location.of(str(directory)), write_examples(directory, Prompts.load(tiny))


def run(made, examples, out):
    result = train.run(made, {"examples": examples[0]}, Location.of(str(out)))
    losses = [json.loads(line) for line in (out / "losses.jsonl").read_text().splitlines()]
    return result, losses, load_file(out / "adapter" / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def one_worker(tiny, examples, ray_cluster, tmp_path_factory):
    return run(config(tiny), examples, tmp_path_factory.mktemp("one"))


def plain_torch(made, model, rows):
    """The same training without Ray, DeepSpeed or micro-batches: the paper's loss row by row."""
    from test_losses import two_forwards

    from pipelines.lora import attach

    torch.manual_seed(made.seed)
    module = torch.nn.Module()
    module.model, module.prompts = attach(model, made), Prompts.load(model)
    trained = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=made.train.learning_rate, weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, 0, 6)
    losses = []
    for step in range(6):
        start = step % 3 * 8
        total = two_forwards(module, rows[start : start + 8])
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(trained, made.train.max_grad_norm)
        optimizer.step()
        losses.append((float(total), schedule.get_last_lr()[0]))
        schedule.step()
    return losses, module.model.state_dict()


def test_one_worker_trains_as_plain_torch_does(tiny, examples, one_worker):
    _, losses, adapter = one_worker
    expected, weights = plain_torch(config(tiny), tiny, examples[1])
    assert [one["loss"] for one in losses] == pytest.approx([e[0] for e in expected], rel=1e-3)
    assert [one["lr"] for one in losses] == pytest.approx([e[1] for e in expected])
    for name, tensor in adapter.items():
        wanted = weights[name.replace(".weight", ".default.weight")]
        torch.testing.assert_close(tensor, wanted, rtol=1e-2, atol=1e-3)


def test_what_the_artifact_says(one_worker, examples):
    result, losses, _ = one_worker
    assert [one["step"] for one in losses] == [1, 2, 3, 4, 5, 6]
    assert [one["rows"] for one in losses] == [8, 8, 6] * 2
    assert result.metrics["dropped_too_long"] == 2
    assert result.rows == result.metrics["examples"] == 2 * ROWS
    length = sum(len(r["prompt_ids"] + r["response_ids"] + r["turn_ids"]) for r in examples[1])
    assert result.metrics["tokens"] == 2 * length
    for one in losses:
        assert one["loss"] == pytest.approx(one["calibration"] + 0.1 * one["generation"], rel=1e-4)


WHOLE = {"batch_size": ROWS, "epochs": 3}  # the epoch in one step


@pytest.fixture(scope="module")
def one_worker_whole(tiny, examples, ray_cluster, tmp_path_factory):
    return run(config(tiny, **WHOLE), examples, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("stage", [2, 3])
def test_two_workers_take_the_same_steps(tiny, examples, one_worker_whole, tmp_path, stage):
    """With the whole epoch in one step, the split over workers changes nothing but rounding."""
    result, one, first = one_worker_whole
    _, two, second = run(config(tiny, workers=2, zero_stage=stage, **WHOLE), examples, tmp_path)
    assert result.metrics["steps"] == len(two) == 3
    for name in ("loss", "calibration", "generation", "lr", "tokens", "rows"):
        assert [s[name] for s in two] == pytest.approx([s[name] for s in one], rel=1e-3), name
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=1e-2, atol=1e-3)


def training_workers():
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if "RayTrainWorker" in " ".join(process.cmdline())
    ]


@pytest.mark.parametrize("stage", [2, 3])
def test_a_killed_worker_resumes_from_the_last_checkpoint(
    tiny, examples, one_worker, ray_cluster, tmp_path, stage
):
    """Checkpoints hold all of the state, so the end is the undisturbed run's."""
    out = tmp_path / "out"
    kept, killed = [], []

    def kill_after_a_checkpoint():
        # Ray goes on from those that its snapshot names.
        snapshot = out / "_checkpoints/checkpoint_manager_snapshot.json"
        once(lambda: snapshot.exists() and training_workers())
        for process in training_workers():
            os.kill(process.pid, signal.SIGKILL)
            killed.append(process.pid)
        kept.extend(json.loads(min(out.glob("_checkpoints/*/losses.json")).read_text()))

    killer = threading.Thread(target=kill_after_a_checkpoint)
    killer.start()
    slow = {"micro_tokens": 1}  # a row a forward: time to be killed in
    _, losses, adapter = run(config(tiny, zero_stage=stage, **slow), examples, out)
    killer.join()
    assert killed
    assert kept
    assert losses[: len(kept)] == kept, "with its seconds: these steps were not taken again"
    _, expected, wanted = one_worker
    assert [s["step"] for s in losses] == [s["step"] for s in expected]
    assert [s["loss"] for s in losses] == pytest.approx([s["loss"] for s in expected], rel=1e-3)
    for name, tensor in wanted.items():
        torch.testing.assert_close(adapter[name], tensor, rtol=1e-2, atol=1e-3)
    assert not (out / "_checkpoints").exists()


def test_nothing_fits(tiny, examples, ray_cluster, tmp_path):
    with pytest.raises(ValueError, match=r"0 of 24 examples fit train.max_length \(5\)"):
        run(config(tiny, max_length=5), examples, tmp_path)
