"""A chat request: a conversation, as the model's template renders it."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pipelines.config.sections import Strict
from pipelines.method.prompts import Prompts
from pipelines.serving.errors import RequestError
from pipelines.serving.request import Clean, Request

# Of messages, and of a message's parts: empty ones too take time to render.
_MANY = Field(max_length=10_000, fail_fast=True)


class TextPart(Strict):
    """A part of a message; text parts are all that is read."""

    type: Literal["text"]
    text: Clean


class ChatMessage(Strict):
    """role: developer is another word for system. content: null and "" are an empty message."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Clean | Annotated[list[TextPart], _MANY] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


@dataclass(frozen=True)
class Conversation:
    """Messages as a chat template takes them, each with its role and content."""

    messages: list[dict[str, str]]
    param: ClassVar[str] = "messages"

    @property
    def size(self) -> int:
        return sum(len(message["content"]) for message in self.messages)

    def ids(self, prompts: Prompts) -> list[int]:
        try:
            return prompts.chat_ids(self.messages)
        except ValueError as error:
            why = f"the model's chat template does not take them ({error.__cause__})"
            raise RequestError(400, f"messages: {why}", "messages") from None


class ChatRequest(Request):
    """A conversation to answer."""

    messages: Annotated[list[ChatMessage], Field(min_length=1), _MANY] = Field(
        description="a conversation, as the model's chat template takes it"
    )

    @property
    def question(self) -> str:
        """The last thing that the user said."""
        said = [message.text for message in self.messages if message.role == "user"]
        return said[-1] if said else ""

    @property
    def asks(self) -> Conversation:
        return Conversation(
            [
                {"role": "system" if one.role == "developer" else one.role, "content": one.text}
                for one in self.messages
            ]
        )
