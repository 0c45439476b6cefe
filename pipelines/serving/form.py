"""The two forms of a response, whole and in chunks: a chat completion and a text completion; and
the list of models."""

import time
import uuid
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from pipelines.serving.reply import Outcome, Scaled, Usage


class Reply(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(BaseModel):
    index: Literal[0] = 0
    message: Reply
    finish_reason: str
    logprobs: None = None


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    scaling: Scaled


class TextChoice(BaseModel):
    index: Literal[0] = 0
    text: str
    finish_reason: str
    logprobs: None = None


class TextCompletion(BaseModel):
    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage
    scaling: Scaled


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "selfcal"


class Models(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


@dataclass(frozen=True)
class ChatForm:
    """Of one response. model: as its request names it."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    chunks: ClassVar[str] = "chat.completion.chunk"
    first: ClassVar[dict[str, Any]] = {"delta": {"role": "assistant", "content": ""}}

    def whole(self, made: Outcome) -> BaseModel:
        message = Reply(content=made.text)
        return ChatCompletion(
            id=self.id,
            created=self.created,
            model=self.model,
            choices=[ChatChoice(message=message, finish_reason=made.finish_reason)],
            usage=made.usage,
            scaling=made.scaling,
        )

    def piece(self, text: str | None) -> dict[str, Any]:
        """Of a chunk's choice: more of the message, or nothing."""
        return {"delta": {} if text is None else {"content": text}}


@dataclass(frozen=True)
class TextForm:
    """Of one response. model: as its request names it."""

    model: str
    id: str = field(default_factory=lambda: f"cmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    chunks: ClassVar[str] = "text_completion"
    first: ClassVar[dict[str, Any]] = {"text": ""}

    def whole(self, made: Outcome) -> BaseModel:
        return TextCompletion(
            id=self.id,
            created=self.created,
            model=self.model,
            choices=[TextChoice(text=made.text, finish_reason=made.finish_reason)],
            usage=made.usage,
            scaling=made.scaling,
        )

    def piece(self, text: str | None) -> dict[str, Any]:
        """Of a chunk's choice: more of the text, or nothing."""
        return {"text": text or ""}


Form = ChatForm | TextForm
