"""Dropout whose masks follow from (seed, step, row): the same for any cut of a batch.

torch draws masks from one stream, by place in the tensor: other workers or micro-batches, and even
other padding, would drop other values. Here each token of a row has a key from the row's own
generator, each channel of a module one from the module's, and a hash of both decides. It is plain
integer arithmetic on the whole tensor, about as fast as torch's own draw.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# Odd, with about half of their bits set: of the hash "lowbias32" (Wellons, hash-prospector).
_FIRST, _SECOND = 0x7FEB352D, 0x846CA68B - 2**32


def token_keys(key: Sequence[int], length: int) -> np.ndarray:
    """[length], int32: a row's. key: what it follows from, not negative; (seed, step, row)."""
    return _draw(np.random.default_rng(key), length)


class RowDropout(nn.Module):
    """Zeroes values with probability p, and scales the others by 1 / (1 - p).

    `tokens`, [rows, width], int32: the keys of what stands in the input; without them, nothing is
    dropped.
    """

    def __init__(self, p: float, channels: np.ndarray):
        """channels: [in_features], int32, the keys of the input's last axis."""
        super().__init__()
        self.p = p
        self.tokens: Tensor | None = None
        self.channels: Tensor
        self.register_buffer("channels", torch.from_numpy(channels), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: [rows, width, in_features], or with the first two axes as one."""
        if self.tokens is None:
            return x
        if x.shape[:-1] not in (self.tokens.shape, (self.tokens.numel(),)):
            raise ValueError(
                "train.lora.targets: one of these modules sees tokens in an order of its own, so "
                "its dropout would follow from the batch; set train.lora.dropout to 0"
            )
        mixed = self.tokens.reshape(*x.shape[:-1], 1) ^ self.channels
        mixed.mul_(_FIRST)
        mixed.bitwise_xor_(mixed >> 15)  # the sign is shifted in: one of 32 bits is lost
        mixed.mul_(_SECOND)
        return x * (mixed >= round(self.p * 2**32) - 2**31) / (1 - self.p)


def replace_dropout(layers: Iterable[Any], p: float) -> None:
    """Gives PEFT's LoRA layers this dropout in place of torch's; p > 0."""
    generator = np.random.default_rng(0)  # rows have steps from 1 on: no row's
    for layer in layers:
        for adapter in layer.lora_dropout:
            layer.lora_dropout[adapter] = RowDropout(p, _draw(generator, layer.in_features))


def _draw(generator: np.random.Generator, size: int) -> np.ndarray:
    return generator.integers(-(2**31), 2**31, size, dtype=np.int32)
