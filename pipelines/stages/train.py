"""Stage `train`: LoRA on the joint loss with Ray Train and DeepSpeed; 1 to k workers.

Ray Data streams the examples from Parquet to the workers; the loop is training/loop.py. The
artifact holds the adapter in PEFT form (`adapter/`) and one JSON line an optimizer step
(`losses.jsonl`). Checkpoints live beside them (`_checkpoints/`) until the stage is done.
"""

import json
import math
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.config import Config
from pipelines.running import cluster, placement
from pipelines.running.board import Board
from pipelines.running.dag import Result
from pipelines.running.progress import Progress
from pipelines.storage.location import Location
from pipelines.storage.schemas import ADAPTER_DIR, EXAMPLE_PARTS, EXAMPLES_FILE, LOSSES_FILE

CHECKPOINTS = "_checkpoints"
_EXECUTION = {
    "micro_tokens",
    "threads",
    "workers",
    "max_workers",
    "gpus",
    "cpus",
    "checkpoint_every",
    "max_failures",
}
_STEPS = {"seeds"}  # each is a step of its own
VERSION = 3  # one forward for both losses, dropout by position


def spec(config: Config) -> dict[str, Any]:
    return {
        "seed": config.seed,
        "model": config.model.source,
        "confidence": config.confidence.model_dump(mode="json"),
        "train": config.train.model_dump(mode="json", exclude=_EXECUTION | _STEPS),
    }


def run(config: Config, inputs: Mapping[str, Location], out: Location) -> Result:
    """Trains on the artifact of `examples`.

    ValueError where no example fits train.max_length, and where the model cannot be trained here.
    """
    cluster.connect(config)  # before ray.data is imported, which reads its log level then
    train = config.train
    examples = inputs["examples"] / EXAMPLES_FILE
    rows, fitting, tokens = count(examples, train.max_length)
    if not fitting:
        raise ValueError(
            f"0 of {rows} examples fit train.max_length ({train.max_length}); raise it"
        )
    steps = train.epochs * math.ceil(fitting / train.batch_size)
    progress = Progress("train", steps, "steps", tokens=train.epochs * tokens)
    with Board.open() as board, board.watched(progress):
        trainer = _trainer(config, examples, fitting, board, out)
        with own_interrupts():
            result = trainer.fit()
    if (wrong := result.return_value) is not None:
        raise ValueError(wrong)
    assert result.checkpoint is not None, "the loop reports its last step with a checkpoint"
    losses = _keep(result.checkpoint, out)
    seen = sum(step["rows"] for step in losses)
    metrics = {
        "steps": len(losses),
        "examples": seen,
        "tokens": sum(step["tokens"] for step in losses),
        "dropped_too_long": rows - fitting,
        "busy_seconds": sum(step["seconds"] for step in losses),
        "last": losses[-1],
    }
    return Result(seen, "", metrics, CHECKPOINTS)


def _trainer(config: Config, examples: Location, fitting: int, board: Board, out: Location) -> Any:
    """Ray's, of training/loop.py. fitting: how many of the examples fit train.max_length."""
    train = config.train
    environment = {
        "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # it prints every line twice
        "PYTHONWARNINGS": "ignore::FutureWarning",  # of torch, to DeepSpeed
        "RAY_DATA_LOG_LEVEL": "WARNING",
        **dict([cluster.QUIET]),
    }
    if not train.gpus:
        # Of this process too, or DeepSpeed says that it found no GPU.
        environment["DS_ACCELERATOR"] = os.environ["DS_ACCELERATOR"] = "cpu"

    import ray.data
    from ray.data import DataContext
    from ray.train import (
        CheckpointConfig,
        DataConfig,
        FailureConfig,
        LoggingConfig,
        RunConfig,
        ScalingConfig,
    )
    from ray.train.torch import TorchConfig, TorchTrainer

    from pipelines.training.loop import train_loop

    with DataContext.current(cluster.data_context()):
        dataset = ray.data.read_parquet(examples.path, filesystem=examples.filesystem).map_batches(
            partial(fitting_rows, max_length=train.max_length),
            batch_format="pyarrow",
            zero_copy_batch=True,
        )
    options = ray.data.ExecutionOptions(preserve_order=True)  # the same batches on every run
    per_worker: dict[str, float] = {"CPU": train.cpus}
    if train.gpus:
        per_worker["GPU"] = train.gpus
    placement.tell_if_short("train.workers", train.workers, [per_worker])
    workers: Any = train.workers if train.max_workers is None else (train.workers, train.most)
    loop: Any = train_loop  # Ray's types know of none that returns something
    return TorchTrainer(
        loop,
        train_loop_config={
            "config": config.model_dump(mode="json"),
            "rows": fitting,
            "board": board,
        },
        datasets={"train": dataset},
        # Every worker reads all rows and takes its share of a batch, whatever their number is.
        dataset_config=DataConfig(datasets_to_split=[], execution_options=options),
        torch_config=TorchConfig(backend="nccl" if train.gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=workers, use_gpu=train.gpus > 0, resources_per_worker=per_worker
        ),
        run_config=RunConfig(
            name=CHECKPOINTS,
            storage_path=out.path,
            storage_filesystem=out.filesystem,
            worker_runtime_env={"env_vars": environment},  # type: ignore[call-arg]
            failure_config=FailureConfig(max_failures=train.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            logging_config=LoggingConfig("WARNING"),  # the loop says how far it is
        ),
    )


def _keep(checkpoint: Any, out: Location) -> list[dict[str, Any]]:
    """Copies the adapter of the last checkpoint to the artifact; its steps' losses, kept too."""
    from pipelines.training.loop import STEPS_FILE

    with checkpoint.as_directory() as directory:
        local = Location.of(directory)
        losses: list[dict[str, Any]] = (local / STEPS_FILE).read_json()
        (out / ADAPTER_DIR).clear()
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            with (
                local.filesystem.open_input_stream(f"{local.path}/{name}") as source,
                out.filesystem.open_output_stream((out / ADAPTER_DIR / name).path) as target,
            ):
                target.write(source.read())
    (out / LOSSES_FILE).write_text("".join(json.dumps(step) + "\n" for step in losses))
    return losses


@contextmanager
def own_interrupts() -> Iterator[None]:
    """Ctrl-C ends the run as it does elsewhere. `fit` sets a handler of Ray's, which ends the
    process with status 0, and leaves it to the stages that follow, where it does nothing twice."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, before)


def count(examples: Location, max_length: int) -> tuple[int, int, int]:
    """(rows, rows that fit, tokens of these) of an examples file."""
    rows = fitting = tokens = 0
    with examples.filesystem.open_input_file(examples.path) as file:
        for batch in pq.ParquetFile(file).iter_batches(columns=["task", *EXAMPLE_PARTS]):
            table = pa.Table.from_batches([batch])
            fit = fitting_rows(table, max_length)
            rows, fitting = rows + len(table), fitting + len(fit)
            tokens += pc.sum(lengths(fit)).as_py() or 0
    return rows, fitting, tokens


def fitting_rows(table: pa.Table, max_length: int) -> pa.Table:
    """The rows of at most max_length tokens. One over it is dropped, never cut: cutting removes
    the confidence turn."""
    return table.filter(pc.less_equal(lengths(table), max_length))


def lengths(table: pa.Table) -> pa.ChunkedArray:
    """Tokens of each row, as training takes it (micro_batches.length_of)."""
    prompt, response, turn = (pc.list_value_length(table[part]) for part in EXAMPLE_PARTS)
    asked = pc.if_else(pc.equal(table["task"], "generation"), 0, turn)
    return pc.add(pc.add(prompt, response), asked)
