"""Confidences that lie in a response's own tokens: nothing is asked for them, nothing is trained.

Of the model's own distribution at each token, at a temperature of 1 whatever the response was drawn
with, and of all tokens but the end token. In nats.

- mean_logprob: the mean log-probability of the tokens;
- tail_entropy: the entropy of the TOP likeliest tokens, whose probabilities are made to sum to 1
  (Sharma and Chopra 2025, arXiv 2510.08146, who average over all tokens, in bits), as a mean over
  the tail, the last `size` tokens;
- lowest_group (DeepConf: Fu et al. 2025, arXiv 2508.15260): a token's confidence is minus the mean
  log-probability of the TOP likeliest tokens, a group's its mean over `size` tokens in a row, and a
  response's that of its lowest group.

A shorter response is one group, and all tail. TOP is both papers', and vLLM's most.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from pipelines.method.metrics import Array

TOP = 20
P_TRUE = "p_true"  # the source beside these, for which the model is asked


class TokenFacts(NamedTuple):
    """Of a response's tokens, one or more; [tokens] each, in nats."""

    logprob: Array  # of each token
    top_logprob: Array  # the mean of the TOP likeliest tokens in its place
    top_entropy: Array  # of these, with probabilities that sum to 1


class Source(NamedTuple):
    """surer: 1 where a larger value is surer, -1 where a smaller one is."""

    of: Callable[[TokenFacts, int], float]
    surer: int


def mean_logprob(facts: TokenFacts, size: int) -> float:
    """In nats, of all tokens; the larger, the surer."""
    return float(facts.logprob.mean())


def tail_entropy(facts: TokenFacts, size: int) -> float:
    """In nats, mean over the last `size` tokens; the smaller, the surer (arXiv 2510.08146)."""
    return float(facts.top_entropy[-size:].mean())


def lowest_group(facts: TokenFacts, size: int) -> float:
    """In nats, the least mean over `size` tokens in a row; the larger, the surer (DeepConf's,
    arXiv 2508.15260)."""
    confidence = -facts.top_logprob
    size = min(size, len(confidence))
    sums = np.cumsum(np.r_[0.0, confidence])
    return float((sums[size:] - sums[:-size]).min() / size)


SOURCES: Mapping[str, Source] = {
    "mean_logprob": Source(mean_logprob, 1),
    "tail_entropy": Source(tail_entropy, -1),
    "lowest_group": Source(lowest_group, 1),
}


def token_confidences(facts: TokenFacts, size: int) -> dict[str, float]:
    """Every source by name. size: tokens of a group, and of the tail."""
    assert len(facts.logprob), "a response without a token has none"
    return {name: source.of(facts, size) for name, source in SOURCES.items()}
