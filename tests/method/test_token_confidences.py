"""Each source against its definition, spelled out over the probabilities of a whole vocabulary."""

import math

import numpy as np
import pytest

from pipelines.method.token_confidences import SOURCES, TOP, LogProbabilities, token_confidences

VOCABULARY = 50


def drawn(tokens, seed=0):
    """Distributions of tokens, from sure to unsure, the tokens drawn; and what is seen of them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (tokens, VOCABULARY)) * rng.uniform(0.1, 6, (tokens, 1))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    ids = [int(rng.choice(VOCABULARY, p=one)) for one in p]
    logs = LogProbabilities(
        np.log(p[range(tokens), ids]),
        rng.permuted(np.log(np.sort(p, axis=1)[:, -TOP:]), axis=1),
    )
    return p, ids, logs


def token_confidence(p):
    return -sum(math.log(one) for one in sorted(p)[-TOP:]) / TOP


def entropy_of_the_likeliest(p):
    top = sorted(p)[-TOP:]
    return -sum(one / sum(top) * math.log(one / sum(top)) for one in top)


@pytest.mark.parametrize("size", [1, 4, 12, 30])
def test_every_source_is_as_it_is_defined(size):
    p, ids, logs = drawn(12)
    groups = [range(start, start + size) for start in range(12 - size + 1)] or [range(12)]
    expected = {
        "mean_logprob": np.mean([math.log(one[i]) for one, i in zip(p, ids, strict=True)]),
        "tail_entropy": np.mean([entropy_of_the_likeliest(one) for one in p[-size:]]),
        "lowest_group": min(np.mean([token_confidence(p[i]) for i in group]) for group in groups),
    }
    found = token_confidences(logs, size)
    assert found == pytest.approx(expected)
    assert list(found) == list(SOURCES)


def test_what_is_surer():
    """Of a token that is all but certain, against one that twenty are equally likely to be."""
    rest = (1 - 0.99) / (VOCABULARY - 1)
    sure = LogProbabilities(np.log([0.99]), np.log([[0.99] + [rest] * (TOP - 1)]))
    unsure = LogProbabilities(np.log([0.05]), np.log([[0.05] * TOP]))
    one, other = (token_confidences(logs, 1) for logs in (sure, unsure))
    for name, source in SOURCES.items():
        assert source.surer * one[name] > source.surer * other[name], name
    assert other["tail_entropy"] == pytest.approx(math.log(20))  # nats
    assert other["mean_logprob"] == -other["lowest_group"] == pytest.approx(math.log(0.05))
