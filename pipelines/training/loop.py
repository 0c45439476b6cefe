"""What each training worker runs. With state.py, the only import of deepspeed.

An optimizer step takes `batch_size` sequences over all workers. Each reads all of them and takes
its share, sorted by length and cut into micro-batches of at most `micro_tokens`, so padding stays
small. One forward a micro-batch gives both terms of the loss, and only the positions that they
need meet the LM head.
"""

import json
import logging
import math
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import deepspeed
import ray.train
import torch
from ray.train import Checkpoint
from ray.train.torch import get_device
from ray.train.v2._internal.execution import context as reporting
from safetensors.torch import save_file
from transformers import get_cosine_schedule_with_warmup

from pipelines.config import Config
from pipelines.method.losses import JointLoss
from pipelines.method.prompts import Prompts
from pipelines.running.progress import Count
from pipelines.storage.models import fetch
from pipelines.training.joint_model import JointModel, ready
from pipelines.training.micro_batches import (
    Row,
    collate,
    has_calibration,
    has_generation,
    length_of,
    shares,
)
from pipelines.training.state import gather, restore, trained

# Of a checkpoint, beside the adapter.
STEPS_FILE = "losses.json"  # a mapping for each optimizer step so far
STATE_FILE = "state.safetensors"


def train_loop(arguments: dict[str, Any]) -> str | None:
    """arguments: the resolved config, and `rows`, the examples of an epoch over all workers.

    Returns what is wrong with the model, in one line; raised here, Ray would start anew, in vain.
    """
    for name in ("ray.data._internal.progress", reporting.__file__):
        logging.getLogger(name).setLevel(logging.ERROR)  # "no bars"; each checkpoint, in full
    config = Config.model_validate(arguments["config"])
    train = config.train
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    if not torch.cuda.is_available():  # Ray leaves a worker one thread
        here = os.cpu_count() or 1
        torch.set_num_threads(train.threads or max(1, here // context.get_local_world_size()))
    steps = train.epochs * math.ceil(arguments["rows"] / train.batch_size)

    model_dir = fetch(config.model.source, config.engine.trust_remote_code)
    prompts = Prompts.load(model_dir, config.confidence.question, config.model.chat)
    torch.manual_seed(config.seed)
    try:
        module = ready(model_dir, config, prompts, get_device())
    except ValueError as error:
        return str(error)
    engine, optimizer, schedule = start_engine(module, steps)
    done: list[dict[str, Any]] = []
    if (checkpoint := ray.train.get_checkpoint()) is not None:
        with checkpoint.as_directory() as directory:
            done = json.loads((Path(directory) / STEPS_FILE).read_text())
            restore(engine, optimizer, schedule, Path(directory) / STATE_FILE, len(done))

    examples = ray.train.get_dataset_shard("train")
    count = Count(len(done), int(sum(one["tokens"] for one in done)), kept=len(done))

    def did(tokens: int) -> None:
        count.tokens += tokens

    posting = arguments["board"].posting(count, "train") if rank == 0 else nullcontext()
    step = 0
    with posting as post:  # amid a step, in a thread: no micro-batch waits for it
        for epoch in range(train.epochs):
            batches = examples.iter_batches(batch_size=train.batch_size, batch_format="pyarrow")
            for batch in batches:
                step += 1
                if step <= len(done):
                    continue  # before the restart
                rows = [
                    row | {"key": (config.seed, step, place)}
                    for place, row in enumerate(batch.to_pylist())
                ]
                try:
                    facts = optimizer_step(engine, rows, train.micro_tokens, rank, world, did)
                except torch.OutOfMemoryError as error:  # of this worker; others wait for it
                    raise RuntimeError(
                        f"train.micro_tokens ({train.micro_tokens:,}) takes more memory than the "
                        "GPU has; lower it"
                    ) from error
                done.append({"step": step, "epoch": epoch, "workers": world, **facts})
                losses = (
                    f"{name} loss {facts[name]:.4f}"
                    for name in ("calibration", "generation")
                    if facts[name] is not None
                )
                count.done, count.more = step, ", ".join(losses)
                if step % train.checkpoint_every == 0 or step == steps:
                    report_checkpoint(engine, done, rank)
                    count.kept = step
                if post:
                    post()
    assert step == steps, "the schedule and the last checkpoint count on it"
    return None


def start_engine(module: JointModel, steps: int) -> tuple[Any, Any, Any]:
    """(DeepSpeed engine, AdamW, its schedule over `steps`): ZeRO, with gradient accumulation in our
    own hands, as micro-batches differ in size.

    DeepSpeed's bf16 mode is off: it would hold the adapter and its gradients in bfloat16, where the
    frozen weights alone are.
    """
    train = module.config.train
    optimizer = torch.optim.AdamW(
        trained(module).values(), lr=train.learning_rate, weight_decay=train.weight_decay
    )
    schedule = get_cosine_schedule_with_warmup(optimizer, round(train.warmup_ratio * steps), steps)
    # On a CPU, DeepSpeed would compile a helper for what gloo does, without a compiler maybe.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    engine, *_ = deepspeed.initialize(
        model=module,
        optimizer=optimizer,
        lr_scheduler=schedule,
        config={
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": 1,
            "gradient_clipping": train.max_grad_norm,
            "zero_optimization": {"stage": train.zero_stage},
            "zero_allow_untested_optimizer": True,
            "steps_per_print": 10**9,
            # It would wait for the device in each forward.
            "timers": {"throughput": {"enabled": False}},
        },
        dist_init_required=False,
    )
    return engine, optimizer, schedule


def optimizer_step(
    engine: Any,
    rows: Sequence[Row],
    micro_tokens: int,
    rank: int,
    world: int,
    did: Callable[[int], None] = lambda tokens: None,
) -> dict[str, Any]:
    """Forward and backward by micro-batch, then one step; what losses.jsonl says of it.

    rows: of the whole batch. `loss` is a mean over them, `calibration` and `generation` over those
    that have that loss; None where none has. `seconds` are this worker's own. did: takes the tokens
    that all workers are further, after each micro-batch.
    """
    start = time.monotonic()
    every = shares(rows, world, micro_tokens)
    micros = every[rank]
    spare = [min(rows, key=length_of)]  # for a micro-batch that only others have; weighs nothing
    # On the device: to read a number there is to wait for it.
    sums = torch.zeros(len(JointLoss._fields), dtype=torch.float64, device=engine.device)
    end_id = engine.module.prompts.end_id
    for number, micro in enumerate(micros, start=1):
        engine.set_gradient_accumulation_boundary(number == len(micros))
        loss = engine(collate(micro or spare, engine.device, end_id))
        counts = 1.0 if micro else 0.0
        # DeepSpeed takes the mean over workers; wanted is the mean over rows.
        engine.backward(loss.total * (counts * world / len(rows)))
        sums += torch.stack(loss).detach() * counts
        did(sum(length_of(row) for share in every for row in share[number - 1]))
    learning_rate = engine.get_lr()[0]
    engine.step()
    torch.distributed.all_reduce(sums)
    total, calibration, generation = sums.tolist()
    return {
        "loss": total / len(rows),
        "calibration": _mean(calibration, sum(map(has_calibration, rows))),
        "generation": _mean(generation, sum(map(has_generation, rows))),
        "lr": learning_rate,
        "tokens": sum(map(length_of, rows)),
        "rows": len(rows),
        "seconds": time.monotonic() - start,
    }


def _mean(of: float, count: int) -> float | None:
    return of / count if count else None


def report_checkpoint(engine: Any, done: list[dict[str, Any]], rank: int) -> None:
    """The first worker's report has the checkpoint; all take part in gathering it."""
    model = engine.module.model
    weights, moments = gather(model)
    if rank != 0:
        ray.train.report(done[-1])
        return
    with tempfile.TemporaryDirectory() as directory:
        save_file(weights | moments, Path(directory) / STATE_FILE)
        model.save_pretrained(directory, safe_serialization=True, state_dict=weights)
        (Path(directory) / STEPS_FILE).write_text(json.dumps(done))
        ray.train.report(done[-1], checkpoint=Checkpoint.from_directory(directory))
