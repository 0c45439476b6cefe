"""The two forms of a response, whole and in chunks: a chat completion and a text completion; and
the list of models."""

import time
import uuid
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


class Completion(BaseModel):
    """What both forms have beside their choices."""

    id: str
    created: int
    model: str
    usage: Usage
    scaling: Scaled


class ChatCompletion(Completion):
    object: Literal["chat.completion"] = "chat.completion"
    choices: list[ChatChoice]


class TextChoice(BaseModel):
    index: Literal[0] = 0
    text: str
    finish_reason: str
    logprobs: None = None


class TextCompletion(Completion):
    object: Literal["text_completion"] = "text_completion"
    choices: list[TextChoice]


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "selfcal"


class Models(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


class ChatForm:
    """Of one response. model: as its request names it."""

    chunks: ClassVar[str] = "chat.completion.chunk"
    first: ClassVar[dict[str, Any]] = {"delta": {"role": "assistant", "content": ""}}

    def __init__(self, model: str):
        self.head = _head("chatcmpl", model)

    def whole(self, made: Outcome) -> BaseModel:
        choice = ChatChoice(message=Reply(content=made.text), finish_reason=made.finish_reason)
        return ChatCompletion(**self.head, choices=[choice], usage=made.usage, scaling=made.scaling)

    def piece(self, text: str | None) -> dict[str, Any]:
        """Of a chunk's choice: more of the message, or nothing."""
        return {"delta": {} if text is None else {"content": text}}


class TextForm:
    """Of one response. model: as its request names it."""

    chunks: ClassVar[str] = "text_completion"
    first: ClassVar[dict[str, Any]] = {"text": ""}

    def __init__(self, model: str):
        self.head = _head("cmpl", model)

    def whole(self, made: Outcome) -> BaseModel:
        choice = TextChoice(text=made.text, finish_reason=made.finish_reason)
        return TextCompletion(**self.head, choices=[choice], usage=made.usage, scaling=made.scaling)

    def piece(self, text: str | None) -> dict[str, Any]:
        """Of a chunk's choice: more of the text, or nothing."""
        return {"text": text or ""}


def _head(prefix: str, model: str) -> dict[str, Any]:
    """What a response and each of its chunks begin with."""
    return {"id": f"{prefix}-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}


Form = ChatForm | TextForm
