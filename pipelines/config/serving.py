"""The config's section `serve`, and what a request may choose of it by `scaling`."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipelines.config.sections import Section
from pipelines.config.values import Count, Positive, Some, Text, nearest
from pipelines.method.policies import POLICIES, Fallback
from pipelines.storage.text import short

Schedule = Literal["sequential", "waves", "all"] | Some[Count]
Kind = Literal["number", "option", "text", "math", "none"]
Threshold = Annotated[float, Field(ge=0)]


class Choice(Section):
    """How samples are spent on a request. What is left out is another's to say: a request's, a
    preset's, serve.scaling's, or the default's."""

    policy: Text | None = None  # when to stop, and what to answer; early_stopping, by default
    threshold: Threshold | None = None  # what it stops at; the one that was measured, by default
    budget: Count | None = None  # samples at most; evaluate.num_samples, by default
    # samples that are drawn together: one by one, 1 and 2 and 4 and so on, all, or as listed; waves
    schedule: Schedule | None = None
    order: Literal["index", "arrival"] | None = None  # in which samples decide; index, by default
    fallback: Fallback | None = None  # of early stopping, where no sample was sure; weighted
    kind: Kind | None = None  # of answers, to compare them; none: each text is its own

    @field_validator("policy")
    @classmethod
    def _known(cls, policy: str | None) -> str | None:
        if policy is not None and policy not in POLICIES:
            raise ValueError(f"{short(policy)!r} is no policy{nearest(policy, POLICIES)}")
        return policy

    @model_validator(mode="after")
    def _a_window_is_a_number(self) -> Self:
        family = POLICIES.get(self.policy or "")
        if self.threshold is None or family is None:
            return self
        if family.threshold == "none":
            raise ValueError(f"threshold: {self.policy} has none; leave it out")
        if family.threshold == "window" and (self.threshold < 1 or self.threshold % 1):
            raise ValueError(f"threshold: of {self.policy} it is a window, a whole number >= 1")
        return self


# What a model's name may end in, after a colon.
PRESETS = {
    "fast": Choice(budget=4),
    "careful": Choice(policy="early_stopping", threshold=1.0),
    "single": Choice(policy="self_consistency", budget=1),
}


class ServeConfig(Section):
    host: Text = "127.0.0.1"  # 0.0.0.0 to answer other machines
    port: Annotated[int, Field(ge=1, le=65535)] = 8000  # of HTTP
    scaling: Choice = Choice()  # of requests that choose nothing
    max_budget: Count = 64  # samples that a request may ask for
    deadline: Positive | None = None  # seconds of a request, which then ends with what it has
    adapters: Mapping[Text, Text] = {}  # with engine.adapter lora: more of them, by model name
