"""What a request is answered: every token counted once, and why it stopped."""

import pytest
from decided import USED, answered, sample

from pipelines.serving.reply import scaled, usage


def test_usage_counts_each_token_once():
    made = usage(answered())
    details = made.completion_tokens_details
    assert (details.message_tokens, details.other_tokens) == (4, 17)
    assert details.wasted_tokens == 31 - 21  # of the siblings, finished or not
    assert made.completion_tokens == 31 + 24 == 4 + 17 + 10 + details.scored_tokens
    assert made.total_tokens == 20 + 55


def test_the_receipt_compares_with_one_sample_and_the_full_budget():
    """The first computes 17 tokens of the prompt, for 3 were cached, and one after it a quarter of
    the other 11; a response has 7 tokens on average."""
    receipt = scaled(answered(), [], details=False).receipt
    assert receipt.tokens == 28 + 31 + 24
    assert receipt.one_sample == 17 + 10  # sample 0, though it was not the first to end
    full = 28 + 3 * 11 / 4 + 8 * (7 + 6)  # four were scored
    assert receipt.full_budget == round(full)
    assert receipt.saved == pytest.approx(1 - 83 / full)


def test_where_all_is_drawn_and_scored_nothing_is_saved():
    """Though the first one decides: the others had ended before it."""
    one = answered(
        [sample(0, "b", 0.9, 10)],
        started=8,
        finished=8,
        generated_tokens=80,
        prompt_tokens=34,
        scored_tokens=240,
    )
    assert scaled(one, [], details=False).receipt.saved == 0


def test_what_the_cache_held_of_the_prompt_is_a_part_of_it():
    assert usage(answered()).prompt_tokens_details.cached_tokens == 3
    assert scaled(answered(), [], details=False).receipt.cached == 52


def test_what_is_told_of_the_samples():
    made = scaled(answered(), ["top_k"], details=True)
    assert (made.answer, made.confidence, made.mass) == ("b", 0.6, 0.9)
    assert made.votes == {"b": 2, "a": 1}
    assert made.weights == pytest.approx({"b": 0.8 / 0.9, "a": 0.1 / 0.9})
    assert made.share == pytest.approx(0.8 / 0.9)
    assert made.samples.model_dump() == {"started": 5, "finished": 4, "cancelled": 1, "used": 3}
    assert made.ignored == ["top_k"]
    assert [one.index for one in made.details] == [1, 0, 2]


UNPARSED = [sample(0, None, 0.3, 5), sample(1, None, 0.7, 6)]


@pytest.mark.parametrize(
    ("used", "answer", "reason", "told"),
    [
        (USED, "b", "policy", "sure"),
        (USED, "b", "gave up", "gave up"),
        (UNPARSED, None, "gave up", "gave up"),
        (USED, "b", "budget", "budget"),
        (USED, "b", "deadline", "deadline"),
        (UNPARSED, None, "budget", "no answer"),
        (UNPARSED, None, "deadline", "deadline"),
    ],
)
def test_why_it_stopped(used, answer, reason, told):
    made = scaled(answered(used, reason, answer), [], details=False)
    assert made.stop_reason == told
    if answer is None:
        assert (made.answer, made.share, made.confidence) == (None, None, 0.7)  # the surest text
