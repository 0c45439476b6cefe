"""Entropy-based dynamic temperature and seeded, order-free sampling; torch on any device.

EDT (Zhang et al. 2024, arXiv 2403.14541; used by arXiv 2503.00031, section 4.1) sets the
temperature of every decoding step from the entropy of the next-token distribution. A draw is
the inverse CDF at one uniform number, a hash of (request key, position): exact sampling that
depends on nothing else in the batch, at the cost of one number a row.
"""

import math
from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

BLOCK = 256  # tokens a block of the two-level inverse CDF
_MASKED = -1e4  # what a masked logit counts as: its exponential is 0, its product with 0 too
_WORTH_FUSING = 2**20  # logits below which a fused pass (3 s to load) is not worth its start


class Change(IntEnum):
    """What becomes of a row of logits."""

    NONE = 0
    SCALE = 1  # divided by EDT's temperature; the engine draws
    DRAW = 2  # the drawn token's becomes the largest number: the engine's argmax is the draw
    NORMALIZE = 3  # log-probabilities


class Requests(NamedTuple):
    """What each request asks for. A row of logits has the slot of its request."""

    change: Tensor  # [slots], int32: of Change
    key: Tensor  # [slots], int64: of the draws
    # [slots, 4], float32: T0, base, theta, and 1 for the entropy of the paper's public code
    settings: Tensor


def rewrite(
    logits: Tensor, slots: Tensor, positions: Tensor, requests: Requests, changes: np.ndarray
) -> None:
    """Rewrites logits [rows, vocab] in place, as each row's request says.

    slots: [rows]; positions: [rows], int64, of the token that is drawn. changes: [rows], each
    row's `requests.change`, on the host: nothing is read back from the device.
    """
    for change in (Change.SCALE, Change.DRAW, Change.NORMALIZE):
        rows = torch.from_numpy(np.flatnonzero(changes == change)).to(logits.device)
        if not len(rows):
            continue
        if change == Change.NORMALIZE:
            logits[rows] = logits[rows].log_softmax(-1)
            continue
        of = spread(logits, rows)
        slot = slots[rows]
        t0, base, theta, paper_code = requests.settings[slot].unbind(1)
        temperature = torch.where(
            paper_code != 0,
            edt_temperature(of, t0, base, theta, paper_code=True),
            edt_temperature(of, t0, base, theta),
        )
        if change == Change.SCALE:
            logits[rows] = logits[rows] / temperature.clamp_min(1e-5)[:, None]
            continue
        u = uniforms(requests.key[slot], positions[rows])
        tokens = inverse_cdf(logits, rows, of.top, temperature, u)
        logits[rows, tokens] = torch.finfo(logits.dtype).max


class Spread(NamedTuple):
    """What EDT needs of a softmax over the vocabulary. Each [rows], float32."""

    top: Tensor  # the largest logit
    log_z: Tensor  # log of the sum of exp(logit - top)
    mean: Tensor  # expected logit - top


def spread(logits: Tensor, rows: Tensor) -> Spread:
    """logits: [batch, vocab], unscaled, -inf where masked; rows: the rows to look at, int64."""
    return Spread(*_fused(_spread, logits, rows))


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
    totals = _fused(_block_sums, logits, rows, top, temperature)
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


def _spread(logits: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    scores = logits[rows].float()
    top = scores.amax(dim=-1)
    shifted = (scores - top[:, None]).clamp_min(_MASKED)
    p = shifted.exp()
    z = p.sum(dim=-1)
    return top, z.log(), (p * shifted).sum(dim=-1) / z


def _block_sums(logits: Tensor, rows: Tensor, top: Tensor, temperature: Tensor) -> Tensor:
    weights = _weights(logits[rows], top, temperature)
    blocks = -(-weights.shape[1] // BLOCK)
    padded = torch.nn.functional.pad(weights, (0, blocks * BLOCK - weights.shape[1]))
    return padded.view(weights.shape[0], blocks, BLOCK).sum(dim=-1)


def _weights(logits: Tensor, top: Tensor, temperature: Tensor) -> Tensor:
    """exp((logit - top) / temperature): [rows, tokens], float32, 1 at a row's maximum."""
    return ((logits.float() - top[:, None]) / temperature[:, None]).exp()


_COMPILED = {one: torch.compile(one, dynamic=True) for one in (_spread, _block_sums)}


def _fused(function: Callable[..., Any], logits: Tensor, *more: Tensor) -> Any:
    """One pass over the logits and no copy of them, where eager torch makes eight.

    For 256 rows of 49,152 on two cores: 13 ms where eager takes 200.
    """
    large = logits.numel() >= _WORTH_FUSING
    return (_COMPILED[function] if large else function)(logits, *more)


def warm_up(rows: int, vocab: int, device: torch.device) -> None:
    """Compiles the fused passes ahead of the first batch, if batches of so many rows use them."""
    if rows * vocab < _WORTH_FUSING:
        return
    few = math.ceil(_WORTH_FUSING / vocab)
    with torch.inference_mode():  # as the engine calls them: what else was compiled would not do
        # One more than the rows to look at, or they would be compiled for equal numbers alone.
        logits = torch.zeros(few + 1, vocab, device=device)
        index = torch.arange(few, device=device)
        top = spread(logits, index).top
        inverse_cdf(logits, index, top, top + 1, top.double())


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
