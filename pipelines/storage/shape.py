"""The sizes of a model: from its config.json where that is on this machine, else as published.

So that what a run takes can be told before anything is fetched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.method.tokenizer import read_settings
from pipelines.storage.models import config_file

_MIXTURES = ("num_experts", "num_local_experts", "n_routed_experts")


@dataclass(frozen=True)
class Shape:
    """Of a dense decoder as Llama's and Qwen's are. tied: the head is the embedding; biases: on
    q, k and v."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool = False
    biases: bool = False

    @property
    def layer_weights(self) -> int:
        """In the matrices of all layers."""
        return self.layers * sum(rows * columns for rows, columns in self._matrices.values())

    @property
    def head_weights(self) -> int:
        return self.hidden * self.vocab

    @property
    def parameters(self) -> int:
        norms = (2 * self.layers + 1) * self.hidden
        biases = self.layers * self.head_dim * (self.heads + 2 * self.kv_heads) * self.biases
        return self.layer_weights + (2 - self.tied) * self.head_weights + norms + biases

    def lora(self, rank: int, targets: Sequence[str]) -> int:
        """Parameters of an adapter; targets that are no matrix of a layer are not counted."""
        known = [sum(self._matrices[one]) for one in targets if one in self._matrices]
        return self.layers * rank * sum(known)

    @property
    def _matrices(self) -> dict[str, tuple[int, int]]:
        attention, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        mlp = (self.hidden, self.intermediate)
        return {
            "q_proj": (self.hidden, attention),
            "k_proj": (self.hidden, kv),
            "v_proj": (self.hidden, kv),
            "o_proj": (attention, self.hidden),
            "gate_proj": mlp,
            "up_proj": mlp,
            "down_proj": mlp,
        }


# As their config.json on the hub has them.
PUBLISHED = {
    "meta-llama/Llama-3.1-8B-Instruct": Shape(4096, 14336, 32, 32, 8, 128, 128256),
    "Qwen/Qwen2.5-7B-Instruct": Shape(3584, 18944, 28, 28, 4, 128, 152064, biases=True),
    "Qwen/Qwen2.5-1.5B-Instruct": Shape(1536, 8960, 28, 12, 2, 128, 151936, True, True),
    "Qwen/Qwen2.5-0.5B-Instruct": Shape(896, 4864, 24, 14, 2, 64, 151936, True, True),
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": Shape(
        1536, 8960, 28, 12, 2, 128, 151936, biases=True
    ),
    "builtin:smollm2-135m": Shape(576, 1536, 30, 9, 3, 64, 49152, tied=True),
}


def shape_of(source: str) -> tuple[Shape, str] | None:
    """A model's shape, and where it was read; None where neither its config.json is on this machine
    nor its shape known, or where it is no dense decoder of the usual names."""
    file = config_file(source)
    if file is not None:
        shape = of(read_settings(file.parent, file.name, source))
        return None if shape is None else (shape, "its config.json")
    if source in PUBLISHED:
        return PUBLISHED[source], "its published config.json"
    return None


def of(settings: dict[str, Any]) -> Shape | None:
    """settings: a config.json's."""
    if isinstance(text := settings.get("text_config"), dict):
        settings = settings | text
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    sizes = [n for name in (*names, "vocab_size") if isinstance(n := settings.get(name), int)]
    if any(name in settings for name in _MIXTURES) or len(sizes) <= len(names):
        return None
    hidden, intermediate, layers, heads, vocab = sizes
    kind = str(settings.get("model_type"))
    return Shape(
        hidden,
        intermediate,
        layers,
        heads,
        settings.get("num_key_value_heads") or heads,
        settings.get("head_dim") or hidden // heads,
        vocab,
        bool(settings.get("tie_word_embeddings", False)),
        bool(settings.get("attention_bias", kind == "qwen2")),
    )
