"""The config's section `serve`, and what a request may choose of it by `scaling`."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from pipelines.config.addresses import Host, Origin
from pipelines.config.sections import Section
from pipelines.config.values import (
    Count,
    Different,
    NotNegative,
    Positive,
    Text,
    Uri,
    nearest,
    some,
)
from pipelines.method.answers import Kind
from pipelines.method.policies import NAMED, Fallback, split
from pipelines.storage.text import short

_Sizes = Annotated[
    tuple[Count, ...], Field(strict=False, fail_fast=True, max_length=1000), AfterValidator(some)
]
Schedule = Literal["sequential", "waves", "all"] | _Sizes
_Policy = Annotated[Text, Field(json_schema_extra={"enum": [*NAMED]})]
DEFAULT_POLICY = "early_stopping"


class ScalingConfig(Section):
    """How samples are spent on a request. What is left out is another's to say: a request's, a
    preset's, serve.scaling's, or the default's."""

    policy: _Policy | None = Field(
        None,
        description="when to stop, and what to answer; early_stopping, by default. POLICY@SOURCE "
        "goes by the confidences of a response's own tokens, where the run measured it",
    )
    threshold: NotNegative | None = Field(
        None, description="what it stops at; the one that was measured, by default"
    )
    budget: Count | None = Field(
        None, description="samples at most; evaluate.num_samples, by default"
    )
    schedule: Schedule | None = Field(
        None,
        description="how samples are drawn: one by one (sequential), ever more at once (waves, the "
        "default), all at once, or as listed",
    )
    order: Literal["index", "arrival"] | None = Field(
        None, description="in which samples decide; index, by default"
    )
    fallback: Fallback | None = Field(
        None,
        description="of early stopping, where no sample was sure; weighted, or best without a "
        "kind, by default",
    )
    kind: Kind | Literal["none"] | None = Field(
        None, description="of answers, to compare them; none, the default: each text is its own"
    )

    @field_validator("policy")
    @classmethod
    def _known(cls, policy: str | None) -> str | None:
        if policy is not None and policy not in NAMED:
            raise ValueError(f"{short(policy)!r} is no policy{nearest(short(policy), NAMED)}")
        return policy

    @model_validator(mode="after")
    def _are_of_the_policy(self) -> Self:
        """As far as it is known; `over` makes it known."""
        if self.policy is None:
            return self
        if self.fallback is not None and split(self.policy)[0] != DEFAULT_POLICY:
            raise ValueError(f"fallback: {self.policy} has none; leave it out")
        if self.threshold is None:
            return self
        kind = NAMED[self.policy].threshold
        if kind == "none":
            raise ValueError(f"threshold: {self.policy} has none; leave it out")
        if kind == "window" and (self.threshold < 1 or self.threshold % 1):
            raise ValueError(f"threshold: of {self.policy} it is a window, a whole number >= 1")
        if kind in ("confidence", "share") and self.threshold > 1:
            raise ValueError(f"threshold: of {self.policy} it is a {kind}, 1 at most")
        return self

    def over(self, below: "ScalingConfig") -> "ScalingConfig":
        """This choice, and of another what it leaves out: but for a threshold and a fallback that
        are of another policy. ValueError where the two do not go together."""
        own = {name: getattr(self, name) for name in ScalingConfig.model_fields}
        own = {name: value for name, value in own.items() if value is not None}
        kept = {name: getattr(below, name) for name in ScalingConfig.model_fields}
        if own.get("policy", below.policy) != below.policy:
            kept |= {"threshold": None, "fallback": None}
        return ScalingConfig(**(kept | own))


# Of requests, presets and servers that choose nothing.
DEFAULT = ScalingConfig(policy=DEFAULT_POLICY, schedule="waves", order="index", kind="none")


class ServeConfig(Section):
    host: Host = "127.0.0.1"  # 0.0.0.0 to answer other machines
    port: Annotated[int, Field(ge=1, le=65535)] = 8000  # of HTTP
    scaling: ScalingConfig = ScalingConfig()  # of requests that choose nothing
    max_budget: Count = 64  # samples that a request may ask for
    deadline: Positive | None = None  # seconds of a request, which then ends with what it has
    api_keys_file: Uri | None = None  # one a line, beside those in $SELFCAL_API_KEYS
    allowed_origins: Different[Origin] = ()  # whose pages may ask from a browser; *: all
    max_body_mib: Positive = 4.0  # of a request
    max_prompt_tokens: Count | None = None  # what fits into engine.max_model_len, by default
    max_output_tokens: Count | None = None  # of a sample; the same
    max_concurrent: Count | None = None  # requests of one key that are under way
    # requests that wait beside those that engines have: engine.max_num_seqs each, or more, of which
    # the first fill its batch
    max_queue: Count = 256
    adapters: Mapping[Text, Uri] = {}  # with engine.adapter lora: more of them, by model name

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.scaling.over(DEFAULT)
        if (self.scaling.budget or 0) > self.max_budget:
            raise ValueError(f"scaling.budget: it is over max_budget ({self.max_budget})")
        for name in self.adapters:
            if ":" in name:  # a preset follows it
                raise ValueError(f"adapters: {short(name)!r} has a colon; choose another name")
        return self
