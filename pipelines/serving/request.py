"""What requests of both kinds have in common, as OpenAI's clients send it, with `scaling` beside.

A field that asks for what is not done here is refused; one that asks for nothing, or that a server
may pass over, is taken; any other at the top is ignored, and the response names it. Types are
strict: true is no 1, and "8" is no 8.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator

from pipelines.config.sections import Strict
from pipelines.config.values import Count, Text
from pipelines.serving.bounded import Bounded
from pipelines.serving.errors import RequestError
from pipelines.serving.scaling import Scaling
from pipelines.serving.wire import Prompt
from pipelines.storage.text import flaw, short

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
# A model's preset by the effort that is asked for.
EFFORTS: Mapping[str | None, str | None] = {
    "none": "single", "minimal": "single", "low": "fast", "medium": None, "high": "careful",
    "xhigh": "careful", "max": "careful", None: None,
}  # fmt: skip


# Fields of OpenAI's that are not done here, and what each may be beside null: it asks nothing.
_NOT_DONE: Mapping[str, Sequence[Any]] = {
    "audio": [],
    "best_of": [1],
    "echo": [False],
    "frequency_penalty": [0, 0.0],
    "function_call": ["none"],
    "functions": [[]],
    "logit_bias": [{}],
    "logprobs": [False],
    "modalities": [["text"]],
    "prediction": [],
    "presence_penalty": [0, 0.0],
    "response_format": [{"type": "text"}],
    "suffix": [""],
    "tool_choice": ["none", "auto"],
    "tools": [[]],
    "top_logprobs": [],
    "web_search_options": [],
}
# Fields that change nothing here whatever they are, and are no news to who sends them.
_WITHOUT_EFFECT = (
    "metadata", "parallel_tool_calls", "prompt_cache_key", "prompt_cache_retention",
    "safety_identifier", "service_tier", "store", "user",
)  # fmt: skip


def clean(text: str) -> str:
    if (found := flaw(text)) is not None:
        raise ValueError(f"expected text without {found}")
    return text


Clean = Annotated[str, AfterValidator(clean)]  # which may be empty


class StreamOptions(Strict):
    include_usage: bool | None = Field(None, description="in a chunk of its own, the last")


_Stop = Annotated[str, Field(min_length=1, max_length=256)]


class Request(Bounded, Strict, ABC):
    """What to answer. Equal requests with equal seeds draw equal samples."""

    model_config = ConfigDict(extra="allow")

    model: Text | None = Field(
        None, description="a name of /v1/models; the server's own, by default"
    )
    max_tokens: Count | None = Field(None, description="of a sample")
    max_completion_tokens: Count | None = Field(None, description="of a sample; over max_tokens")
    temperature: Annotated[float, Field(ge=0, le=1000)] | None = Field(
        None, description="0: one greedy sample"
    )
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="draws from the likeliest tokens that have so much of the probability"
    )
    stop: _Stop | Annotated[list[_Stop], Field(fail_fast=True, max_length=4)] | None = Field(
        None, description="a sample ends before the first of these texts"
    )
    seed: int | None = Field(None, description="of all draws; a new one, by default, which is told")
    n: Annotated[int, Field(ge=1, le=1)] | None = Field(
        None, description="one answer is given; scaling.budget is of samples"
    )
    stream: bool | None = Field(
        None, description="server-sent events: what each sample does, then the message"
    )
    stream_options: StreamOptions | None = Field(None, description="with stream alone")
    reasoning_effort: Effort | None = Field(None, description="stands for a preset")
    scaling: Scaling = Field(Scaling(), description="how samples are spent on this request")

    @field_validator("scaling", mode="before")
    @classmethod
    def _left_out(cls, scaling: Any) -> Any:
        return Scaling() if scaling is None else scaling

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options: it is of stream: true alone")
        seeds = {self.seed, self.scaling.seed} - {None}
        if len(seeds) > 1:
            raise ValueError("scaling.seed: it is another than seed; leave one of both out")
        return self

    @property
    @abstractmethod
    def question(self) -> str:
        """What choices are read off."""

    @property
    @abstractmethod
    def asks(self) -> Prompt:
        """What the engine is asked."""

    @property
    def most_tokens(self) -> int | None:
        """Of a sample, where the request says it."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    def ignored(self) -> list[str]:
        """Fields that have no effect, by name; RequestError where one asks for what is not done."""
        others = self.model_extra or {}
        for name, nothing in _NOT_DONE.items():
            value = others.get(name)
            taken = [one for one in nothing if type(one) is type(value) and one == value]
            if value is not None and not taken:
                raise RequestError(400, f"{name}: this server does not do that; leave it out", name)
        return sorted(map(short, set(others) - {*_NOT_DONE, *_WITHOUT_EFFECT}))
