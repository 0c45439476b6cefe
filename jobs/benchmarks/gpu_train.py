"""Training on a GPU: the joint step against two forwards, and the stage with all around it."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobs.benchmarks import random_model, work
from jobs.benchmarks.gpu_card import datasheet
from jobs.benchmarks.measurement import Measurement, Reach
from jobs.benchmarks.train import Row, Steps, examples
from pipelines.config import Config
from pipelines.storage.shape import Shape

MICRO_TOKENS = (16_384, 8_192, 4_096)  # a forward; each way is taken at the best for it


def step(shape: str, root: Path, quick: bool) -> list[Measurement]:
    from pipelines.training.micro_batches import length_of

    config = work.config(model=random_model.make(shape, root))
    steps = _steps(config)
    rows = examples(steps.model.prompts, 4 if quick else 256)
    few = rows[: 2 if quick else 32]  # padded to 1,024 tokens each
    ours, micro_tokens, gib = _best(steps, steps.joint, rows)
    twice, _, _ = _best(steps, steps.two_forwards, rows)
    padded, _, _ = _best(steps, steps.two_forwards_padded, few)
    name = f"gpu.train_{shape}"
    seconds = len(rows) / ours
    tokens = sum(map(length_of, rows))
    print(
        f"bench: {name}: {tokens / seconds:.0f} tokens/s, {gib:.1f} GiB at most, "
        f"{micro_tokens} tokens a forward",
        flush=True,
    )
    made = [
        Measurement.of(
            f"{name}_two_forwards", "examples/s", [(ours, twice)], Reach("at least", 1.8)
        ),
        Measurement.of(f"{name}_padded", "examples/s", [(ours, padded)], Reach("at least", 4)),
    ]
    if steps.device.type == "cuda":
        rate = _operations(random_model.SHAPES[shape], rows) / seconds / 1e12
        peak = datasheet()[1]
        made.append(
            Measurement.of(f"{name}_mfu", "TFLOP/s", [(rate, peak)], Reach("at least", 0.4))
        )
    return made


def _steps(config: Config) -> Steps:
    import torch

    from pipelines.method.prompts import Prompts
    from pipelines.training.joint_model import JointModel
    from pipelines.training.lora import attach

    model = Path(config.model.source)
    joint = JointModel(attach(model, config), config, Prompts.load(model))
    return Steps(joint.to("cuda" if torch.cuda.is_available() else "cpu"), config)


def _best(
    steps: Steps, way: Callable[[list[Row]], None], rows: list[Row]
) -> tuple[float, int, float]:
    """(examples/s, tokens a forward, GiB at most) at the best of MICRO_TOKENS that fit."""
    import torch

    found = []
    for tokens in MICRO_TOKENS:
        steps.micro_tokens = tokens
        try:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            steps.seconds(way, rows)  # warm-up, at these sizes
            rate = len(rows) / min(steps.seconds(way, rows) for _ in range(2))
        except torch.OutOfMemoryError:
            steps.model.zero_grad()
            continue
        gib = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
        found.append((rate, tokens, gib))
    return max(found)


def _operations(shape: Shape, rows: list[Row]) -> float:
    """Of a step over these rows, as MFU counts: two a weight and token forward, and two backward.

    The weights are frozen, so only the gradients to what flows through them are computed. Counted
    are the tokens that are there, not padding, and of the LM head those that it needs to see;
    attention's own products and the adapter's are not.
    """
    from pipelines.training.micro_batches import has_generation, length_of

    tokens = sum(map(length_of, rows))
    seen = len(rows) + sum(len(row["response_ids"]) + 1 for row in rows if has_generation(row))
    return 4.0 * (shape.layer_weights * tokens + shape.head_weights * seen)


def stage(model: str, quick: bool) -> list[Measurement]:
    """Ray Data, Ray Train and DeepSpeed's ZeRO 2 around the step, against the step alone."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pipelines.method.prompts import Prompts
    from pipelines.stages import train
    from pipelines.storage.location import Location
    from pipelines.storage.schemas import EXAMPLES, EXAMPLES_FILE

    batch, count = (4, 3) if quick else (64, 12)
    config = work.config(model=model)
    chosen = config.train.model_copy(update={"batch_size": batch, "micro_tokens": MICRO_TOKENS[1]})
    config = config.model_copy(update={"train": chosen})
    prompts = Prompts.load(model)
    rows = examples(prompts, batch)
    with tempfile.TemporaryDirectory() as root:
        source, out = Location.of(f"{root}/examples"), Location.of(f"{root}/out")
        source.make_dir()
        out.make_dir()
        table = [
            {"example_id": f"{i}-{n}", "query_id": f"{i}", "dataset": "d", **row}
            for n in range(count)
            for i, row in enumerate(rows)
        ]
        pq.write_table(
            pa.Table.from_pylist(table, schema=EXAMPLES), f"{root}/examples/{EXAMPLES_FILE}"
        )
        train.run(config, {"examples": source}, out)
        losses = [one for one in _lines(Path(root, "out", "losses.jsonl")) if one["step"] > 2]
    inside = sum(one["rows"] for one in losses) / sum(one["seconds"] for one in losses)
    alone = _steps(config)
    alone.seconds(alone.joint, rows)
    bare = len(rows) / alone.seconds(alone.joint, rows)
    pairs = [(inside, bare)]
    return [Measurement.of("gpu.train_stage", "examples/s", pairs, Reach("at least", 0.8))]


def _lines(file: Path) -> list[dict[str, Any]]:
    import json

    return [json.loads(line) for line in file.read_text().splitlines()]
