"""Entropy-based dynamic temperature (EDT); torch on any device.

EDT (Zhang et al. 2024, arXiv 2403.14541; used by arXiv 2503.00031, section 4.1) sets the
temperature of every decoding step from the entropy of the next-token distribution.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from pipelines.method.fused import fused

_MASKED = -1e4  # what a masked logit counts as: its exponential is 0, its product with 0 too


class Spread(NamedTuple):
    """What EDT needs of a softmax over the vocabulary. Each [rows], float32."""

    top: Tensor  # the largest logit
    log_z: Tensor  # log of the sum of exp(logit - top)
    mean: Tensor  # expected logit - top


def spread(logits: Tensor, rows: Tensor) -> Spread:
    """logits: [batch, vocab], unscaled, -inf where masked; rows: the rows to look at, int64."""
    return Spread(*_spread(logits, rows))


def edt_temperature(
    of: Spread, t0: Tensor, base: Tensor, theta: Tensor, paper_code: bool = False
) -> Tensor:
    """T = t0 * base ** (theta / H) for every row (arXiv 2403.14541, equation 2).

    t0, base, theta: [rows]. Returns [rows], float32. H is the entropy in nats. A certain row
    (H = 0) gets T = 0 when 0 < base < 1 and theta > 0; theta = 0 is a fixed temperature.
    `paper_code` takes H + log p_max for H, which is what the paper's public code computes (its
    sum leaves out log Z).
    """
    # abs: a negative zero would send the exponent to minus infinity.
    entropy = (-of.mean if paper_code else of.log_z - of.mean).clamp_min(0.0).abs()
    exponent = torch.where(theta == 0, torch.zeros_like(entropy), theta / entropy)
    return t0 * base**exponent


@fused
def _spread(logits: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    scores = logits[rows].float()
    top = scores.amax(dim=-1)
    shifted = (scores - top[:, None]).clamp_min(_MASKED)
    p = shifted.exp()
    z = p.sum(dim=-1)
    return top, z.log(), (p * shifted).sum(dim=-1) / z
