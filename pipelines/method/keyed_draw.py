"""Draws by key: seeded sampling that is free of order; torch on any device.

A draw is the inverse CDF at one uniform number, a hash of (request key, position): exact sampling
that depends on nothing else in the batch, at the cost of one number a row.
"""

import torch
from torch import Tensor

from pipelines.method.fused import fused

BLOCK = 256  # tokens a block of the two-level inverse CDF


def inverse_cdf(
    logits: Tensor, rows: Tensor, top: Tensor, temperature: Tensor, u: Tensor
) -> Tensor:
    """The token at cumulative probability u of softmax(logits / temperature), for every row.

    logits: [batch, vocab]; rows: [rows], int64; top: their largest logits; temperature: [rows]
    >= 0 (0 is greedy); u: [rows] in [0, 1), float64. Returns token ids [rows], int64. Blocks of
    the vocabulary are summed in float32 and added up in float64, as is the one block that holds
    u, so no small probability is rounded away.
    """
    temperature = temperature.clamp_min(1e-6)  # 0 / 0 at a greedy row's maximum would be nan
    totals = _block_sums(logits, rows, top, temperature)
    totals = totals.to(torch.float64).cumsum(dim=-1)
    target = u.to(torch.float64) * totals[:, -1]
    # Rounding can leave the target past the last positive weight: take that one.
    last = torch.searchsorted(totals, totals[:, -1:].contiguous())
    last = last.clamp_max(totals.shape[1] - 1)  # of a row of nan, too
    block = torch.minimum(torch.searchsorted(totals, target[:, None], right=True), last)
    before = torch.where(block > 0, totals.gather(1, (block - 1).clamp_min(0)), 0.0)
    tokens = block * BLOCK + torch.arange(BLOCK, device=logits.device)
    vocab = logits.shape[1]
    held = logits[rows[:, None], tokens.clamp_max(vocab - 1)]
    inside = torch.where(tokens < vocab, _weights(held, top, temperature), 0.0).to(torch.float64)
    cumulative = before + inside.cumsum(dim=-1)
    within = (cumulative <= target[:, None]).sum(dim=-1)
    last = BLOCK - 1 - (inside.flip(-1) > 0).to(torch.int8).argmax(dim=-1)
    return (block.squeeze(1) * BLOCK + torch.minimum(within, last)).clamp_max(vocab - 1)


def nucleus(logits: Tensor, top: Tensor, temperature: Tensor, top_p: Tensor) -> Tensor:
    """The logits of the likeliest tokens that have a mass of top_p together; -inf for the others.

    logits: [rows, vocab]; the others: [rows]. It is the smallest such set of softmax(logits /
    temperature) (arXiv 1904.09751), and what is as likely as its least likely token: a token is in
    it if those that are likelier have less than top_p. So the likeliest is, whatever top_p.
    """
    temperature = temperature.clamp_min(1e-6)
    falling = logits.sort(dim=-1, descending=True).values
    mass = _weights(falling, top, temperature).to(torch.float64)
    before = mass.cumsum(dim=-1)
    wanted = top_p.to(torch.float64) * before[:, -1]
    inside = (before - mass < wanted[:, None]).sum(dim=-1, keepdim=True)
    least = falling.gather(1, (inside - 1).clamp_min(0))  # of a row of nan none is inside
    return logits.masked_fill(logits < least, -torch.inf)


@fused
def _block_sums(logits: Tensor, rows: Tensor, top: Tensor, temperature: Tensor) -> Tensor:
    weights = _weights(logits[rows], top, temperature)
    blocks = -(-weights.shape[1] // BLOCK)
    padded = torch.nn.functional.pad(weights, (0, blocks * BLOCK - weights.shape[1]))
    return padded.view(weights.shape[0], blocks, BLOCK).sum(dim=-1)


def _weights(logits: Tensor, top: Tensor, temperature: Tensor) -> Tensor:
    """exp((logit - top) / temperature): [rows, tokens], float32, 1 at a row's maximum."""
    return ((logits.float() - top[:, None]) / temperature[:, None]).exp()


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
