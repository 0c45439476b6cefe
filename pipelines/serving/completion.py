"""A completion request: text to go on with, as it is or as token ids."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, field_validator

from pipelines.method.prompts import Prompts
from pipelines.serving.errors import RequestError
from pipelines.serving.request import Request, clean

_Ids = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, fail_fast=True)]
_Text = Annotated[str, Field(min_length=1), AfterValidator(clean)]


@dataclass(frozen=True)
class RawPrompt:
    """A text that no template renders, or its token ids."""

    prompt: str | list[int]
    param: ClassVar[str] = "prompt"

    @property
    def size(self) -> int:
        return len(self.prompt)

    def ids(self, prompts: Prompts) -> list[int]:
        if isinstance(self.prompt, str):
            ids = prompts.tokenizer.encode(self.prompt, add_special_tokens=True)
        else:
            ids = self.prompt
            if (most := max(ids)) >= (size := len(prompts.tokenizer)):
                raise RequestError(400, f"prompt: {most} is no token of {size}", "prompt")
        if len(ids) < 2:  # the engine's sessions take a prompt in two parts
            raise RequestError(400, "prompt: expected two tokens or more", "prompt")
        return ids


class CompletionRequest(Request):
    """A text to complete, or a list of one. P(True) asks for it as if it was a user's turn."""

    prompt: _Text | _Ids | Annotated[list[_Text | _Ids], Field(min_length=1, fail_fast=True)] = (
        Field(description="a text, its token ids, or a list of one of these")
    )

    @field_validator("prompt", mode="before")
    @classmethod
    def _one(cls, prompt: Any) -> Any:
        if isinstance(prompt, list) and len(prompt) > 1 and isinstance(prompt[0], str | list):
            raise ValueError("expected one prompt; send a request for each")
        return prompt

    @field_validator("prompt")
    @classmethod
    def _bare(cls, prompt: str | list[int] | list[str | list[int]]) -> str | list[int]:
        wrapped = isinstance(prompt, list) and not isinstance(prompt[0], int)
        return prompt[0] if wrapped else prompt  # type: ignore[return-value]

    @property
    def question(self) -> str:
        return self.prompt if isinstance(self.prompt, str) else ""

    @property
    def asks(self) -> RawPrompt:
        return RawPrompt(self.prompt)  # type: ignore[arg-type]  # _bare leaves no list of prompts
