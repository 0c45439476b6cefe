"""What a distribution over the vocabulary says of the token drawn from it; torch on any device."""

import torch
from torch import Tensor

from pipelines.method.token_confidences import TOP


def token_facts(logits: Tensor, tokens: Tensor) -> Tensor:
    """TokenFacts of tokens [rows] under logits [rows, vocab], at a temperature of 1.

    Returns [rows, 3], float32: a field a column.
    """
    logits = logits.float()
    log_z = logits.logsumexp(-1)
    own = logits.gather(-1, tokens[:, None]).squeeze(-1)
    top = logits.topk(min(TOP, logits.shape[-1]), dim=-1).values
    logs = top.log_softmax(-1)
    # Of what is masked: a probability of 0 takes no part in an entropy.
    entropy = -torch.where(logs.isneginf(), 0.0, logs.exp() * logs).sum(-1)
    return torch.stack([own - log_z, top.mean(-1) - log_z, entropy], dim=-1)
