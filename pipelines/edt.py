"""Entropy-based dynamic temperature and seeded, order-free sampling; torch on any device.

EDT (Zhang et al. 2024, arXiv 2403.14541; used by arXiv 2503.00031, section 4.1) sets the
temperature of every decoding step from the entropy of the next-token distribution. A draw is
the inverse CDF at one uniform number, a hash of (request key, position): exact sampling that
depends on nothing else in the batch, at the cost of one number a row.
"""

import torch
from torch import Tensor

_BLOCK = 256  # tokens a block of the two-level inverse CDF
_MASKED = -1e4  # what a masked logit counts as: its exponential is 0, its product with 0 too


def centered(logits: Tensor) -> Tensor:
    """Logits less their row's maximum, float32, as both functions below take them.

    A copy, which `inverse_cdf` may overwrite. A masked logit (-inf) stays finite.
    """
    return (logits.float() - logits.amax(dim=-1, keepdim=True).float()).clamp_min_(_MASKED)


def edt_temperature(
    shifted: Tensor, t0: Tensor, base: Tensor, theta: Tensor, paper_code: bool = False
) -> Tensor:
    """T = t0 * base ** (theta / H) for every row (arXiv 2403.14541, equation 2).

    shifted: [rows, vocab], centered, unscaled. t0, base, theta: [rows]. Returns [rows], float32.
    H is the entropy in nats. A certain row (H = 0) gets T = 0 when 0 < base < 1 and theta > 0;
    theta = 0 is a fixed temperature. `paper_code` takes H + log p_max for H, which is what the
    paper's public code computes (its sum leaves out log Z).
    """
    p = shifted.exp()
    z = p.sum(dim=-1)
    mean = torch.linalg.vecdot(p, shifted) / z
    # abs: a negative zero would send the exponent to minus infinity.
    entropy = (-mean if paper_code else z.log() - mean).clamp_min(0.0).abs()
    exponent = torch.where(theta == 0, torch.zeros_like(entropy), theta / entropy)
    return t0 * base**exponent


def inverse_cdf(shifted: Tensor, temperature: Tensor, u: Tensor) -> Tensor:
    """The token at cumulative probability u of softmax(logits / temperature), for every row.

    shifted: [rows, vocab], centered; overwritten. temperature: [rows] >= 0 (0 is greedy);
    u: [rows] in [0, 1), float64. Returns token ids [rows], int64. Blocks of the vocabulary are
    summed in float32 and added up in float64, as is the one block that holds u, so no small
    probability is rounded away.
    """
    rows, vocab = shifted.shape
    # 0 / 0 at the maximum of a greedy row would be nan.
    weights = shifted.div_(temperature.clamp_min(1e-6)[:, None]).exp_()
    blocks = -(-vocab // _BLOCK)
    if vocab % _BLOCK:
        weights = torch.nn.functional.pad(weights, (0, blocks * _BLOCK - vocab))
    weights = weights.view(rows, blocks, _BLOCK)
    totals = weights.sum(dim=-1).to(torch.float64).cumsum(dim=-1)
    target = u.to(torch.float64) * totals[:, -1]
    block = torch.searchsorted(totals, target[:, None], right=True).clamp_max(blocks - 1)
    before = torch.where(block > 0, totals.gather(1, (block - 1).clamp_min(0)), 0.0)
    index = block[:, :, None].expand(rows, 1, _BLOCK)
    inside = weights.gather(1, index).squeeze(1).to(torch.float64)
    cumulative = before + inside.cumsum(dim=-1)
    within = (cumulative <= target[:, None]).sum(dim=-1)
    # Rounding can leave u past the last positive weight of the block: take that one.
    last = _BLOCK - 1 - (inside.flip(-1) > 0).to(torch.int8).argmax(dim=-1)
    return block.squeeze(1) * _BLOCK + torch.minimum(within, last)


def uniforms(keys: Tensor, positions: Tensor) -> Tensor:
    """A uniform number in [0, 1) for each (key, position): splitmix64 (Steele et al. 2014).

    keys, positions: [rows], int64. Returns [rows], float64 with 53 random bits.
    """
    x = keys + (positions + 1) * _signed(0x9E3779B97F4A7C15)  # int64 wraps around, as it must
    x = (x ^ _shift_right(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shift_right(x, 27)) * _signed(0x94D049BB133111EB)
    x = x ^ _shift_right(x, 31)
    return _shift_right(x, 11).to(torch.float64) * 2.0**-53


def _signed(constant: int) -> int:
    return constant - 2**64 if constant >= 2**63 else constant


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """A logical shift: torch's own is arithmetic."""
    return (x >> bits) & (2 ** (64 - bits) - 1)
