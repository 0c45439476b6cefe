"""EDT's rewrite of a batch of logits on a GPU: three Triton kernels, and no wait for the device.

The same numbers as edt_rewrite.py's; here each row's request is looked up on the device, so that
the host hands over three launches a step and nothing else. A row is read twice: once for its
entropy, once to sum it by blocks. The second time leaves out what cannot
matter: a block whose largest logit is exp(-34) of the row's at the row's temperature. That is less
than a billionth of the distribution, a hundredth of what float32 rounds away, and most of it for a
language model's usual row.

A fourth kernel finds the least logit that a draw with top_p takes, where a row of the batch has it.
"""

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from pipelines.engine.edt_rewrite import Change, Requests
from pipelines.method.keyed_draw import BLOCK

# A program reads so many blocks of a row, whatever the batch, so that a row's sums do not depend on
# what else is in it. Other sizes were not compared on rows that are read twice.
_SHARE = tl.constexpr(16)
_WARPS = 4

_SCALE = tl.constexpr(int(Change.SCALE))
_DRAW = tl.constexpr(int(Change.DRAW))
_DRAW_TOP_P = tl.constexpr(int(Change.DRAW_TOP_P))
_TOKENS = tl.constexpr(BLOCK)
_MASKED = tl.constexpr(-1e4)  # as edt.py's
_NOTHING = tl.constexpr(-34.0)
_LARGEST = tl.constexpr(torch.finfo(torch.float32).max)


def rewrite(
    logits: Tensor, slots: Tensor, positions: Tensor, requests: Requests, changes: np.ndarray
) -> None:
    """Rewrites logits [rows, vocab], float32, in place, as each row's request says.

    slots: [rows], each one's place in `requests`; positions: [rows], of the token that is drawn.
    Both int64, and all on the device of the logits. changes: of the requests that are here, on the
    host.
    """
    assert logits.dtype == torch.float32
    assert logits.stride(1) == 1
    rows, vocab = logits.shape
    shares = triton.cdiv(vocab, _SHARE.value * BLOCK)
    # Of each row: its blocks' largest logits, their sums, three numbers a share, and three.
    blocks = shares * _SHARE.value
    work = torch.empty(rows, 2 * blocks + 3 * shares + 3, device=logits.device)
    every = (logits, logits.stride(0), vocab, slots, requests.change, work, shares)
    _first_pass[(rows, shares)](*every, num_warps=_WARPS)
    parts = triton.next_power_of_2(shares)
    _second_pass[(rows, shares)](*every, requests.settings, parts=parts, num_warps=_WARPS)
    sums = triton.next_power_of_2(blocks)
    some_top_p = bool((changes == Change.DRAW_TOP_P).any())
    if some_top_p:
        _nucleus[(rows,)](*every, requests.settings, sums=sums, num_warps=_WARPS)
    _pick[(rows,)](*every, requests.key, positions, sums=sums, some_top_p=some_top_p, num_warps=4)


@triton.jit
def _row_of_work(work, row, shares):
    """Pointers to a row's part of `work`: largest logits, sums, numbers of shares, and of the row:
    its largest logit, its temperature, and the least logit that it draws."""
    blocks = shares * _SHARE
    start = work + row.to(tl.int64) * (2 * blocks + 3 * shares + 3)
    return start, start + blocks, start + 2 * blocks, start + 2 * blocks + 3 * shares


@triton.jit
def _tile(logits, stride, vocab, row, share):
    """A program's share of a row: its blocks, pointers [_SHARE, _TOKENS], which are in the row."""
    block = share * _SHARE + tl.arange(0, _SHARE)
    token = block[:, None] * _TOKENS + tl.arange(0, _TOKENS)[None, :]
    return block, logits + row.to(tl.int64) * stride + token, token < vocab


@triton.jit
def _first_pass(logits, stride, vocab, slots, change, work, shares):
    """Of a share of a row: the largest logit, the sum of exp(logit - that), and the sum of its
    product with (logit - that); and of each block the largest."""
    row, share = tl.program_id(0), tl.program_id(1)
    if tl.load(change + tl.load(slots + row)) == 0:
        return
    block_tops, _, parts, _ = _row_of_work(work, row, shares)
    block, at, inside = _tile(logits, stride, vocab, row, share)
    x = tl.load(at, mask=inside, other=float("-inf"))
    tops = tl.max(x, axis=1)
    top = tl.max(tops, axis=0)
    shifted = tl.maximum(x - tl.maximum(top, _MASKED), _MASKED)
    p = tl.exp(shifted)
    tl.store(block_tops + block, tops)
    tl.store(parts + share, top)
    tl.store(parts + shares + share, tl.sum(tl.sum(p, axis=1), axis=0))
    tl.store(parts + 2 * shares + share, tl.sum(tl.sum(p * shifted, axis=1), axis=0))


@triton.jit
def _second_pass(
    logits, stride, vocab, slots, change, work, shares, settings, parts: tl.constexpr
):  # fmt: skip
    """The row's temperature; then its blocks' sums at it, or the row divided or normalized."""
    row, share = tl.program_id(0), tl.program_id(1)
    slot = tl.load(slots + row)
    what = tl.load(change + slot)
    if what == 0:
        return
    block_tops, block_sums, part, facts = _row_of_work(work, row, shares)
    # The shares of the row together.
    each = tl.arange(0, parts)
    tops = tl.load(part + each, mask=each < shares, other=float("-inf"))
    z_of = tl.load(part + shares + each, mask=each < shares, other=0.0)
    mean_of = tl.load(part + 2 * shares + each, mask=each < shares, other=0.0)
    top = tl.max(tops, axis=0)
    apart = tl.maximum(tops - top, _MASKED)
    weights = tl.exp(apart)
    z = tl.sum(weights * z_of, axis=0)
    mean = tl.sum(weights * (mean_of + z_of * apart), axis=0) / z
    log_z = tl.log(z)
    # T = t0 * base ** (theta / H)
    t0, base = tl.load(settings + 5 * slot), tl.load(settings + 5 * slot + 1)
    theta, paper_code = tl.load(settings + 5 * slot + 2), tl.load(settings + 5 * slot + 3)
    entropy = tl.maximum(tl.where(paper_code != 0, -mean, log_z - mean), 0.0)
    fall = tl.log2(base) * theta
    exponent = tl.where(fall == 0.0, 0.0, fall / tl.abs(entropy))
    temperature = t0 * tl.exp2(exponent)

    block, at, inside = _tile(logits, stride, vocab, row, share)
    if (what == _DRAW) | (what == _DRAW_TOP_P):
        temperature = tl.maximum(temperature, 1e-6)
        matters = (tl.load(block_tops + block) - top) / temperature > _NOTHING
        x = tl.load(at, mask=inside & matters[:, None], other=float("-inf"))
        tl.store(block_sums + block, tl.sum(tl.exp((x - top) / temperature), axis=1))
        if share == 0:
            tl.store(facts, top)
            tl.store(facts + 1, temperature)
            tl.store(facts + 2, float("-inf"))
    else:
        x = tl.load(at, mask=inside, other=0.0)
        scaled = x / tl.maximum(temperature, 1e-5)
        tl.store(at, tl.where(what == _SCALE, scaled, x - top - log_z), mask=inside)


@triton.jit
def _nucleus(
    logits, stride, vocab, slots, change, work, shares, settings, sums: tl.constexpr
):  # fmt: skip
    """Of a row that draws with top_p: its least logit that is drawn, and its blocks' sums without
    those below that. A logit is drawn if those above it have less than top_p together.

    The float32 numbers from the row's largest down to what matters are halved, in their order as
    integers, until one is left: 32 times at most. Blocks that are below it are not read.
    """
    row = tl.program_id(0)
    slot = tl.load(slots + row)
    if tl.load(change + slot) != _DRAW_TOP_P:
        return
    block_tops, block_sums, _, facts = _row_of_work(work, row, shares)
    top, temperature = tl.load(facts), tl.load(facts + 1)
    each = tl.arange(0, sums)
    mass = tl.load(block_sums + each, mask=each < shares * _SHARE, other=0.0).to(tl.float64)
    wanted = tl.load(settings + 5 * slot + 4).to(tl.float64) * tl.sum(mass, axis=0)
    high, low = _ordered(top), _ordered(top + _NOTHING * temperature) - 1
    while high - low > 1:
        middle = low + (high - low) // 2
        above = _mass_above(
            logits, stride, vocab, row, shares, block_tops, _number(middle), top, temperature
        )
        high = tl.where(above < wanted, middle, high)
        low = tl.where(above < wanted, low, middle)
    least = _number(high)
    tl.store(facts + 2, least)
    for share in range(shares):
        block, at, inside = _tile(logits, stride, vocab, row, share)
        matters = tl.load(block_tops + block) >= least
        x = tl.load(at, mask=inside & matters[:, None], other=float("-inf"))
        p = tl.where(x >= least, tl.exp((x - top) / temperature), 0.0)
        tl.store(block_sums + block, tl.sum(p, axis=1))


@triton.jit
def _mass_above(logits, stride, vocab, row, shares, block_tops, bound, top, temperature):
    """Of the row's logits above a bound: the sum of exp((logit - top) / temperature), float64."""
    mass = tl.zeros((), tl.float64)
    for share in range(shares):
        block, at, inside = _tile(logits, stride, vocab, row, share)
        matters = tl.load(block_tops + block) > bound
        x = tl.load(at, mask=inside & matters[:, None], other=float("-inf"))
        p = tl.where(x > bound, tl.exp((x - top) / temperature), 0.0)
        mass += tl.sum(tl.sum(p, axis=1).to(tl.float64), axis=0)
    return mass


@triton.jit
def _ordered(x):
    """A float32 number as an int64, so that the integers are in the order of the numbers."""
    bits = x.to(tl.int32, bitcast=True)
    return tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits).to(tl.int64)


@triton.jit
def _number(ordered):
    """The inverse of `_ordered`."""
    bits = ordered.to(tl.int32)
    return tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits).to(tl.float32, bitcast=True)


@triton.jit
def _pick(
    logits, stride, vocab, slots, change, work, shares, keys, positions, sums: tl.constexpr,
    some_top_p: tl.constexpr,
):  # fmt: skip
    """The token at the row's uniform number gets the largest number there is."""
    row = tl.program_id(0)
    slot = tl.load(slots + row)
    what = tl.load(change + slot)
    if (what != _DRAW) & (what != _DRAW_TOP_P):
        return
    _, block_sums, _, facts = _row_of_work(work, row, shares)
    top, temperature = tl.load(facts), tl.load(facts + 1)
    block = tl.arange(0, sums)
    weight = tl.load(block_sums + block, mask=block < shares * _SHARE, other=0.0).to(tl.float64)
    target = _uniform(tl.load(keys + slot), tl.load(positions + row)) * tl.sum(weight, axis=0)
    passed = tl.sum((tl.cumsum(weight, axis=0) <= target).to(tl.int32), axis=0)
    # Rounding can leave the target past the last positive weight: take that one.
    chosen = tl.minimum(passed, tl.max(tl.where(weight > 0, block, 0), axis=0))
    before = tl.sum(tl.where(block < chosen, weight, 0.0), axis=0)
    target = tl.maximum(target, before)  # added up in another order

    place = tl.arange(0, _TOKENS)
    token = chosen * _TOKENS + place
    row_at = logits + row.to(tl.int64) * stride
    x = tl.load(row_at + token, mask=token < vocab, other=float("-inf"))
    if some_top_p:
        x = tl.where(x >= tl.load(facts + 2), x, float("-inf"))
    weight = tl.exp((x - top) / temperature).to(tl.float64)
    passed = tl.sum((before + tl.cumsum(weight, axis=0) <= target).to(tl.int32), axis=0)
    within = tl.minimum(passed, tl.max(tl.where(weight > 0, place, 0), axis=0))
    tl.store(row_at + chosen * _TOKENS + within, _LARGEST)


@triton.jit
def _uniform(key, position):
    """splitmix64 of (key, position) in [0, 1), float64: keyed_draw.uniforms."""
    x = key.to(tl.uint64) + (position + 1).to(tl.uint64) * 0x9E3779B97F4A7C15
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB
    return ((x ^ (x >> 31)) >> 11).to(tl.float64) * 1.1102230246251565e-16
