"""Token ids of prompts and confidence turns: one source for sampling, scoring, training, serving.

A scored sequence is `prompt_ids + response_ids + turn_ids`. The response's ids are the ones
the engine sampled, less the end token; nothing is decoded and encoded again on the way, so the
engine's cached blocks, the training example and a served request hold the same ids. The turn's
ids come from the tokenizer's own chat template: the text that it puts after an assistant's
message when a user turn follows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

ConfidenceKind = Literal["yes", "yes_top20", "yes_no"]

QUESTION = "Is the answer correct? (Yes/No)"
REASONING_QUESTION = "Directly answer the question by Yes or No: Is the answer correct?"

_RESPONSE = "\u2402RESPONSE\u2403"  # stands for a response while the template renders


@dataclass(frozen=True)
class Prompts:
    """The token ids that one model's conversations are made of (see `from_tokenizer`)."""

    tokenizer: Any
    turn_ids: list[int]
    yes_id: int
    no_id: int
    end_ids: frozenset[int]

    @classmethod
    def from_tokenizer(cls, tokenizer: Any, question: str | None = None) -> "Prompts":
        """Derives the confidence turn from a transformers tokenizer's chat template.

        question: what to ask after a response; by default the paper's, in its wording for
        models whose template opens a think block. Raises ValueError where the tokenizer has
        no chat template, no single token for Yes or No, or a template that closes an
        assistant's message with plain text (then no token boundary ends a response).
        """
        if not getattr(tokenizer, "chat_template", None):
            raise ValueError(
                f"model.source: the tokenizer of {tokenizer.name_or_path!r} has no chat template; "
                "use an instruction-tuned model"
            )
        reasons = "</think>" in str(tokenizer.chat_template)
        turn = _turn_text(tokenizer, question or (REASONING_QUESTION if reasons else QUESTION))
        if reasons:
            turn += "\n</think>\n\n" if turn.endswith("<think>\n") else "<think>\n\n</think>\n\n"
        ids = tokenizer.encode(turn, add_special_tokens=False)
        if ids[0] not in tokenizer.all_special_ids and ids[0] not in tokenizer.added_tokens_decoder:
            raise ValueError(
                f"model.source: the chat template of {tokenizer.name_or_path!r} ends an "
                f"assistant's message with plain text ({turn[:20]!r}), not with a special token"
            )
        return cls(
            tokenizer=tokenizer,
            turn_ids=ids,
            yes_id=_single_token(tokenizer, "Yes"),
            no_id=_single_token(tokenizer, "No"),
            end_ids=frozenset({ids[0], *_as_list(tokenizer.eos_token_id)}),
        )

    @classmethod
    def load(cls, model_dir: str | Path, question: str | None = None) -> "Prompts":
        """The same from a model's directory."""
        from transformers import AutoTokenizer

        return cls.from_tokenizer(AutoTokenizer.from_pretrained(str(model_dir)), question)

    def sampling_text(self, question: str) -> str:
        """The conversation up to where the model's response starts, as text."""
        return _render(self.tokenizer, [{"role": "user", "content": question}])

    def sampling_ids(self, question: str) -> list[int]:
        """The same as token ids."""
        return self.tokenizer.encode(self.sampling_text(question), add_special_tokens=False)

    def room(self, max_model_len: int, max_tokens: int) -> int:
        """The most tokens of a prompt whose longest response can still be scored."""
        return max_model_len - max_tokens - len(self.turn_ids)

    def response_ids(self, sampled: Sequence[int]) -> list[int]:
        """The sampled ids without the end token (the turn brings its own)."""
        ids = list(sampled)
        while ids and ids[-1] in self.end_ids:
            ids.pop()
        return ids

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
    from math import exp

    if kind == "yes_top20":
        top = sorted(logprobs, key=logprobs.__getitem__, reverse=True)[:20]
        decode = prompts.tokenizer.decode
        return min(1.0, sum(exp(logprobs[i]) for i in top if "Yes" in decode([i])))
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
    from math import exp

    if kind == "yes_top20":
        top = sorted(logprobs, key=logprobs.__getitem__, reverse=True)[:20]
        said = [i for i in top if re.search(r"Yes|\bNo\b", prompts.tokenizer.decode([i]))]
    else:
        said = [prompts.yes_id, prompts.no_id]
    return min(1.0, sum(exp(logprobs[i]) for i in said))


def _turn_text(tokenizer: Any, question: str) -> str:
    conversation = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": _RESPONSE},
        {"role": "user", "content": question},
    ]
    _, found, turn = _render(tokenizer, conversation).partition(_RESPONSE)
    if not found:
        raise ValueError(
            f"model.source: the chat template of {tokenizer.name_or_path!r} drops an assistant's "
            "earlier message, so a confidence turn cannot follow it"
        )
    return turn


def _render(tokenizer: Any, conversation: list[dict[str, str]]) -> str:
    return tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)


def _single_token(tokenizer: Any, word: str) -> int:
    ids = tokenizer.encode(word, add_special_tokens=False)
    if len(ids) != 1:
        raise ValueError(
            f"model.source: the tokenizer of {tokenizer.name_or_path!r} has no single token for "
            f"{word!r}, which the confidence score reads"
        )
    return ids[0]


def _as_list(value: Any) -> list[int]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
