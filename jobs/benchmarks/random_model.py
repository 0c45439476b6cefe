"""Models of published shapes with random weights: what speed and rounding need, and no download.

Their logits have a standard deviation of 10: with 151,936 tokens, an entropy of 1.1 nats and 0.67
for the likeliest one, about what a real model's next token has.
"""

import shutil
from pathlib import Path
from typing import Any

from jobs.benchmarks import work
from pipelines.storage.models import fetch
from pipelines.storage.shape import Shape

SHAPES = {
    "tiny": Shape(64, 128, 2, 2, 1, 32, 49_152),
    "0.5b": Shape(896, 4_864, 24, 14, 2, 64, 151_936),  # Qwen2.5-0.5B's
    "1.5b": Shape(1_536, 8_960, 28, 12, 2, 128, 151_936),  # Qwen2.5-1.5B's
}


def make(name: str, directory: Path) -> str:
    """Writes one with the built-in model's tokenizer; returns where, as a model.source."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    shape, out = SHAPES[name], directory / name
    if out.is_dir():
        return str(out)
    cuda = torch.cuda.is_available()
    dtype = torch.bfloat16 if cuda else torch.float32
    config = LlamaConfig(
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        vocab_size=shape.vocab,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        dtype=dtype,
    )
    torch.manual_seed(0)
    with torch.device("cuda" if cuda else "cpu"), torch.no_grad():
        model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype)
        model.lm_head.weight.normal_(0, 10.0 / shape.hidden**0.5)
    model.save_pretrained(out)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(fetch(work.MODEL) / file, out / file)
    return str(out)
