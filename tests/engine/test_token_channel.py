"""A token's facts on their way through a row of logits, whichever token is drawn."""

from types import SimpleNamespace

import pytest
import torch

from pipelines.engine import token_channel
from pipelines.method.token_facts import token_facts


@pytest.mark.parametrize("drawn", [0, 1, 2, 3, 4, 49])
def test_what_is_left_is_what_is_taken(drawn):
    """The drawn token stays the largest, and other rows are left alone."""
    before = torch.randn(3, 50, generator=torch.Generator().manual_seed(drawn))
    logits = before.clone()
    rows = torch.tensor([2, 0])
    logits[rows, drawn] = torch.finfo(torch.float32).max  # as a draw leaves it
    token_channel.leave(logits, rows, before[rows])
    assert logits[rows].argmax(-1).tolist() == [drawn, drawn]
    assert torch.equal(logits[1], before[1])
    for row in rows.tolist():
        named = {*token_channel.IDS, drawn}
        reported = {i: SimpleNamespace(logprob=float(logits[row, i])) for i in named}
        expected = token_facts(before[[row]], torch.tensor([drawn]))[0].tolist()
        assert token_channel.take(drawn, reported) == expected


def test_the_likeliest_token_is_told_of_too():
    """A greedy one, which nothing was drawn of: its facts hide no larger logit."""
    before = torch.tensor([[-9.0, -8.0, -7.0, -6.0, -5.0, -9.0]])
    logits = before.clone()
    token_channel.leave(logits, torch.tensor([0]), before)
    assert logits.argmax() == 4


def test_a_response_without_a_token_has_no_facts():
    assert token_channel.facts_of([]) is None
    facts = token_channel.facts_of([[-1.0, -2.0, 0.5], [-3.0, -4.0, 0.25]])
    assert facts.logprob.tolist() == [-1, -3]
    assert facts.top_entropy.tolist() == [0.5, 0.25]
