"""A drawn token's facts, on their way from the sampler to who asked for the draw.

vLLM reports values of a row's logits at token ids that a request names. Once a row's token is
drawn, its other logits say nothing any more: so the facts are left there, at the first ids of the
vocabulary that are not the drawn token's. Nothing is read back from the device for it.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from vllm.logprobs import Logprob

from pipelines.method.token_confidences import TokenFacts
from pipelines.method.token_facts import token_facts

IDS = tuple(range(len(TokenFacts._fields) + 1))  # what a request names: one may be the drawn token


def leave(logits: Tensor, rows: Tensor, before: Tensor) -> None:
    """Leaves the facts of each row's token, its largest logit, in logits [batch, vocab].

    rows: [rows], int64; before: their logits as the model gave them, [rows, vocab].
    """
    drawn = logits.argmax(-1)[rows]  # of all rows: it takes no copy
    places = torch.arange(len(IDS) - 1, device=logits.device).expand(len(rows), -1)
    places = places + (places >= drawn[:, None])
    logits[rows[:, None], places] = token_facts(before, drawn)
    logits[rows, drawn] = torch.finfo(logits.dtype).max


def take(token: int, reported: dict[int, Logprob] | None) -> list[float]:
    """A drawn token's facts, of what vLLM reports of its row."""
    assert reported, "the engine told nothing of a token"
    return [reported[i].logprob for i in IDS if i != token][: len(IDS) - 1]


def facts_of(taken: Sequence[list[float]]) -> TokenFacts | None:
    """Of a response's tokens, each one's as it was taken; None of none."""
    return TokenFacts(*np.array(taken).T) if taken else None
