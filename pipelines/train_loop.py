"""What each training worker runs. The only import of deepspeed.

An optimizer step takes `batch_size` sequences over all workers; a worker sorts its share by
length and cuts it into micro-batches of at most `micro_tokens`, so padding stays small. One
forward a micro-batch gives both terms of the loss, and only the positions that they need meet
the LM head.
"""

import json
import math
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import deepspeed
import numpy as np
import ray.train
import torch
from ray.train import Checkpoint
from torch import Tensor, nn
from transformers import get_cosine_schedule_with_warmup

from pipelines.config import Config
from pipelines.lora import attach
from pipelines.losses import JointLoss, confidence_of, joint_loss, select_positions
from pipelines.models import fetch
from pipelines.prompts import Prompts

Row = dict[str, Any]
STATE_FILE = "losses.json"  # of a checkpoint: a mapping for each optimizer step so far


def train_loop(arguments: dict[str, Any]) -> None:
    """arguments: the resolved config, and `rows`, the examples of an epoch over all workers."""
    config = Config.model_validate(arguments["config"])
    train = config.train
    context = ray.train.get_context()
    world = context.get_world_size()
    if not torch.cuda.is_available():  # Ray leaves a worker one thread
        here = os.cpu_count() or 1
        # DeepSpeed would compile a helper for what gloo does; a machine may have no compiler.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        torch.set_num_threads(train.threads or max(1, here // context.get_local_world_size()))
    torch.manual_seed(config.seed)
    share = max(1, train.batch_size // world)
    steps = train.epochs * math.ceil(arguments["rows"] // world / share)

    model_dir = fetch(config.model.source)
    prompts = Prompts.load(model_dir, config.confidence.question)
    module = JointModel(attach(model_dir, config), config, prompts)
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        trainable, lr=train.learning_rate, weight_decay=train.weight_decay
    )
    schedule = get_cosine_schedule_with_warmup(optimizer, round(train.warmup_ratio * steps), steps)
    engine, *_ = deepspeed.initialize(
        model=module,
        optimizer=optimizer,
        lr_scheduler=schedule,
        config=deepspeed_config(config),
        dist_init_required=False,
    )
    losses: list[dict[str, float]] = []
    if (checkpoint := ray.train.get_checkpoint()) is not None:
        with checkpoint.as_directory() as directory:
            losses = json.loads((Path(directory) / STATE_FILE).read_text())
            # Not strictly: it has no frozen weights, which are the model's own.
            engine.load_checkpoint(directory, tag="engine", load_module_strict=False)

    shard = ray.train.get_dataset_shard("train")
    step = 0
    for epoch in range(train.epochs):
        for rows in batches(shard.iter_batches(batch_size=share, batch_format="pyarrow")):
            step += 1
            if step <= len(losses):
                continue  # done before the restart
            facts = optimizer_step(engine, rows, train.micro_tokens)
            losses.append({"step": step, "epoch": epoch, **facts})
            last = step == steps
            if step % train.checkpoint_every == 0 or last:
                report_checkpoint(engine, losses, context.get_world_rank())
            if context.get_world_rank() == 0 and (step % 10 == 0 or last):
                print(progress(step, steps, facts), flush=True)
    assert step == steps, "the schedule and the last checkpoint count on it"


def progress(step: int, steps: int, facts: dict[str, float]) -> str:
    return (
        f"train: step {step}/{steps}, calibration loss {facts['calibration']:.4f}, "
        f"generation loss {facts['generation']:.4f}, {facts['tokens']:.0f} tokens"
    )


def deepspeed_config(config: Config) -> dict[str, Any]:
    """ZeRO with gradient accumulation in our own hands (micro-batches differ in size)."""
    train = config.train
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": train.max_grad_norm,
        "zero_optimization": {"stage": train.zero_stage},
        "zero_allow_untested_optimizer": True,
        "bf16": {"enabled": train.dtype == "bfloat16"},
        "steps_per_print": 10**9,
    }


class JointModel(nn.Module):
    """Base model and adapter -> the joint loss of a micro-batch, in one forward."""

    def __init__(self, model: nn.Module, config: Config, prompts: Prompts):
        super().__init__()
        self.model = model
        self.config = config
        self.prompts = prompts

    def forward(self, batch: dict[str, Tensor]) -> JointLoss:
        causal = self.model.get_base_model()  # type: ignore[operator]
        hidden = causal.get_decoder()(
            input_ids=batch["ids"], attention_mask=batch["mask"], use_cache=False
        ).last_hidden_state
        target, eta = batch["target"], self.config.examples.eta
        generated = target > eta  # the cross entropy needs the LM head on these rows alone
        positions = select_positions(batch["start"], batch["end"], generated)
        last = torch.stack(
            [torch.arange(len(target), device=target.device), batch["length"] - 1], 1
        )
        picked = torch.cat([positions, last])
        logits = causal.get_output_embeddings()(hidden[picked[:, 0], picked[:, 1]]).float()
        token_logits, last_logits = logits.split([len(positions), len(last)])
        return joint_loss(
            confidence_of(last_logits, self.config.confidence.kind, self.prompts),
            target,
            token_logits,
            batch["ids"][positions[:, 0], positions[:, 1] + 1],
            positions[:, 0],
            omega=self.config.train.omega,
            eta=eta,
            beta=self.config.train.beta,
        )


def optimizer_step(engine: Any, rows: Sequence[Row], micro_tokens: int) -> dict[str, float]:
    """Forward and backward by micro-batch, then one step; means and sums over all workers.

    `seconds` are this worker's own.
    """
    start = time.monotonic()
    # ZeRO reduces in every backward, so all workers must make equally many.
    least = len(micro_batches(rows, micro_tokens, at_least=1))
    (least_of_all,) = all_reduce(engine, [least], torch.distributed.ReduceOp.MAX)
    micros = micro_batches(rows, micro_tokens, at_least=int(least_of_all))
    sums = {"loss": 0.0, "calibration": 0.0, "generation": 0.0}
    for number, micro in enumerate(micros, start=1):
        engine.set_gradient_accumulation_boundary(number == len(micros))
        loss = engine(collate(micro, engine.device))
        engine.backward(loss.total * (len(micro) / len(rows)))
        for name, value in zip(sums, (loss.total, loss.calibration, loss.generation), strict=True):
            sums[name] += float(value.detach()) * len(micro)
    learning_rate = engine.get_lr()[0]
    engine.step()
    tokens = sum(map(length_of, rows))
    *totals, all_tokens, all_rows = all_reduce(
        engine, [*sums.values(), tokens, len(rows)], torch.distributed.ReduceOp.SUM
    )
    means = {name: total / all_rows for name, total in zip(sums, totals, strict=True)}
    return {
        **means,
        "lr": learning_rate,
        "tokens": int(all_tokens),
        "rows": int(all_rows),
        "seconds": time.monotonic() - start,
    }


def all_reduce(engine: Any, values: list[float], operation: Any) -> list[float]:
    tensor = torch.tensor(values, dtype=torch.float64, device=engine.device)
    torch.distributed.all_reduce(tensor, op=operation)
    return tensor.tolist()


def batches(tables: Iterator[Any]) -> Iterator[list[Row]]:
    for table in tables:
        yield table.to_pylist()


def length_of(row: Row) -> int:
    return len(row["prompt_ids"]) + len(row["response_ids"]) + len(row["turn_ids"])


def micro_batches(rows: Sequence[Row], most_tokens: int, at_least: int) -> list[list[Row]]:
    """Rows by length, in groups whose padded size is at most most_tokens (one row always fits).

    at_least: split further, the largest groups first, until there are that many.
    """
    groups: list[list[Row]] = []
    for row in sorted(rows, key=length_of, reverse=True):
        if groups and length_of(groups[-1][0]) * (len(groups[-1]) + 1) <= most_tokens:
            groups[-1].append(row)
        else:
            groups.append([row])
    while len(groups) < at_least:
        largest = max(groups, key=len)
        half = len(largest) // 2
        assert half, "workers hold equally many rows, so no worker needs more groups than rows"
        groups.remove(largest)
        groups += [largest[:half], largest[half:]]
    return groups


def collate(rows: Sequence[Row], device: Any) -> dict[str, Tensor]:
    """Right-padded ids, mask [rows, width]; start, end of the response, length, target [rows]."""
    width = max(map(length_of, rows))
    ids = np.zeros((len(rows), width), dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for i, row in enumerate(rows):
        sequence = [*row["prompt_ids"], *row["response_ids"], *row["turn_ids"]]
        ids[i, : len(sequence)] = sequence
        mask[i, : len(sequence)] = 1
    start = [len(row["prompt_ids"]) for row in rows]
    end = [s + len(row["response_ids"]) for s, row in zip(start, rows, strict=True)]
    made = {
        "ids": torch.from_numpy(ids),
        "mask": torch.from_numpy(mask),
        "start": torch.tensor(start),
        "end": torch.tensor(end),
        "length": torch.from_numpy(mask.sum(axis=1)),
        "target": torch.tensor([float(row["target"]) for row in rows]),
    }
    return {name: tensor.to(device) for name, tensor in made.items()}


def report_checkpoint(engine: Any, losses: list[dict[str, float]], rank: int) -> None:
    """Every worker saves its part of the engine's state; the first adds adapter and losses."""
    with tempfile.TemporaryDirectory() as directory:
        engine.save_checkpoint(directory, tag="engine", exclude_frozen_parameters=True)
        if rank == 0:
            engine.module.model.save_pretrained(directory, safe_serialization=True)
            (Path(directory) / STATE_FILE).write_text(json.dumps(losses))
        ray.train.report(losses[-1], checkpoint=Checkpoint.from_directory(directory))
