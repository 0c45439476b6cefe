"""What a client can choose from here, and what was measured of it: `/about`, for the page."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, Field

from pipelines.config import Config
from pipelines.config.serving import DEFAULT, ScalingConfig
from pipelines.method.policies import NAMED, POLICIES, split
from pipelines.serving.calibration import Curve
from pipelines.serving.reliability import Reliability
from pipelines.serving.scaling import PRESETS, Scaling
from pipelines.serving.served import Served


class PolicyAbout(BaseModel):
    threshold: Literal["none", "confidence", "share", "window"] = Field(description="what it is of")
    scored: bool = Field(description="whether samples are scored for it")


class ModelAbout(BaseModel):
    """Both by what was measured, which is nothing where the run has no report."""

    curves: Mapping[str, Curve] = Field(description="by policy, on the calibration queries")
    reliability: Mapping[str, Reliability] = Field(description="by data set, on the test queries")


class About(BaseModel):
    default_model: str
    models: dict[str, ModelAbout]
    presets: Mapping[str, Scaling] = Field(description="by what follows a model's name and a colon")
    defaults: ScalingConfig = Field(description="of a request that chooses nothing")
    max_budget: int
    max_tokens: int = Field(description="of a sample, where a request names none")
    policies: dict[str, PolicyAbout]


def about(config: Config, served: Served) -> About:
    chosen = config.serve.scaling.over(DEFAULT)
    sources = {
        split(policy)[1]
        for curves in served.curves.values()
        for policy, curve in curves.items()
        if curve.line is not None
    }
    by_tokens = [name for name, one in NAMED.items() if one.own_tokens and one.source in sources]
    most = config.serve.max_budget
    budget = min(chosen.budget or config.evaluate.num_samples, most)
    return About(
        default_model=served.default,
        models={
            name: ModelAbout(
                curves=served.curves.get(name, {}), reliability=served.reliability.get(name, {})
            )
            for name in served.names
        },
        presets=PRESETS,
        defaults=chosen.model_copy(update={"budget": budget}),
        max_budget=most,
        max_tokens=config.answering.max_tokens,
        policies={
            name: PolicyAbout(threshold=NAMED[name].threshold, scored=NAMED[name].scored)
            for name in [*POLICIES, *by_tokens]
        },
    )
