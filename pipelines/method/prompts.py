"""Token ids of prompts and confidence turns: one source for sampling, scoring, training, serving.

A scored sequence is `prompt_ids + response_ids + turn_ids`. The response's ids are the ones
the engine sampled, less the end token; nothing is decoded and encoded again on the way, so the
engine's cached blocks, the training example and a served request hold the same ids. The turn's
ids come from the tokenizer's own chat template (template.py): what it puts between an
assistant's message and the model's reply to a question about it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import exp
from pathlib import Path
from typing import Any, Literal

from pipelines.method.template import (
    PLAIN,
    THOUGHTS,
    Chat,
    Turn,
    check_chat,
    confidence_turn,
    open_thought,
    render,
    render_messages,
    shows,
)
from pipelines.method.tokenizer import SETTINGS, end_ids, load_tokenizer, read_settings

ConfidenceKind = Literal["yes", "yes_top20", "yes_no"]


@dataclass(frozen=True)
class Prompts:
    """The token ids that one model's conversations are made of (see `from_tokenizer`).

    yes_id, no_id: the reply's first token, as it stands after the turn. end_ids: each of them
    ends a response; end_id: the one that the template ends it with, what a model is trained to
    end with (None where nothing names any). thought: the think block that a response starts in,
    which the prompt opened.
    """

    tokenizer: Any
    turn_ids: list[int]
    yes_id: int
    no_id: int
    end_ids: frozenset[int]
    end_id: int | None
    chat: Chat
    thought: str

    @classmethod
    def from_tokenizer(
        cls,
        tokenizer: Any,
        question: str | None = None,
        chat: Chat = PLAIN,
        ends: Iterable[int] = (),
    ) -> "Prompts":
        """Derives the confidence turn from a transformers tokenizer's chat template.

        question: what to ask after a response; by default the paper's, in its wording for
        models that think. ends: end tokens beside the tokenizer's and the template's. Raises
        ValueError where the tokenizer has no chat template, no single token for Yes or No after
        the turn, or a template that closes an assistant's message with plain text (then no token
        boundary ends a response), or that `check_chat` or `confidence_turn` refuses.
        """
        if not getattr(tokenizer, "chat_template", None):
            raise ValueError(
                f"model.source: the tokenizer of {tokenizer.name_or_path!r} has no chat template; "
                "use an instruction-tuned model"
            )
        turn = confidence_turn(tokenizer, chat, question)
        check_chat(tokenizer, chat)
        end = _end_id(tokenizer, turn)
        turn_ids, yes_id, no_id = _reply(tokenizer, turn)
        return cls(
            tokenizer=tokenizer,
            turn_ids=turn_ids,
            yes_id=yes_id,
            no_id=no_id,
            end_ids=frozenset({end, tokenizer.eos_token_id, *ends} - {None}),
            end_id=tokenizer.eos_token_id if end is None else end,
            chat=chat,
            thought=open_thought(tokenizer, chat),
        )

    @classmethod
    def load(
        cls, model_dir: str | Path, question: str | None = None, chat: Chat = PLAIN
    ) -> "Prompts":
        """The same from a model's directory. ValueError also where the template puts a token
        that the directory does not name: the default of a class, which is not asked."""
        tokenizer = load_tokenizer(model_dir)
        named = read_settings(Path(model_dir), SETTINGS, str(model_dir))
        for name in ("bos_token", "eos_token"):
            missing = getattr(tokenizer, name) is None and name not in named
            if missing and shows(tokenizer, chat, name):
                raise ValueError(
                    f"model.source: the chat template in {model_dir} has {name} in it, which "
                    f"{SETTINGS} does not name; write it there (null for none)"
                )
        return cls.from_tokenizer(tokenizer, question, chat, end_ids(model_dir, tokenizer))

    def sampling_text(self, question: str, system: str | None = None) -> str:
        """The conversation up to where the model's response starts, as text.

        system: a system prompt in place of the chat's; ValueError where the template shows none.
        """
        if system is None:
            return render(self.tokenizer, self.chat, [question], prompt=True)
        roles = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        text = render_messages(self.tokenizer, self.chat, roles, prompt=True)
        if system.strip() not in text:
            raise ValueError(
                f"model.source: the chat template of {self.tokenizer.name_or_path!r} shows no "
                "system prompt; put it into the question"
            )
        return text

    def sampling_ids(self, question: str, system: str | None = None) -> list[int]:
        """The same as token ids."""
        text = self.sampling_text(question, system)
        return self.tokenizer.encode(text, add_special_tokens=False)

    def chat_ids(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The same of a conversation, each message with its role and content; ValueError where the
        model's template does not take it."""
        text = render_messages(self.tokenizer, self.chat, messages, prompt=True)
        return self.tokenizer.encode(text, add_special_tokens=False)

    @cached_property
    def longest_token(self) -> int:
        """Characters of it, or more."""
        return max(map(len, self.tokenizer.get_vocab()))

    def room(self, max_model_len: int, max_tokens: int) -> int:
        """The most tokens of a prompt whose longest response can still be scored."""
        return max_model_len - max_tokens - len(self.turn_ids)

    def response_ids(self, sampled: Sequence[int]) -> list[int]:
        """The sampled ids without what ends them: the end token, and what the turn begins with.

        So `response_ids + turn_ids` begins with all that was sampled, but for an end token that
        the turn has not.
        """
        ids = list(sampled)
        if ids and ids[-1] in self.end_ids:
            ids.pop()  # one alone: the engine stops at the first
        most = min(len(ids), len(self.turn_ids))
        said = next((n for n in range(most, 0, -1) if ids[-n:] == self.turn_ids[:n]), 0)
        return ids[: len(ids) - said]

    def response_text(self, response_ids: Sequence[int]) -> str:
        """The response as text: of special tokens the marks of thoughts alone, with the one that
        the prompt ends in."""
        shown = [i for i in response_ids if not self.is_hidden(i)]
        return self.thought + self.tokenizer.decode(shown)

    def is_hidden(self, token: int) -> bool:
        """Whether a response's text is without it: a special token, and no mark of a thought."""
        return token in self._unseen

    @cached_property
    def _unseen(self) -> frozenset[int]:
        added = self.tokenizer.added_tokens_decoder.items()
        return frozenset(i for i, one in added if one.special and one.content not in THOUGHTS)

    def scoring_ids(self, prompt_ids: Sequence[int], response_ids: Sequence[int]) -> list[int]:
        """The sequence whose next token is the model's Yes or No."""
        return [*prompt_ids, *response_ids, *self.turn_ids]


def confidence(logprobs: dict[int, float], kind: ConfidenceKind, prompts: Prompts) -> float:
    """c = P(True) (arXiv 2503.00031, section 3.1) from the reply's first-token log-probabilities.

    logprobs: by token id, raw and unscaled; the Yes and No tokens for `yes` and `yes_no`, the
    top 20 for `yes_top20`. kind: `yes`, p("Yes"), as the paper's training code; `yes_no`,
    p("Yes") / (p("Yes") + p("No")); `yes_top20`, the sum over the top 20 tokens whose text
    contains "Yes", as its data generation.
    """
    if kind == "yes_top20":
        return _mass_of_top20(logprobs, prompts, "Yes")
    yes = exp(logprobs[prompts.yes_id])
    if kind == "yes":
        return yes
    total = yes + exp(logprobs[prompts.no_id])
    return yes / total if total > 0 else 0.0


def reply_mass(logprobs: dict[int, float], kind: ConfidenceKind, prompts: Prompts) -> float:
    """p("Yes") + p("No") of the reply's first token; near 0, a reply does not start there.

    logprobs, kind: as in `confidence`, whose Yes it counts. With `yes_top20` No is each of the 20
    tokens with the word in it (" No", "No."), which "Not", "None" and "Note" have not.
    """
    if kind == "yes_top20":
        return _mass_of_top20(logprobs, prompts, r"Yes|\bNo\b")
    return min(1.0, exp(logprobs[prompts.yes_id]) + exp(logprobs[prompts.no_id]))


def _mass_of_top20(logprobs: dict[int, float], prompts: Prompts, said: str) -> float:
    """What the likeliest 20 tokens have together whose text a pattern is found in."""
    top = sorted(logprobs, key=logprobs.__getitem__, reverse=True)[:20]
    found = (i for i in top if re.search(said, prompts.tokenizer.decode([i])))
    return min(1.0, sum(exp(logprobs[i]) for i in found))


def _reply(tokenizer: Any, turn: Turn) -> tuple[list[int], int, int]:
    """The turn's ids, and the one token each that Yes and No are after it.

    Where the tokenizer joins the last space of the turn with the word, as " Yes", the turn ends
    before the space, as a generation prompt does.
    """
    encode, decode = partial(_ids_after_response, tokenizer), tokenizer.decode
    (*yes, yes_id), (*no, no_id) = (encode(turn.text + word) for word in ("Yes", "No"))

    def follows(ids: list[int], token: int, word: str, before: list[int]) -> bool:
        said = decode([*ids, token])[len(decode(ids)) :]
        # A space that is not in the text: some tokenizers have one after each special token.
        return said == word or (said.strip() == word.strip() and ids == before)

    for text in (turn.text.rstrip(" "), turn.text):
        ids, space = encode(text), turn.text[len(text) :]
        if follows(ids, yes_id, f"{space}Yes", yes) and follows(ids, no_id, f"{space}No", no):
            return ids, yes_id, no_id
    raise ValueError(
        f"model.source: the tokenizer of {tokenizer.name_or_path!r} has no single token for Yes, "
        f"or for No, after {turn.text[-20:]!r}, which the confidence score reads"
    )


def _ids_after_response(tokenizer: Any, text: str) -> list[int]:
    """Ids of a text as it stands after a word: some tokenizers put a space before what is first."""
    word, whole = (tokenizer.encode(t, add_special_tokens=False) for t in ("a", "a" + text))
    if whole[: len(word)] != word:
        raise ValueError(
            f"model.source: the tokenizer of {tokenizer.name_or_path!r} joins a response with what "
            f"its chat template puts after it ({text[:20]!r})"
        )
    return whole[len(word) :]


def _end_id(tokenizer: Any, turn: Turn) -> int | None:
    """The token that ends an assistant's message: its last one or, where none ends that, one
    that others follow. None where it may end a thought, too: it ends all messages, and a reply
    is a message of a kind that its header tells (gpt-oss)."""
    special = partial(_special_ids, tokenizer)
    ends = special(turn.after) or special(turn.closing)
    if not ends:
        raise ValueError(
            f"model.source: the chat template of {tokenizer.name_or_path!r} ends an assistant's "
            f"message with plain text ({turn.closing[:20]!r}), not with a special token"
        )
    return None if special(turn.header) and ends[0] in special(turn.opening) else ends[0]


def _special_ids(tokenizer: Any, text: str) -> list[int]:
    added = tokenizer.added_tokens_decoder
    ids = _ids_after_response(tokenizer, text)
    return [i for i in ids if i in added and added[i].content.strip()]
