"""Where a template puts the reply to the confidence question; one small template a cause."""

import inspect
from datetime import date

import pytest
from tokenizing import with_template

from pipelines.method.answers import extract
from pipelines.method.prompts import Prompts
from pipelines.method.template import BLOCKS, QUESTION, REASONING_QUESTION, RESERVED, Chat

IM = ["<|im_start|>", "<|im_end|>"]
# template: its special tokens; the turn, with Q for the question; whether it is the question of a
# model that thinks; what ends a response, beside </s>.
CAUSES = {
    # A reply has a header that the generation prompt lacks (gpt-oss, Command R7B).
    "header": (
        ["<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>"],
        "<|end|><|start|>user<|message|>Q<|end|><|start|>assistant<|channel|>final<|message|>",
        False,
        "<|return|>",  # not <|end|>, which ends a thought too
    ),
    # The same, where the token that ends a reply ends thoughts too: so it ends no response.
    "messages": (
        ["<|begin|>", "<|content|>", "<|end|>", "<|think|>"],
        "<|end|><|begin|>user<|content|>Q<|end|><|begin|>assistant<|content|>",
        False,
        "</s>",
    ),
    # Thoughts that are left out, and a message that the next one's mark ends (GLM-4).
    "newline": (
        ["[gMASK]", "<sop>", "<|user|>", "<|assistant|>"],
        "<|user|>\nQ<|assistant|>\n<think></think>\n",
        True,
        "<|user|>",
    ),
    # A switch, and nothing in the generation prompt by default (Qwen3).
    "switch": (
        IM,
        "<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
        True,
        "<|im_end|>",
    ),
    # A switch, and an open block by default (Qwen3.5, Nemotron 3).
    "switch_open": (
        IM,
        "<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n<think></think>",
        True,
        "<|im_end|>",
    ),
    # A switch of words; a header after the block (Command A Reasoning's successors).
    "switch_effort": (
        ["<|START_THINKING|>", "<|END_THINKING|>", "<|START_TEXT|>", "<|END_TEXT|>"],
        "<|END_TEXT|><|user|>Q<|END_TEXT|><|assistant|><|START_THINKING|><|END_THINKING|>"
        "<|START_TEXT|>",
        True,
        "</s>",
    ),
    # A switch of numbers (Seed-OSS).
    "budget": (
        ["<seed:bos>", "<seed:eos>", "<seed:think>", "</seed:think>"],
        "<seed:eos><seed:bos>user\nQ<seed:eos><seed:bos>assistant\n<seed:think>\nNo budget."
        "</seed:think>",
        True,
        "<seed:eos>",
    ),
    # A block that the template closes by itself is not closed again (DeepSeek V3.1; Gemma 4).
    "closed": (
        ["<｜User｜>", "<｜Assistant｜>"],
        "</s><｜User｜>Q<｜Assistant｜></think>",
        True,
        "</s>",
    ),
    "channel": (
        ["<|turn>", "<turn|>", "<|channel>", "<channel|>"],
        "<turn|>\n<|turn>user\nQ<turn|>\n<|turn>model\n<|channel>thought\n<channel|>",
        True,
        "<turn|>",
    ),
    # A block that nothing closes is closed as it was opened (R1; OLMo; Magistral).
    "bare": (
        ["<|user|>", "<|assistant|>"],
        "</s>\n<|user|>\nQ\n<|assistant|>\n<think></think>",
        True,
        "</s>",
    ),
    "bracket": (
        ["[INST]", "[/INST]", "[THINK]", "[/THINK]"],
        "</s>[INST]Q[/INST][THINK][/THINK]",
        True,
        "</s>",
    ),
    # A reply that the template puts inside of an open block (Nemotron Nano 2).
    "inside": (
        ["<SPECIAL_11>", "<SPECIAL_12>"],
        "\n<SPECIAL_12>\n<SPECIAL_11>User\nQ\n<SPECIAL_11>Assistant\n<think>\n\n</think>\n\n",
        True,
        "<SPECIAL_12>",
    ),
    # One that the template closes another way before a reply that is there.
    "spelled": (
        IM,
        "<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n<think> </think>",
        True,
        "<|im_end|>",
    ),
    # A line end before a reply, after a block that is closed by itself.
    "line": (
        ["<|user|>", "<|assistant|>", "<|end|>"],
        "<|end|><|user|>\nQ<|end|><|assistant|><think></think>\n",
        True,
        "<|end|>",
    ),
    # "</think>" and a variable `thinking`, and no thoughts (Granite 3.3, LFM2.5).
    "mentions": (
        IM,
        "<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n",
        False,
        "<|im_end|>",
    ),
    # Spaces before the end token and before the reply (Llama 2); the latter is the word's.
    "spaced": (["[INST]", "[/INST]"], " </s><s>[INST] Q [/INST]", False, "</s>"),
}


@pytest.mark.parametrize("name", CAUSES)
def test_the_turn(tmp_path, name):
    special, turn, thinks, end = CAUSES[name]
    tokenizer = with_template(tmp_path, name, special)
    prompts = Prompts.from_tokenizer(tokenizer)
    asked = REASONING_QUESTION if thinks else QUESTION
    assert tokenizer.decode(prompts.turn_ids) == turn.replace("Q", asked)
    assert prompts.end_ids == set(tokenizer.convert_tokens_to_ids([end, "</s>"]))
    assert prompts.response_ids([7, 8, *prompts.turn_ids[:2], tokenizer.eos_token_id]) == [7, 8]
    assert tokenizer.decode([prompts.yes_id]).strip() == "Yes"
    assert tokenizer.decode([prompts.no_id]).strip() == "No"


def test_ones_own_question_is_asked_of_all(tmp_path):
    tokenizer = with_template(tmp_path, "switch_open", IM)
    prompts = Prompts.from_tokenizer(tokenizer, " Right? ")
    assert "user\nRight?<|im_end|>" in tokenizer.decode(prompts.turn_ids)


@pytest.mark.parametrize("name", CAUSES)
@pytest.mark.parametrize("mark", ["<think>", "[THINK]"])
def test_a_question_that_names_a_mark(tmp_path, name, mark):
    """It opens and closes no block: the turn is that of any other question."""
    tokenizer = with_template(tmp_path, name, CAUSES[name][0])
    plain, marked = (
        tokenizer.decode(Prompts.from_tokenizer(tokenizer, asked).turn_ids)
        for asked in ("Right?", f"Right, without {mark}?")
    )
    assert marked == plain.replace("Right?", f"Right, without {mark}?")


def test_sampling_thinks_unless_the_config_says_otherwise(tmp_path):
    tokenizer = with_template(tmp_path, "switch_open", IM)
    prompts = Prompts.from_tokenizer(tokenizer)
    assert prompts.sampling_text("2 + 2?").endswith("assistant\n<think>\n")
    short = Prompts.from_tokenizer(tokenizer, chat=Chat({"enable_thinking": False}))
    assert short.sampling_text("2 + 2?").endswith("assistant\n<think></think>")
    for chat in (Chat({"enable_thinking": False}), Chat({"enable_thinking": True})):
        same = Prompts.from_tokenizer(tokenizer, chat=chat)
        assert same.turn_ids == prompts.turn_ids, "the reply is no thought whatever is sampled"


def test_a_system_prompt_stands_first(tmp_path):
    tokenizer = with_template(tmp_path, "mentions", IM)
    prompts = Prompts.from_tokenizer(tokenizer, chat=Chat(system="Be brief."))
    text = prompts.sampling_text("2 + 2?")
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2 + 2?")
    assert prompts.turn_ids == Prompts.from_tokenizer(tokenizer).turn_ids


def test_a_variable_that_the_template_does_not_read(tmp_path):
    tokenizer = with_template(tmp_path, "switch_effort", CAUSES["switch_effort"][0])
    for value in ("none", "high", None, [1]):
        Prompts.from_tokenizer(tokenizer, chat=Chat({"reasoning_effort": value}))
    said = r"^model.template.effort: it changes nothing in the chat template of 'switch_effort'"
    for value in (True, "none", None):
        with pytest.raises(ValueError, match=said):
            Prompts.from_tokenizer(
                tokenizer, chat=Chat({"reasoning_effort": "none", "effort": value})
            )


def test_a_system_prompt_that_the_template_does_not_show(tmp_path):
    tokenizer = with_template(tmp_path, "inside", CAUSES["inside"][0])
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "for m in messages", "for m in messages if m.role != 'system'"
    )
    Prompts.from_tokenizer(tokenizer)
    said = "^model.system: the chat template of 'inside' shows no system prompt"
    with pytest.raises(ValueError, match=said):
        Prompts.from_tokenizer(tokenizer, chat=Chat(system="Be brief."))


def test_what_transformers_takes_for_its_own_is_no_variable():
    from transformers import PreTrainedTokenizerFast
    from transformers.utils.chat_template_utils import render_jinja_template

    for function in (PreTrainedTokenizerFast.apply_chat_template, render_jinja_template):
        names = inspect.signature(function).parameters
        assert set(names) - {"kwargs"} <= RESERVED


def test_every_day_renders_the_same(tmp_path):
    tokenizer = with_template(tmp_path, "dated", IM)
    assert "Today is 26 Jul 2024." in Prompts.from_tokenizer(tokenizer).sampling_text("?")
    other = Prompts.from_tokenizer(tokenizer, chat=Chat(date=date(2031, 1, 2)))
    assert "Today is 02 Jan 2031." in other.sampling_text("?")


def test_a_generation_prompt_that_no_reply_follows(tmp_path):
    tokenizer = with_template(tmp_path, "steps", ["<|end|>"])
    with pytest.raises(ValueError, match=r"'steps' does not tell where a reply starts: .*steps:"):
        Prompts.from_tokenizer(tokenizer)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{{ raise_exception('No\nusers here') }}", r"fails \(TemplateError: No users here\)"),
        ("{% for m in messages %}", r"fails \(TemplateSyntaxError: Unexpected end of template"),
        ("{{ messages[0].content.text.x }}", r"fails \(UndefinedError: .*no attribute 'text'"),
        ("{% for t in tools %}{% endfor %}", r"fails \(TypeError: 'NoneType' object is not itera"),
        ("{{ messages[-1].content }}", "drops an assistant's earlier message"),
        ("{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}", "plain text"),
    ],
)
def test_what_a_template_cannot_is_one_line_with_its_name(tmp_path, source, says):
    tokenizer = with_template(tmp_path / "model", "switch")
    tokenizer.chat_template = source
    with pytest.raises(ValueError, match=rf"the chat template of 'switch' .*{says}") as told:
        Prompts.from_tokenizer(tokenizer)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "special", "written", "read"),
    [
        # A thought that the prompt opened, and one that the model opens, whose marks are special.
        ("switch_open", IM, "Two.</think>4", "<think>\nTwo.</think>4"),
        ("mentions", [*IM, "[THINK]", "[/THINK]"], "[THINK]Two.[/THINK]4", "[THINK]Two.[/THINK]4"),
        (
            "header",
            CAUSES["header"][0],
            "<|channel|>analysis<|message|>Two.<|end|><|channel|>final<|message|>4",
            "<|channel|>analysis<|message|>Two.<|channel|>final<|message|>4",
        ),
        ("switch_effort", CAUSES["switch_effort"][0], "<|END_THINKING|><|START_TEXT|>4",
         "<|START_THINKING|><|END_THINKING|>4"),
        ("mentions", IM, "<|im_start|>4", "4"),
    ],
)  # fmt: skip
def test_a_response_shows_where_its_thoughts_end(tmp_path, name, special, written, read):
    tokenizer = with_template(tmp_path, name, special)
    ids = tokenizer.encode(written, add_special_tokens=False)
    assert Prompts.from_tokenizer(tokenizer).response_text(ids) == read


@pytest.mark.parametrize(("opening", "closing"), BLOCKS.items())
def test_an_answer_is_looked_for_after_each_kind_of_thought(opening, closing):
    for text in (f"{opening}\nAnswer: 3\n{closing}\n\nAnswer: 4", f"Answer: 3{closing}Answer: 4"):
        assert extract(text, "number") == "4"
    assert extract(f"{opening}\nAnswer: 3", "number") is None
