"""What is measured on: the model, its settings, and questions with short and with long answers."""

from pipelines.config import Config
from pipelines.datasets.capitals import table

MODEL = "builtin:smollm2-135m"
SHORT = "What is the capital of {}?"  # about 17 tokens an answer
LONG = "Tell me about the history and the people of {}."  # uneven, cut at max_tokens


def questions(template: str, count: int) -> list[str]:
    return [template.format(country) for country in list(table())[:count]]


def config(
    template: str = SHORT, queries: int = 1, samples: int = 32, max_tokens: int = 64, root: str = ""
) -> Config:
    """The quickstart's engine on `queries` questions; on a GPU, vLLM's own defaults."""
    import torch

    on_cpu = {
        "dtype": "float32", "block_size": 32, "kv_cache_gib": 4, "enforce_eager": True,
    }  # fmt: skip
    gpu = torch.cuda.is_available()
    return Config.model_validate(
        {
            "root": root or "unused",
            "model": {"source": MODEL},
            "data": {
                "train": [
                    {"name": "jsonl", "path": f"{root}/questions.jsonl", "limit": queries},
                ]
            },
            "sampling": {"num_samples": samples, "max_tokens": max_tokens},
            "engine": {"max_model_len": 1024, **({"gpus": 1} if gpu else on_cpu)},
            "train": {"gpus": 1} if gpu else {"dtype": "float32"},
        }
    )
