"""The joint loss (arXiv 2503.00031, equation 3), from one forward over whole sequences."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, smooth_l1_loss

from pipelines.method.prompts import Prompts


class JointLoss(NamedTuple):
    """Means over the rows of a batch: `total` is what is minimized."""

    total: Tensor
    calibration: Tensor  # SmoothL1(c, target), [] float
    generation: Tensor  # the masked cross entropy before omega, [] float


def joint_loss(
    confidence: Tensor,
    target: Tensor,
    token_logits: Tensor,
    token_ids: Tensor,
    token_row: Tensor,
    *,
    omega: float,
    eta: float,
    beta: float,
) -> JointLoss:
    """L = SmoothL1(c, SSC; beta) + omega * 1[SSC > eta] * CE(y | x), a mean over rows.

    confidence, target: [rows], c and SSC in [0, 1]. token_logits: [tokens, vocab], the logits
    that predict token_ids [tokens], token_row [tokens] the row of each; rows with SSC <= eta
    may be left out, as their cross entropy counts for nothing.
    CE is a mean over the response's own tokens, so long responses weigh no more than short.
    """
    rows = confidence.shape[0]
    calibration = smooth_l1_loss(confidence, target, beta=beta, reduction="mean")
    nll = cross_entropy(token_logits.float(), token_ids, reduction="none")
    counts = torch.zeros(rows, device=nll.device).index_add(0, token_row, torch.ones_like(nll))
    ce = torch.zeros(rows, device=nll.device).index_add(0, token_row, nll)
    ce = ce / counts.clamp_min(1.0)
    generation = (ce * (target > eta)).mean()
    return JointLoss(calibration + omega * generation, calibration.detach(), generation.detach())


def confidence_of(logits: Tensor, kind: str, prompts: Prompts) -> Tensor:
    """c = P(True) from the last position's logits [rows, vocab], as prompts.confidence; [rows]."""
    if kind == "yes_no":
        return (logits[:, prompts.yes_id] - logits[:, prompts.no_id]).sigmoid()
    p = logits.softmax(dim=-1)
    if kind == "yes":
        return p[:, prompts.yes_id]
    top, ids = p.topk(20, dim=-1)
    decode = prompts.tokenizer.decode
    is_yes = [["Yes" in decode([i]) for i in row] for row in ids.tolist()]
    return (top * torch.tensor(is_yes, device=top.device)).sum(dim=-1).clamp(max=1.0)
