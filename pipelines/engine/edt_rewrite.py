"""What the plugin makes of a batch of logits, in torch; on a GPU edt_kernels.py does the same.

A row gets EDT's temperature, a keyed draw at it, or its log-probabilities.
"""

import math
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipelines.method.edt import edt_temperature, spread
from pipelines.method.fused import WORTH_FUSING
from pipelines.method.keyed_draw import inverse_cdf, nucleus, uniforms


class Change(IntEnum):
    """What becomes of a row of logits."""

    NONE = 0
    SCALE = 1  # divided by EDT's temperature; the engine draws
    DRAW = 2  # the drawn token's becomes the largest number: the engine's argmax is the draw
    NORMALIZE = 3  # log-probabilities
    DRAW_TOP_P = 4  # as DRAW, from the likeliest tokens that have the mass top_p together


class Requests(NamedTuple):
    """What each request asks for. A row of logits has the slot of its request."""

    change: Tensor  # [slots], int32: of Change
    key: Tensor  # [slots], int64: of the draws
    # [slots, 5], float32: T0, base, theta, 1 for the entropy of the paper's public code, and top_p
    settings: Tensor


def rewrite(
    logits: Tensor, slots: Tensor, positions: Tensor, requests: Requests, changes: np.ndarray
) -> None:
    """Rewrites logits [rows, vocab] in place, as each row's request says.

    slots: [rows]; positions: [rows], int64, of the token that is drawn. changes: [rows], each
    row's `requests.change`, on the host: nothing is read back from the device.
    """
    for change in (Change.SCALE, Change.DRAW, Change.DRAW_TOP_P, Change.NORMALIZE):
        rows = torch.from_numpy(np.flatnonzero(changes == change)).to(logits.device)
        if not len(rows):
            continue
        if change == Change.NORMALIZE:
            logits[rows] = logits[rows].log_softmax(-1)
            continue
        of = spread(logits, rows)
        slot = slots[rows]
        t0, base, theta, paper_code, top_p = requests.settings[slot].unbind(1)
        temperature = torch.where(
            paper_code != 0,
            edt_temperature(of, t0, base, theta, paper_code=True),
            edt_temperature(of, t0, base, theta),
        )
        if change == Change.SCALE:
            logits[rows] = logits[rows] / temperature.clamp_min(1e-5)[:, None]
            continue
        u = uniforms(requests.key[slot], positions[rows])
        if change == Change.DRAW:
            tokens = inverse_cdf(logits, rows, of.top, temperature, u)
        else:
            every = torch.arange(len(rows), device=logits.device)
            kept = nucleus(logits[rows], of.top, temperature, top_p)
            tokens = inverse_cdf(kept, every, of.top, temperature, u)
        logits[rows, tokens] = torch.finfo(logits.dtype).max


def warm_up(rows: int, vocab: int, device: torch.device) -> None:
    """Compiles the fused passes ahead of the first batch, if batches of so many rows use them."""
    if rows * vocab < WORTH_FUSING:
        return
    few = math.ceil(WORTH_FUSING / vocab)
    with torch.inference_mode():  # as the engine calls them: what else was compiled would not do
        # One more than the rows to look at, or they would be compiled for equal numbers alone.
        logits = torch.zeros(few + 1, vocab, device=device)
        index = torch.arange(few, device=device)
        top = spread(logits, index).top
        inverse_cdf(logits, index, top, top + 1, top.double())
