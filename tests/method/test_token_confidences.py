"""Each source against its definition, spelled out over the probabilities of a whole vocabulary."""

import math

import numpy as np
import pytest
import torch

from pipelines.method.token_confidences import SOURCES, TOP, TokenFacts, token_confidences
from pipelines.method.token_facts import token_facts

VOCABULARY = 50


def drawn(tokens, seed=0):
    """Distributions of tokens, from sure to unsure, the tokens drawn; and the facts of these."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (tokens, VOCABULARY)) * rng.uniform(0.1, 6, (tokens, 1))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    ids = [int(rng.choice(VOCABULARY, p=one)) for one in p]
    facts = token_facts(torch.tensor(logits), torch.tensor(ids))
    return p, ids, TokenFacts(*facts.double().numpy().T)


def token_confidence(p):
    return -sum(math.log(one) for one in sorted(p)[-TOP:]) / TOP


def entropy_of_the_likeliest(p):
    top = sorted(p)[-TOP:]
    return -sum(one / sum(top) * math.log(one / sum(top)) for one in top)


@pytest.mark.parametrize("size", [1, 4, 12, 30])
def test_every_source_is_as_it_is_defined(size):
    p, ids, facts = drawn(12)
    groups = [range(start, start + size) for start in range(12 - size + 1)] or [range(12)]
    expected = {
        "mean_logprob": np.mean([math.log(one[i]) for one, i in zip(p, ids, strict=True)]),
        "tail_entropy": np.mean([entropy_of_the_likeliest(one) for one in p[-size:]]),
        "lowest_group": min(np.mean([token_confidence(p[i]) for i in group]) for group in groups),
    }
    found = token_confidences(facts, size)
    assert found == pytest.approx(expected, rel=1e-5)
    assert list(found) == list(SOURCES)


def test_what_is_surer():
    """Of a token that is all but certain, against one that twenty are equally likely to be."""
    sure = torch.tensor([0.99] + [0.01 / (VOCABULARY - 1)] * (VOCABULARY - 1)).log()
    unsure = torch.tensor([0.05] * TOP + [0.0] * (VOCABULARY - TOP)).log()
    facts = token_facts(torch.stack([sure, unsure]), torch.tensor([0, 0])).double().numpy()
    one, other = (token_confidences(TokenFacts(*own[:, None]), 1) for own in facts)
    for name, source in SOURCES.items():
        assert source.surer * one[name] > source.surer * other[name], name
    assert other["tail_entropy"] == pytest.approx(math.log(20))  # nats
    assert other["mean_logprob"] == pytest.approx(math.log(0.05))
    assert other["lowest_group"] == pytest.approx(-math.log(0.05))


def test_what_is_masked_takes_no_part():
    """Of a grammar that leaves three tokens, as likely as they are."""
    logits = torch.full((1, VOCABULARY), -torch.inf)
    logits[0, :3] = torch.tensor([0.5, 0.25, 0.25]).log() + 3  # no temperature, but any scale
    own, _, entropy = token_facts(logits, torch.tensor([1]))[0].tolist()
    assert own == pytest.approx(math.log(0.25))
    assert entropy == pytest.approx(1.5 * math.log(2))
