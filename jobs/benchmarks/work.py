"""What is measured on: the model, its settings, and questions with short and with long answers."""

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from jobs.benchmarks.measurement import Process
from pipelines.config import Config
from pipelines.datasets.capitals import table

MODEL = "builtin:smollm2-135m"
SHORT = "What is the capital of {}?"  # about 17 tokens an answer
LONG = "Tell me about the history and the people of {}."  # uneven, cut at max_tokens
T = TypeVar("T")


def questions(template: str, count: int) -> list[str]:
    return [template.format(country) for country in list(table())[:count]]


def on(
    process: Process,
    way: Callable[[Config], T],
    asked: Sequence[str],
    samples: int,
    max_tokens: int,
) -> T:
    """What a way to label returns for these questions, in a process and in a root of its own."""
    with tempfile.TemporaryDirectory() as root:
        lines = [json.dumps({"question": one, "answer": "unknown"}) for one in asked]
        Path(root, "questions.jsonl").write_text("\n".join(lines))
        returned = process.call(way, config(samples, max_tokens, root))
    print(f"bench: {way.__name__}, {len(asked)} queries of {samples}: {returned}", flush=True)
    return returned


def config(
    samples: int = 32,
    max_tokens: int = 64,
    root: str = "unused",
    compiled: bool = False,
    model: str = MODEL,
) -> Config:
    """The quickstart's engine on a root's questions; on a GPU, vLLM's own defaults.

    compiled: on a CPU too, which takes a minute an engine.
    """
    import torch

    on_cpu = {
        "dtype": "float32", "block_size": 32, "kv_cache_gib": 4,
        "enforce_eager": not compiled,
    }  # fmt: skip
    gpu = torch.cuda.is_available()
    return Config.model_validate(
        {
            "root": root,
            "model": {"source": model},
            "data": {"train": [{"name": "jsonl", "path": f"{root}/questions.jsonl"}]},
            "sampling": {"num_samples": samples, "max_tokens": max_tokens},
            "engine": {"max_model_len": 1024, **({"gpus": 1} if gpu else on_cpu)},
            "train": {"gpus": 1} if gpu else {"dtype": "float32"},
        }
    )
