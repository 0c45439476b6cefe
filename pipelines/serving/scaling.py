"""`scaling`: how a request has its samples spent, and what comes of it after all defaults.

The layers, each over the one before: the defaults, the config's `serve.scaling`, the preset that
the model's name ends in, and the request's own object.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from pipelines.config import Config
from pipelines.config.sections import Section
from pipelines.config.serving import DEFAULT, DEFAULT_POLICY, Choice, Schedule
from pipelines.config.values import Text, Unit
from pipelines.datasets.choices import choices_of, of_field
from pipelines.engine.protocol import Drawing
from pipelines.method import answers
from pipelines.method.policies import FALLBACKS, POLICIES
from pipelines.serving.calibration import Curve
from pipelines.serving.errors import RequestError


class Target(Section):
    """What to reach on queries like the calibration ones, at the full budget: one of both."""

    accuracy: Unit | None = None  # by the fewest samples
    mean_samples: Annotated[float, Field(ge=1)] | None = None  # as accurately as they can be spent

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.accuracy is None) == (self.mean_samples is None):
            raise ValueError("expected either accuracy or mean_samples")
        return self


class Scaling(Choice):
    """How this request's samples are spent, and what is told of them."""

    target: Target | None = None  # in place of a threshold: the one that reaches it
    choices: list[Text] | None = None  # of an option, from A on; as the question lists them, else
    temperature_kind: Literal["edt", "fixed"] | None = None  # the config's, by default
    seed: int | None = None  # as the request's own seed
    query_id: Text | None = None  # names the draws; the rendered prompt, by default
    details: bool = False  # tell every sample that was used

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.target is not None and self.threshold is not None:
            raise ValueError("target: it names a threshold; leave one of both out")
        if self.choices is not None and self.kind not in (None, "option"):
            raise ValueError("choices: they are of kind option")
        return self


@dataclass(frozen=True)
class Plan:
    """How samples are spent. policy: of POLICIES, the fallback included. threshold: None where it
    has none. kind: None where each text is its own answer. query_id: None for the prompt's own."""

    policy: str
    threshold: float | None
    budget: int
    schedule: Schedule
    by_arrival: bool
    kind: answers.Kind | None
    choices: tuple[str, ...] | None
    drawing: Drawing
    seed: int
    query_id: str | None


def plan(
    config: Config,
    preset: Choice,
    asked: Scaling,
    question: str,
    drawing: Drawing,
    seed: int,
    curves: Mapping[str, Curve],
) -> Plan:
    """What a request comes to; RequestError where it cannot be had. curves: by policy."""
    try:
        server = preset.over(config.serve.scaling.over(DEFAULT))
        chosen = asked.over(server)
    except ValidationError as error:  # a threshold of the request on another layer's policy
        name, _, why = str(error.errors()[0]["ctx"]["error"]).partition(": ")
        raise RequestError(400, f"scaling.{name}: {why}", f"scaling.{name}") from None
    policy, schedule, kind = chosen.policy, chosen.schedule, chosen.kind
    assert policy is not None, "DEFAULT has one"
    assert schedule is not None, "DEFAULT has one"
    assert kind is not None, "DEFAULT has one"
    most = config.serve.max_budget
    if (asked.budget or 0) > most:
        raise RequestError(
            400,
            f"scaling.budget: {asked.budget} is over this server's limit, {most}",
            "scaling.budget",
        )
    budget = min(chosen.budget or config.evaluate.num_samples, most)
    if asked.choices is not None:
        kind = "option"
    # Without a kind nothing votes: the surest text is the answer.
    fallback = chosen.fallback or ("best" if kind == "none" else "weighted")
    return Plan(
        policy=FALLBACKS[fallback] if policy == DEFAULT_POLICY else policy,
        threshold=_threshold(policy, chosen.threshold, asked.target, curves.get(policy)),
        budget=budget if drawing.temperature else 1,  # greedy samples are all one
        schedule=schedule,
        by_arrival=chosen.order == "arrival",
        kind=None if kind == "none" else kind,
        choices=choices_read(asked, question) if kind == "option" else None,
        drawing=drawing,
        seed=seed,
        query_id=asked.query_id,
    )


def _threshold(
    policy: str, named: float | None, target: Target | None, curve: Curve | None
) -> float | None:
    if POLICIES[policy].threshold == "none":
        if target is not None:
            raise RequestError(400, f"scaling.target: {policy} has no threshold", "scaling.target")
        return None
    if target is not None:
        return _reaching(policy, target, curve)
    if named is not None:
        return named
    if curve is None or curve.threshold is None:
        raise RequestError(
            409,
            f"scaling.threshold: none was measured for {policy}; name one",
            "scaling.threshold",
            "not_calibrated",
        )
    return curve.threshold


def _reaching(policy: str, target: Target, curve: Curve | None) -> float:
    """The threshold of the measured ones that reaches a target."""
    param, code = "scaling.target", "not_calibrated"
    if curve is None or not curve.points:
        raise RequestError(409, f"scaling.target: nothing was measured for {policy}", param, code)
    if target.accuracy is not None:
        there = [one for one in curve.points if one.accuracy >= target.accuracy]
        if not there:
            best = max(one.accuracy for one in curve.points)
            raise RequestError(
                409,
                f"scaling.target: {policy} reaches an accuracy of {best:.3f} at most",
                param,
                code,
            )
        return min(there, key=lambda one: one.avg_samples).threshold
    most = target.mean_samples or 0.0
    there = [one for one in curve.points if one.avg_samples <= most]
    if not there:
        least = min(one.avg_samples for one in curve.points)
        raise RequestError(
            409, f"scaling.target: {policy} takes {least:.2f} samples at least", param, code
        )
    return max(there, key=lambda one: (one.accuracy, -one.avg_samples)).threshold


def choices_read(asked: Scaling, question: str) -> tuple[str, ...] | None:
    """An option's, from A on: the request's own, or those that the question lists."""
    if asked.choices is None:
        return choices_of(question)
    try:
        return of_field(asked.choices).texts
    except ValueError as error:
        raise RequestError(400, f"scaling.choices: {error}", "scaling.choices") from None
