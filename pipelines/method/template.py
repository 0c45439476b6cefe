"""A model's chat template: conversations as text, and where the reply to a question stands in it.

Nothing is known here of families. The place of the reply is found by rendering: the generation
prompt after the question, and the same conversation with a reply in it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import cycle
from typing import Any, NamedTuple

QUESTION = "Is the answer correct? (Yes/No)"
REASONING_QUESTION = "Directly answer the question by Yes or No: Is the answer correct?"

# They stand for a response and for the reply to a question while a template renders.
_RESPONSE, _REPLY = "\u2402RESPONSE\u2403", "\u2402REPLY\u2403"

# What opens a think block, and what closes it, in the spellings of published models. An answer is
# looked for after them (answers/said.py).
BLOCKS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",
    "\u25c1think\u25b7": "\u25c1/think\u25b7",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|channel>thought": "<channel|>",
}
_MARK = re.compile("|".join(map(re.escape, [*BLOCKS, *BLOCKS.values()])))

# Tokens that make up such marks: without them a thought reads as an answer.
THOUGHTS = {*BLOCKS, *BLOCKS.values(), "<|channel>", "<|channel|>", "<|message|>"}

# Variables by which published templates turn thinking off, and on.
_OFF = {
    "enable_thinking": False,
    "thinking": False,
    "reasoning": False,
    "thinking_budget": 0,
    "reasoning_effort": "none",
}
_ON = {"enable_thinking": True, "thinking": True, "reasoning": True}

# What a rendering sets itself, and what transformers takes for its own settings.
RESERVED = {
    "add_generation_prompt", "chat_template", "continue_final_message", "conversation",
    "conversations", "documents", "max_length", "messages", "padding", "return_dict",
    "return_assistant_tokens_mask", "return_tensors", "self", "strftime_now", "tokenize",
    "tokenizer_kwargs", "tools", "truncation",
}  # fmt: skip

# Values of which one changes what a template renders that reads a variable.
_PROBES = (False, True, 0, 1, "none", "high", _REPLY)


@dataclass(frozen=True)
class Chat:
    """What a conversation has beside its questions and answers, the same in all renderings.

    variables: of the template, such as enable_thinking. system: a system prompt in place of the
    template's own. date: what a template is told that asks for today; by default the day that
    Llama's templates name where they are told none.
    """

    variables: Mapping[str, Any] = field(default_factory=dict)
    system: str | None = None
    date: date = date(2024, 7, 26)


PLAIN = Chat()


class Turn(NamedTuple):
    """The confidence turn as text, and what follows a reply.

    text: all from the response to the reply. closing: its part before the question, which ends the
    response. opening: its part after it. header: the part of that which the generation prompt
    lacks, thoughts aside.
    """

    text: str
    closing: str
    opening: str
    header: str
    after: str


def render(tokenizer: Any, chat: Chat, said: Sequence[str], *, prompt: bool, **more: Any) -> str:
    """render_messages of what the user and the model say by turns, the user first."""
    turns = zip(cycle(("user", "assistant")), said, strict=False)
    messages = [{"role": role, "content": text} for role, text in turns]
    return render_messages(tokenizer, chat, messages, prompt=prompt, **more)


def render_messages(
    tokenizer: Any, chat: Chat, messages: Sequence[Mapping[str, str]], *, prompt: bool, **more: Any
) -> str:
    """A conversation as text. messages: a role and a content each; the chat's system prompt comes
    first where they begin with none.

    prompt: whether the generation prompt follows. more: variables of the template that win over
    the chat's. Raises ValueError with one line where the template does not render.
    """
    if chat.system is not None and [one["role"] for one in messages[:1]] != ["system"]:
        messages = [{"role": "system", "content": chat.system}, *messages]
    variables = {**chat.variables, **more}
    try:
        return tokenizer.apply_chat_template(
            list(messages),
            tokenize=False,
            add_generation_prompt=prompt,
            strftime_now=chat.date.strftime,  # or transformers would tell today's
            **variables,
        )
    except Exception as error:  # a template is code that a model brings: it may raise anything
        says = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(
            f"model.source: the chat template of {tokenizer.name_or_path!r} fails ({says})"
        ) from error


def confidence_turn(tokenizer: Any, chat: Chat, question: str | None = None) -> Turn:
    """What stands between a response and the reply to a question about it.

    The reply is the model's answer, not a thought: where the template has a switch that turns
    thinking off, it is off from the response on; a think block that is open nonetheless is
    closed once, as the template closes one before a reply that is there or, where it shows none
    there, with the closing mark, on a line of its own where the opening mark is. question: by
    default the paper's, in its wording for models whose template has a think block before a reply,
    or has one when it is asked to.
    Raises ValueError where the template renders no such conversation, or does not tell where a
    reply stands.
    """
    asked = (question or QUESTION).strip()
    plain = _after_response(tokenizer, chat, asked)
    off = dict(_changes(tokenizer, chat, asked, plain, _OFF))
    switches = [{name: _OFF[name]} for name, text in off.items() if not _open(_after(text, asked))]
    turn = _turn(tokenizer, chat, asked, [*switches, {}])
    if question is None:
        seen = [plain, turn.text, *off.values()]
        seen += dict(_changes(tokenizer, chat, asked, plain, _ON)).values()
        if any(_MARK.search(_after(text, asked)) for text in seen):
            turn = _turn(tokenizer, chat, REASONING_QUESTION, [*switches, {}])
    return turn


def open_thought(tokenizer: Any, chat: Chat) -> str:
    """The think block that the generation prompt leaves open, from its mark on; mostly none."""
    prompt = _after(render(tokenizer, chat, [_RESPONSE], prompt=True), _RESPONSE)
    return prompt[_block(prompt, 0) :] if _open(prompt) else ""


def check_chat(tokenizer: Any, chat: Chat) -> None:
    """ValueError where a variable, or the system prompt, changes nothing whatever it is: it would
    make another run of the same."""
    of = f"the chat template of {tokenizer.name_or_path!r}"
    if chat.system is not None:
        marked = render(tokenizer, replace(chat, system=_REPLY), ["?"], prompt=True)
        if _REPLY not in marked:
            raise ValueError(f"model.system: {of} shows no system prompt; leave it out")
    for name, value in chat.variables.items():
        others = {key: one for key, one in chat.variables.items() if key != name}
        without = replace(chat, variables=others)
        plain = _renderings(tokenizer, without)
        probes = ({name: probe} for probe in (value, *_PROBES))
        if all(_renderings(tokenizer, without, **probe) == plain for probe in probes):
            raise ValueError(f"model.template.{name}: it changes nothing in {of}; leave it out")


def shows(tokenizer: Any, chat: Chat, name: str) -> bool:
    """Whether what is rendered has a variable's value in it."""
    mark = "\u2402VALUE\u2403"
    return any(mark in text for text in _renderings(tokenizer, chat, **{name: mark}))


def _renderings(tokenizer: Any, chat: Chat, **more: Any) -> list[str]:
    """All kinds of conversations that are rendered; none where the template fails."""
    said = ["?", _RESPONSE, "?", _REPLY]
    try:
        return [
            render(tokenizer, chat, said[:1], prompt=True, **more),
            render(tokenizer, chat, said[:3], prompt=True, **more),
            render(tokenizer, chat, said, prompt=False, **more),
        ]
    except ValueError:
        return []


def _changes(
    tokenizer: Any, chat: Chat, question: str, plain: str, switches: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Of some variables, those that change what follows a response, and what follows then."""
    for name, value in switches.items():
        try:
            text = _after_response(tokenizer, chat, question, **{name: value})
        except ValueError:
            continue  # of another type in this template: not this switch
        if text != plain:
            yield name, text


def _after_response(tokenizer: Any, chat: Chat, question: str, **more: Any) -> str:
    """From the end of a response to the end of the generation prompt after a question."""
    text = render(tokenizer, chat, ["?", _RESPONSE, question], prompt=True, **more)
    _, found, turn = text.partition(_RESPONSE)
    if not found:
        raise ValueError(
            f"model.source: the chat template of {tokenizer.name_or_path!r} drops an assistant's "
            "earlier message, so a confidence turn cannot follow it"
        )
    return turn


def _turn(tokenizer: Any, chat: Chat, question: str, switches: Sequence[Mapping[str, Any]]) -> Turn:
    """The turn under the first of some settings that tells where the reply stands."""
    for switch in switches:
        prompt = _after_response(tokenizer, chat, question, **switch)
        said = ["?", _RESPONSE, question, _REPLY]
        whole = render(tokenizer, chat, said, prompt=False, **switch)
        before, found, after = whole.partition(_RESPONSE)[2].rpartition(_REPLY)
        place = _place(prompt, before, question) if found else None
        if place is not None:
            text, header = place
            closing, asked, opening = text.rpartition(question)
            return Turn(text, closing if asked else text, opening, header, after)
    raise ValueError(
        f"model.source: the chat template of {tokenizer.name_or_path!r} does not tell where a "
        f"reply starts: its generation prompt ends in {prompt[-30:]!r}, and a reply follows "
        f"{before[-30:]!r}"
    )


def _place(prompt: str, before: str, question: str) -> tuple[str, str] | None:
    """The text up to a reply, and its header in there; None where they cannot be told.

    prompt: up to the end of the generation prompt. before: what the template puts before a reply
    that is there already.
    """
    start = len(prompt) - len(_after(prompt, question))
    if before.startswith(prompt):
        return before + _close(before[start:]), _MARK.split(before[len(prompt) :])[-1]
    # A reply that is there has no think block, or another one than the generation prompt opens.
    if (block := _block(prompt, start)) is None:
        return (prompt, "") if before.rstrip() == prompt.rstrip() else None
    if not before.startswith(prompt[:block]):
        return None
    header = _MARK.split(before[block:])[-1]
    if not _open(prompt[start:]):
        # A line end before a reply is a part of what it follows, unless one is there already.
        header = header if header.strip() or not prompt[-1:].isspace() else ""
        return prompt + header, header
    marks = _MARK.findall(before, block)
    if marks and marks[-1] not in BLOCKS:
        return before, header
    header = header if header.strip() else ""  # a line end, where the closing brings its own
    return prompt + _close(prompt[start:]) + header, header


def _after(text: str, question: str) -> str:
    """What follows the question; all of it, where the template changed the question."""
    return text.rpartition(question)[2]


def _block(text: str, start: int) -> int | None:
    """Where the last think block from `start` on begins; None where there is none."""
    marks = list(_MARK.finditer(text, start))
    opens = [mark for mark in marks if mark[0] in BLOCKS]
    return (opens or marks)[-1].start() if marks else None


def _open(text: str) -> bool:
    """Whether a think block is open at the end."""
    marks = _MARK.findall(text)
    return bool(marks) and marks[-1] in BLOCKS


def _close(text: str) -> str:
    """What closes the think block that is open at the end: on a line of its own where the opening
    is. Nothing where none is open."""
    if not _open(text):
        return ""
    close = BLOCKS[_MARK.findall(text)[-1]]
    return f"\n{close}\n\n" if text.endswith("\n") else close
