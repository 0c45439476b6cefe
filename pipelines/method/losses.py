"""The joint loss (arXiv 2503.00031, equation 3), from one forward over whole sequences."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, smooth_l1_loss

from pipelines.method.prompts import Prompts


class JointLoss(NamedTuple):
    """Sums over rows, [] float: so those of micro-batches add up to the batch's."""

    total: Tensor  # calibration + omega * generation, what is minimized
    calibration: Tensor  # weight * SmoothL1(c, target)
    generation: Tensor  # the cross entropy before omega


def joint_loss(
    confidence: Tensor,
    target: Tensor,
    weight: Tensor,
    token_logits: Tensor,
    labels: Tensor,
    share: Tensor,
    *,
    omega: float,
    beta: float,
) -> JointLoss:
    """L = weight * SmoothL1(c, SSC; beta) + omega * CE(y | x), a sum over rows.

    Which rows have which term is the caller's to say. confidence, target, weight: [rows], of
    those with the first; c and SSC in [0, 1]. token_logits: [tokens, vocab], of those with the
    second, the logits that predict labels [tokens]. share: [tokens], one over the number of
    labels in the token's row: CE is a mean over a response, so long ones weigh no more than short.
    """
    calibration = weight @ smooth_l1_loss(confidence, target, beta=beta, reduction="none")
    generation = share @ cross_entropy(token_logits.float(), labels, reduction="none")
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
    is_yes = torch.tensor(["Yes" in decode([i]) for i in ids.flatten().tolist()], dtype=top.dtype)
    return (top * is_yes.to(top.device).reshape(top.shape)).sum(dim=-1).clamp(max=1.0)
