"""The train stage on real Ray Train and DeepSpeed, against plain torch; workers; resume."""

import json
import shutil
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from held import trainer
from processes import descendants, kill
from ray.train import TrainingFailedError
from safetensors.torch import load_file, save_file
from transformers import get_cosine_schedule_with_warmup
from waiting import once

from pipelines.config import Config
from pipelines.method.prompts import Prompts
from pipelines.stages import train
from pipelines.storage.location import Location
from pipelines.storage.schemas import EXAMPLES, EXAMPLES_FILE

pytestmark = pytest.mark.process

ROWS = 22
# ZeRO 3 keeps small parameters whole; these it cuts, and a third of one is no whole number.
LORA = {"dropout": 0.05, "r": 2048}


def config(model, **changes):
    settings = {
        "learning_rate": 0.01, "batch_size": 8, "epochs": 2, "dtype": "float32",
        "micro_tokens": 200, "max_length": 100, "lora": LORA,
        "cpus": 0.5, "checkpoint_every": 2,
    }  # fmt: skip
    return Config.model_validate(
        {
            "root": "r",
            "seed": 2**63 - 1,  # the largest
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
            "task": ["calibration", "generation", "both"][i % 3],
            "prompt_ids": ids(4 + i % 5),
            "response_ids": ids(200 if i >= ROWS else 1 + i % 7),
            "ended": i % 5 > 0,
            "turn_ids": prompts.turn_ids,
            "target": [0.0, 0.3, 0.8, 1.0][i % 4],
            "weight": [1.0, 0.4, 2.5][i % 3],
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
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("one")


@pytest.fixture(scope="module")
def one_worker(tiny, examples, ray_cluster, place):
    """Dropout is on, here and in what is compared with it: its masks are the same everywhere."""
    return run(config(tiny), examples, place)


def same_weights(adapter, wanted):
    """As a whole: where a gradient is next to zero, Adam makes a step of its last bits."""
    for name, tensor in adapter.items():
        assert float((tensor - wanted[name]).norm() / wanted[name].norm()) < 1e-3


def plain_torch(made, model, rows):
    """The same training without Ray, DeepSpeed or micro-batches: the paper's loss row by row."""
    from plain_loss import two_forwards

    from pipelines.training.lora import attach

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


def test_one_worker_trains_as_plain_torch_does(tiny, examples, ray_cluster, tmp_path):
    made = config(tiny, lora=LORA | {"dropout": 0.0})
    handler = signal.getsignal(signal.SIGINT)
    _, losses, adapter = run(made, examples, tmp_path)
    assert signal.getsignal(signal.SIGINT) == handler, "Ctrl-C is the next stage's"
    expected, weights = plain_torch(made, tiny, examples[1])
    assert [one["loss"] for one in losses] == pytest.approx([e[0] for e in expected], rel=1e-3)
    assert [one["lr"] for one in losses] == pytest.approx([e[1] for e in expected])
    same_weights(adapter, {name.replace(".default.", "."): one for name, one in weights.items()})


def test_what_the_artifact_says(one_worker, examples):
    result, losses, _ = one_worker
    assert [one["step"] for one in losses] == [1, 2, 3, 4, 5, 6]
    assert [one["rows"] for one in losses] == [8, 8, 6] * 2
    assert result.metrics["dropped_too_long"] == 2
    assert result.rows == result.metrics["examples"] == 2 * ROWS
    length = sum(
        len(r["prompt_ids"] + r["response_ids"])
        + (len(r["turn_ids"]) if r["task"] != "generation" else 0)
        for r in examples[1]
    )
    assert result.metrics["tokens"] == 2 * length
    for one, start in zip(losses, [0, 8, 16] * 2, strict=True):
        tasks = [row["task"] for row in examples[1][start : start + 8]]
        calibration = one["calibration"] * (len(tasks) - tasks.count("generation"))
        generation = one["generation"] * (len(tasks) - tasks.count("calibration"))
        expected = (calibration + 0.1 * generation) / len(tasks)
        assert one["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.fixture
def waiting(monkeypatch, tmp_path_factory):
    """A directory that says after which step so many workers wait: checkpoints come every two."""
    directory = tmp_path_factory.mktemp("held")
    for workers in (1, 2):
        (directory / str(workers)).write_text("3")
    monkeypatch.setattr("ray.train.torch.TorchTrainer", trainer(directory))
    return directory


@contextmanager
def killed_after_a_checkpoint(out, waiting):
    """Kills all workers once; yields the steps that the oldest checkpoint had by then."""
    kept, killed = [], []

    def kill_all():
        try:
            # Ray goes on from those that its snapshot names.
            once((out / "_checkpoints/checkpoint_manager_snapshot.json").exists)
            kept.extend(json.loads(min(out.glob("_checkpoints/*/losses.json")).read_text()))
            killed.extend(descendants("RayTrainWorker"))
            for process in killed:
                kill(process)
        finally:  # else the workers would wait on
            for file in waiting.iterdir():
                file.unlink()

    with ThreadPoolExecutor() as pool:
        killing = pool.submit(kill_all)
        yield kept
        killing.result()
    assert killed


def ends_as_undisturbed(resumed, kept, undisturbed):
    """The steps that a checkpoint kept were not taken again, and the others give the same end."""
    _, losses, adapter = resumed
    _, expected, wanted = undisturbed
    assert kept
    assert losses[: len(kept)] == kept, "with its seconds: these steps were not taken again"
    assert [s["step"] for s in losses] == [s["step"] for s in expected]
    for name in ("loss", "calibration", "generation", "lr", "tokens", "rows"):
        assert [s[name] for s in losses] == pytest.approx([s[name] for s in expected], rel=1e-3)
    same_weights(adapter, wanted)


@pytest.mark.parametrize("stage", [2, 3])
def test_a_killed_worker_resumes_from_the_last_checkpoint(
    tiny, examples, one_worker, ray_cluster, waiting, tmp_path, stage
):
    """Checkpoints hold all of the state, so the end is the undisturbed run's."""
    with killed_after_a_checkpoint(tmp_path, waiting) as kept:
        resumed = run(config(tiny, zero_stage=stage), examples, tmp_path)
    ends_as_undisturbed(resumed, kept, one_worker)


def test_what_is_killed_before_its_manifest_is_not_trained_again(
    tiny, examples, one_worker, place, ray_cluster
):
    result, losses, adapter = run(config(tiny), examples, place)
    assert (result.metrics, losses) == (one_worker[0].metrics, one_worker[1])
    assert all(torch.equal(tensor, one_worker[2][name]) for name, tensor in adapter.items())


def test_any_number_of_workers_takes_the_same_steps_and_others_go_on(
    tiny, examples, one_worker, ray_cluster, waiting, tmp_path
):
    """With dropout. Checkpoints are whole, in safetensors: of no number of workers, and of no ZeRO
    stage. The last batch of an epoch has 6 rows of uneven length: none is left out or counts
    twice."""
    first = config(tiny, workers=2, zero_stage=2, max_failures=0)
    with killed_after_a_checkpoint(tmp_path, waiting) as kept, pytest.raises(TrainingFailedError):
        run(first, examples, tmp_path)
    assert {file.suffix for file in tmp_path.glob("_checkpoints/checkpoint_*/*.*")} == {
        ".json", ".md", ".safetensors"
    }  # fmt: skip
    resumed = run(config(tiny, workers=3, zero_stage=3, cpus=0.3), examples, tmp_path)
    ends_as_undisturbed(resumed, kept, one_worker)
    assert [one["workers"] for one in resumed[1]] == [2] * len(kept) + [3] * (6 - len(kept))


def test_a_model_whose_logits_are_no_numbers_is_refused_in_one_line(
    tiny, examples, ray_cluster, tmp_path
):
    """At once: no start of the workers anew would help."""
    broken, out = tmp_path / "model", tmp_path / "out"
    shutil.copytree(tiny, broken)
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"].fill_(float("nan"))
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    out.mkdir()
    with pytest.raises(
        ValueError, match=r"^model.source: training would read other logits .*llama"
    ):
        run(config(broken), examples, out)


def test_ctrl_c_during_training_interrupts():
    """Ray's own handler would end the process with status 0."""

    def fit():
        signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), train.own_interrupts():
        fit()
    assert signal.getsignal(signal.SIGINT) == before


def test_nothing_fits(tiny, examples, ray_cluster, tmp_path):
    with pytest.raises(ValueError, match=r"0 of 24 examples fit train.max_length \(5\)"):
        run(config(tiny, max_length=5), examples, tmp_path)
