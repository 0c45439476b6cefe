"""Examples/s of the joint loss, one worker, against two forwards an example.

The baselines make one forward for the confidence of all examples and one for the generation loss
of those that have one, the LM head on every position; padded to 1,024 tokens as the paper's public
code does, or bucketed by length. They drop nothing, which is a little faster.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from jobs.benchmarks import work
from jobs.benchmarks.measurement import Measurement, Pair, Reach, in_subprocess

Row = dict[str, Any]
WIDTH = 1024  # the public code's padding


def run(quick: bool) -> Iterator[Measurement]:
    padded, bucketed = in_subprocess(_pairs, *((1, 1) if quick else (16, 2)))
    unit = "examples/s"
    yield Measurement.of("train.two_forwards_padded", unit, padded, Reach("at least", 4))
    yield Measurement.of("train.two_forwards_bucketed", unit, bucketed, Reach("at least", 1.6))


def _pairs(count: int, times: int) -> tuple[list[Pair], list[Pair]]:
    import torch

    from pipelines.method.prompts import Prompts
    from pipelines.storage.models import fetch
    from pipelines.training.joint_model import JointModel
    from pipelines.training.lora import attach

    config = work.config()
    directory = fetch(config.model.source)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = JointModel(attach(directory, config), config, Prompts.load(directory)).to(device)
    rows = examples(model.prompts, count)
    step = Steps(model, config)
    step.seconds(step.joint, rows)  # warm-up, at the sizes that are measured
    padded, bucketed = [], []
    for _ in range(times):
        ours = len(rows) / step.seconds(step.joint, rows)
        bucketed.append((ours, len(rows) / step.seconds(step.two_forwards, rows)))
        few = rows[:2]
        padded.append((ours, len(few) / step.seconds(step.two_forwards_padded, few)))
    return padded, bucketed


def examples(prompts: Any, count: int) -> list[Row]:
    """Examples of 60 to 200 tokens, 70% of them with both losses, as in the paper's text."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return [
        {
            "prompt_ids": prompts.sampling_ids(question),
            "response_ids": torch.randint(
                100, 40_000, (20 + 9 * (i * 7 % 16),), generator=generator
            ).tolist(),
            "ended": True,
            "key": (0, 1, i),
            "turn_ids": prompts.turn_ids,
            "task": "both" if i % 10 < 7 else "calibration",
            "target": 0.9 if i % 10 < 7 else 0.3,
            "weight": 1.0,
        }
        for i, question in enumerate(work.questions(work.LONG, count))
    ]


class Steps:
    """Forward and backward of some rows, three ways; the optimizer's own step is the same."""

    def __init__(self, model: Any, config: Any):
        self.model = model
        self.micro_tokens = config.train.micro_tokens
        self.device = next(model.parameters()).device

    def seconds(self, way: Callable[[list[Row]], None], rows: list[Row]) -> float:
        import torch

        start = time.perf_counter()
        way(rows)
        self.model.zero_grad()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    def joint(self, rows: list[Row]) -> None:
        from pipelines.training.micro_batches import collate, micro_batches

        for micro in micro_batches(rows, self.micro_tokens):
            self.model(collate(micro, self.device, self.model.prompts.end_id)).total.backward()

    def two_forwards(self, rows: list[Row]) -> None:
        from pipelines.training.micro_batches import micro_batches

        self._twice(rows, lambda some: micro_batches(some, self.micro_tokens))

    def two_forwards_padded(self, rows: list[Row]) -> None:
        most = max(1, self.micro_tokens // WIDTH)
        self._twice(
            rows, lambda some: [some[i : i + most] for i in range(0, len(some), most)], WIDTH
        )

    def _twice(
        self, rows: list[Row], cut: Callable[[list[Row]], list[list[Row]]], width: int = 0
    ) -> None:
        from pipelines.training.micro_batches import has_generation

        generated = [row for row in rows if has_generation(row)]
        for some, loss in ((rows, self._calibration), (generated, self._generation)):
            for micro in cut(some):
                loss(micro, self._batch(micro, width)).backward()

    def _batch(self, rows: list[Row], width: int) -> dict[str, Any]:
        import torch
        from torch.nn.functional import pad

        from pipelines.training.micro_batches import collate, length_of

        batch = collate(rows, self.device, self.model.prompts.end_id)
        ids = pad(batch["ids"], (0, max(0, width - batch["ids"].shape[1])))
        columns = torch.arange(ids.shape[1], device=self.device)
        length = torch.tensor([length_of(row) for row in rows], device=self.device)
        mask = (columns < length[:, None]).long()
        return batch | {"ids": ids, "mask": mask, "last": length - 1}

    def _logits(self, batch: dict[str, Any]) -> Any:
        return self.model.model(input_ids=batch["ids"], attention_mask=batch["mask"]).logits

    def _generation(self, rows: list[Row], batch: dict[str, Any]) -> Any:
        import torch

        labels = torch.full_like(batch["ids"], -100)
        for i, row in enumerate(rows):
            start, end = len(row["prompt_ids"]), len(row["prompt_ids"] + row["response_ids"])
            labels[i, start : end + 1] = batch["ids"][i, start : end + 1]
        logits = self._logits(batch)[:, :-1]
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())

    def _calibration(self, rows: list[Row], batch: dict[str, Any]) -> Any:
        import torch

        last = self._logits(batch)[torch.arange(len(rows)), batch["last"]]
        confidence = last.softmax(-1)[:, self.model.prompts.yes_id]
        return torch.nn.functional.smooth_l1_loss(confidence, batch["target"], beta=0.25)
