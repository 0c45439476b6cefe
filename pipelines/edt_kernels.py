"""EDT's rewrite of a batch of logits on a GPU: three Triton kernels, and no wait for the device.

The same numbers as edt.py's, which is the reading of the paper; here each row's request is looked
up on the device, so that the host hands over three launches a step and nothing else. A row is read
twice: once for its entropy, once to sum it by blocks. The second time leaves out what cannot
matter: a block whose largest logit is exp(-34) of the row's at the row's temperature. That is less
than a billionth of the distribution, a hundredth of what float32 rounds away, and most of it for a
language model's usual row.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from pipelines.edt import BLOCK, Change, Requests

# A program's share of a row: so many blocks, whatever the batch, so that a row's sums do not
# depend on what else is in it.
_SHARE = 32
_WARPS = 8

_SCALE = tl.constexpr(int(Change.SCALE))
_DRAW = tl.constexpr(int(Change.DRAW))
_NORMALIZE = tl.constexpr(int(Change.NORMALIZE))
_TOKENS = tl.constexpr(BLOCK)
_MASKED = tl.constexpr(-1e4)  # as edt.py's
_NOTHING = tl.constexpr(-34.0)
_LARGEST = tl.constexpr(torch.finfo(torch.float32).max)


def rewrite(logits: Tensor, slots: Tensor, positions: Tensor, requests: Requests) -> None:
    """Rewrites logits [rows, vocab], float32, in place, as each row's request says.

    slots: [rows], the place of each row's request in `requests`; positions: [rows], int64, of the
    token that is drawn. All on the device of the logits.
    """
    assert logits.dtype == torch.float32
    assert logits.stride(1) == 1
    rows, vocab = logits.shape
    shares = triton.cdiv(vocab, _SHARE * BLOCK)
    blocks = shares * _SHARE
    made = {"device": logits.device, "dtype": torch.float32}
    block_tops = torch.empty(rows, blocks, **made)
    block_sums = torch.empty(rows, blocks, **made)
    parts = torch.empty(rows, 3, shares, **made)
    row_facts = torch.empty(rows, 2, **made)
    every: Any = (logits, logits.stride(0), vocab, slots, requests.change)
    _spread[(rows, shares)](*every, block_tops, parts, SHARE=_SHARE, num_warps=_WARPS)
    _second_pass[(rows, shares)](
        *every, requests.t0, requests.base, requests.theta, requests.paper_code,
        block_tops, parts, block_sums, row_facts, shares,
        SHARE=_SHARE, SHARES=triton.next_power_of_2(shares), num_warps=_WARPS,
    )  # fmt: skip
    _pick[(rows,)](
        *every, requests.key, positions, block_sums, row_facts, blocks,
        BLOCKS=triton.next_power_of_2(blocks), num_warps=4,
    )  # fmt: skip


@triton.jit
def _tile(logits, stride, vocab, row, share, SHARE: tl.constexpr):
    """Pointers to a program's share of a row, [SHARE, _TOKENS], and which are inside of it."""
    block = share * SHARE + tl.arange(0, SHARE)
    token = block[:, None] * _TOKENS + tl.arange(0, _TOKENS)[None, :]
    return logits + row.to(tl.int64) * stride + token, token < vocab


@triton.jit
def _spread(
    logits, stride, vocab, slots, change, block_tops, parts, SHARE: tl.constexpr
):  # fmt: skip
    """Of a share of a row: its largest logit, the sum of exp(logit - that), and of its product
    with (logit - that); and each block's largest."""
    row, share = tl.program_id(0), tl.program_id(1)
    if tl.load(change + tl.load(slots + row)) == 0:
        return
    at, inside = _tile(logits, stride, vocab, row, share, SHARE)
    x = tl.load(at, mask=inside, other=float("-inf"))
    tops = tl.max(x, axis=1)
    top = tl.max(tops, axis=0)
    shifted = tl.maximum(x - tl.maximum(top, _MASKED), _MASKED)
    p = tl.exp(shifted)
    shares = tl.num_programs(1)
    tl.store(block_tops + (row * shares + share) * SHARE + tl.arange(0, SHARE), tops)
    part = parts + row * 3 * shares + share
    tl.store(part, top)
    tl.store(part + shares, tl.sum(tl.sum(p, axis=1), axis=0))
    tl.store(part + 2 * shares, tl.sum(tl.sum(p * shifted, axis=1), axis=0))


@triton.jit
def _second_pass(
    logits, stride, vocab, slots, change, t0, base, theta, paper_code,
    block_tops, parts, block_sums, row_facts, shares, SHARE: tl.constexpr, SHARES: tl.constexpr
):  # fmt: skip
    """The row's temperature; then its blocks' sums at it, or the row divided or normalized."""
    row, share = tl.program_id(0), tl.program_id(1)
    slot = tl.load(slots + row)
    what = tl.load(change + slot)
    if what == 0:
        return
    # The parts of the row together.
    each = tl.arange(0, SHARES)
    part, there = parts + row * 3 * shares + each, each < shares
    tops = tl.load(part, mask=there, other=float("-inf"))
    top = tl.max(tops, axis=0)
    apart = tl.maximum(tops - top, _MASKED)
    z_parts = tl.load(part + shares, mask=there, other=0.0)
    means = tl.load(part + 2 * shares, mask=there, other=0.0)
    weights = tl.exp(apart)
    z = tl.sum(weights * z_parts, axis=0)
    mean = tl.sum(weights * (means + z_parts * apart), axis=0) / z
    log_z = tl.log(z)
    # T = t0 * base ** (theta / H)
    entropy = tl.maximum(tl.where(tl.load(paper_code + slot) != 0, -mean, log_z - mean), 0.0)
    fall = tl.log2(tl.load(base + slot)) * tl.load(theta + slot)
    exponent = tl.where(fall == 0.0, 0.0, fall / tl.abs(entropy))
    temperature = tl.load(t0 + slot) * tl.exp2(exponent)

    at, inside = _tile(logits, stride, vocab, row, share, SHARE)
    if what == _DRAW:
        temperature = tl.maximum(temperature, 1e-6)
        place = (row * shares + share) * SHARE + tl.arange(0, SHARE)
        matters = (tl.load(block_tops + place) - top) / temperature > _NOTHING
        x = tl.load(at, mask=inside & matters[:, None], other=float("-inf"))
        tl.store(block_sums + place, tl.sum(tl.exp((x - top) / temperature), axis=1))
        if share == 0:
            tl.store(row_facts + 2 * row, top)
            tl.store(row_facts + 2 * row + 1, temperature)
    else:
        x = tl.load(at, mask=inside, other=0.0)
        scaled = x / tl.maximum(temperature, 1e-5)
        tl.store(at, tl.where(what == _SCALE, scaled, x - top - log_z), mask=inside)


@triton.jit
def _pick(
    logits, stride, vocab, slots, change, keys, positions, block_sums, row_facts, blocks,
    BLOCKS: tl.constexpr
):  # fmt: skip
    """The token at the row's uniform number, and the largest logit to it."""
    row = tl.program_id(0)
    slot = tl.load(slots + row)
    if tl.load(change + slot) != _DRAW:
        return
    top, temperature = tl.load(row_facts + 2 * row), tl.load(row_facts + 2 * row + 1)
    block = tl.arange(0, BLOCKS)
    sums = tl.load(block_sums + row * blocks + block, mask=block < blocks, other=0.0)
    sums = sums.to(tl.float64)
    total = tl.sum(sums, axis=0)
    target = _uniform(tl.load(keys + slot), tl.load(positions + row)) * total
    passed = tl.sum((tl.cumsum(sums, axis=0) <= target).to(tl.int32), axis=0)
    # Rounding can leave the target past the last positive weight: take that one.
    chosen = tl.minimum(passed, tl.max(tl.where(sums > 0, block, 0), axis=0))
    before = tl.sum(tl.where(block < chosen, sums, 0.0), axis=0)

    place = tl.arange(0, _TOKENS)
    token = chosen * _TOKENS + place
    row_at = logits + row.to(tl.int64) * stride
    x = tl.load(row_at + token, mask=token < vocab, other=float("-inf"))
    inside = tl.exp((x - top) / temperature).to(tl.float64)
    passed = tl.sum((before + tl.cumsum(inside, axis=0) <= target).to(tl.int32), axis=0)
    within = tl.minimum(passed, tl.max(tl.where(inside > 0, place, 0), axis=0))
    tl.store(row_at + chosen * _TOKENS + within, _LARGEST)


@triton.jit
def _uniform(key, position):
    """splitmix64 of (key, position) in [0, 1), float64: edt.uniforms."""
    x = key.to(tl.uint64) + (position + 1).to(tl.uint64) * 0x9E3779B97F4A7C15
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB
    return ((x ^ (x >> 31)) >> 11).to(tl.float64) * 1.1102230246251565e-16
