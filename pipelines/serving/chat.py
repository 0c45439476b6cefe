"""A chat request: a conversation, as the model's template renders it."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pipelines.config.sections import Strict
from pipelines.method.prompts import Prompts
from pipelines.serving.errors import RequestError
from pipelines.serving.request import Clean, Request


class TextPart(Strict):
    """A part of a message; text parts are all that is read."""

    type: Literal["text"]
    text: Clean


class ChatMessage(Strict):
    """role: developer is another word for system. content: null and "" are an empty message."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Clean | list[TextPart] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class ChatRequest(Request):
    """A conversation to answer."""

    param: ClassVar[str] = "messages"

    messages: Annotated[list[ChatMessage], Field(min_length=1)]

    @property
    def question(self) -> str:
        """The last thing that the user said."""
        said = [message.text for message in self.messages if message.role == "user"]
        return said[-1] if said else ""

    def prompt_ids(self, prompts: Prompts) -> list[int]:
        messages = [
            {"role": "system" if one.role == "developer" else one.role, "content": one.text}
            for one in self.messages
        ]
        try:
            return prompts.chat_ids(messages)
        except ValueError as error:
            why = f"the model's chat template does not take them ({error.__cause__})"
            raise RequestError(400, f"messages: {why}", "messages") from None
