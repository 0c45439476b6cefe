"""Token ids on the chat templates of four families; P(True) from log-probabilities."""

import math
from functools import partial

import pytest
from tokenizers import AddedToken
from tokenizing import byte_level, sentencepiece, with_template

from pipelines.method.prompts import Prompts, confidence, reply_mass
from pipelines.method.template import QUESTION, REASONING_QUESTION

RESPONSES = ["Paris", "The capital is Paris.\n\nIt lies on the Seine.", "  two  spaces", "Yes"]


@pytest.fixture
def prompts(tokenizer):
    return Prompts.from_tokenizer(tokenizer)


@pytest.mark.parametrize("response", RESPONSES)
def test_the_scored_ids_are_those_of_the_whole_conversation(tokenizer, prompts, response):
    """Prompt + response + turn, put together by ids, is what the template makes of the dialogue."""
    question = "What is the capital of France?"
    asked = REASONING_QUESTION if tokenizer.family == "r1" else QUESTION
    whole = tokenizer.apply_chat_template(
        [
            {"role": "user", "content": question},
            {"role": "assistant", "content": response.strip()},
            {"role": "user", "content": asked},
        ],
        tokenize=False,
        add_generation_prompt=True,
    )
    if tokenizer.family == "r1":  # the reply starts after a closed think block
        # This template opens a think block before a reply, and shows none of an earlier one.
        whole += "\n</think>\n\n"
        whole = whole.replace("<｜Assistant｜>", "<｜Assistant｜><think>\n", 1)
    response_ids = tokenizer.encode(response.strip(), add_special_tokens=False)
    prompt_ids = prompts.sampling_ids(question)
    scored = prompts.scoring_ids(prompt_ids, response_ids)
    assert tokenizer.decode(scored) == whole
    # A response starts at a token's start, because the engine sampled it there.
    before, _, after = whole.partition(response.strip())
    assert prompt_ids == tokenizer.encode(before, add_special_tokens=False)
    assert prompts.turn_ids == tokenizer.encode(after, add_special_tokens=False)


def test_the_prompt_is_a_prefix_of_the_scored_ids(prompts):
    """Or the engine's cached blocks would not be reused."""
    prompt = prompts.sampling_ids("What is 2 + 2?")
    scored = prompts.scoring_ids(prompt, [5, 6])
    assert scored[: len(prompt) + 2] == [*prompt, 5, 6]


def test_prompts_start_with_one_bos_where_the_template_has_one(tokenizer, prompts):
    ids = prompts.sampling_ids("Hello")
    if tokenizer.family in ("llama3", "gemma", "r1"):
        assert ids.count(tokenizer.bos_token_id) == 1
        assert ids[0] == tokenizer.bos_token_id


def test_the_end_token_is_left_to_the_turn(tokenizer, prompts):
    sampled = tokenizer.encode("Paris", add_special_tokens=False)
    for end in prompts.end_ids:
        assert prompts.response_ids([*sampled, end]) == sampled
    assert prompts.response_ids(sampled) == sampled  # cut by max_tokens
    assert prompts.response_ids([]) == []


def test_the_turn_starts_with_the_end_of_the_assistants_message(tokenizer, prompts):
    assert prompts.turn_ids[0] in prompts.end_ids
    assert tokenizer.decode([prompts.yes_id]) == "Yes"
    assert tokenizer.decode([prompts.no_id]) == "No"


def test_only_reasoning_templates_get_the_reasoning_question(tokenizer, prompts):
    """A public implementation asks every family the reasoning question."""
    turn = tokenizer.decode(prompts.turn_ids)
    assert (REASONING_QUESTION in turn) == (tokenizer.family == "r1")
    assert turn.endswith("</think>\n\n") == (tokenizer.family == "r1")


def test_ones_own_question(tokenizer):
    made = Prompts.from_tokenizer(tokenizer, "Right? (Yes/No)")
    assert "Right? (Yes/No)" in tokenizer.decode(made.turn_ids)


def test_no_chat_template(tokenizer):
    tokenizer.chat_template = None
    with pytest.raises(ValueError, match="no chat template"):
        Prompts.from_tokenizer(tokenizer)


def test_a_template_that_ends_messages_with_text(tokenizer):
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "
    )
    with pytest.raises(ValueError, match="plain text"):
        Prompts.from_tokenizer(tokenizer)


def test_a_template_that_drops_the_response(tokenizer):
    tokenizer.chat_template = "{{ messages[-1]['content'] }}"
    with pytest.raises(ValueError, match="drops"):
        Prompts.from_tokenizer(tokenizer)


def test_confidence_variants(prompts):
    tokenizer = prompts.tokenizer
    logprobs = {prompts.yes_id: math.log(0.3), prompts.no_id: math.log(0.1)}
    assert confidence(logprobs, "yes", prompts) == pytest.approx(0.3)
    assert confidence(logprobs, "yes_no", prompts) == pytest.approx(0.75)
    (space_yes,) = tokenizer.encode(" Yes", add_special_tokens=False)
    logprobs[space_yes] = math.log(0.2)
    assert confidence(logprobs, "yes_top20", prompts) == pytest.approx(0.5)
    assert confidence(logprobs, "yes", prompts) == pytest.approx(0.3)


def test_the_mass_of_a_reply_is_yes_and_no_together(prompts):
    tokenizer = prompts.tokenizer
    logprobs = {prompts.yes_id: math.log(0.3), prompts.no_id: math.log(0.1)}
    for word, p in {" Yes": 0.2, " No": 0.15, " Not": 0.04, "None": 0.03, "The": 0.02}.items():
        (token,) = tokenizer.encode(word, add_special_tokens=False)
        logprobs[token] = math.log(p)
    assert reply_mass(logprobs, "yes", prompts) == pytest.approx(0.4)
    assert reply_mass(logprobs, "yes_no", prompts) == pytest.approx(0.4)
    assert reply_mass(logprobs, "yes_top20", prompts) == pytest.approx(0.3 + 0.1 + 0.2 + 0.15)


def test_top20_reads_twenty_tokens(prompts):
    words = {i: prompts.tokenizer.decode([i]).strip() for i in range(1000, 1030)}
    others = [i for i, word in words.items() if word not in ("Yes", "No")][:20]
    logprobs = {i: math.log(0.04) for i in others} | {prompts.yes_id: math.log(0.01)}
    assert confidence(logprobs, "yes_top20", prompts) == 0.0
    assert reply_mass(logprobs, "yes_top20", prompts) == 0.0


@pytest.mark.parametrize(
    ("made", "name", "special", "yes"),
    [
        (sentencepiece, "zephyr", [], "Yes"),  # though the bare word is ▁Yes
        (sentencepiece, "zephyr", ["<|user|>", "<|assistant|>"], "Yes"),
        # Phi 3's take the newline that follows.
        (sentencepiece, "zephyr", [AddedToken("<|assistant|>", rstrip=True)], "▁Yes"),
        (sentencepiece, "spaced", [], "▁Yes"),
        (byte_level, "zephyr", [], "Yes"),
        (byte_level, "label", [], "ĠYes"),  # DeepSeek-LLM's
    ],
)
def test_yes_is_the_token_that_follows_the_turn(tmp_path, made, name, special, yes):
    tokenizer = with_template(tmp_path, name, special, made=made)
    prompts = Prompts.from_tokenizer(tokenizer)
    said = [
        {"role": "user", "content": "2 + 2?"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "Yes"},
    ]
    whole = tokenizer.apply_chat_template(said, tokenize=False)
    ids = tokenizer.encode(whole, add_special_tokens=False)
    at = len(ids) - 1 - ids[::-1].index(prompts.yes_id)
    assert ids[at - len(prompts.turn_ids) : at] == prompts.turn_ids
    assert tokenizer.convert_ids_to_tokens(prompts.yes_id) == yes
    assert tokenizer.convert_ids_to_tokens(prompts.no_id) == yes.replace("Yes", "No")


def test_no_single_token_after_the_turn(tmp_path):
    """The vocabulary has " Yes" and " No" alone, which stand after a space."""
    made = partial(byte_level, (" Yes No",))
    spaced = Prompts.from_tokenizer(with_template(tmp_path, "label", made=made))
    assert spaced.tokenizer.decode([spaced.yes_id, spaced.no_id]) == " Yes No"
    with pytest.raises(ValueError, match="'zephyr' has no single token for Yes, or for No, after"):
        Prompts.from_tokenizer(with_template(tmp_path, "zephyr", made=made))
