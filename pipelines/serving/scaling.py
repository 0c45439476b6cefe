"""`scaling`: how a request has its samples spent, and what comes of it after all defaults.

The layers, each over the one before: the defaults, the config's `serve.scaling`, the preset that
the model's name ends in, and the request's own object.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from pipelines.config import Config
from pipelines.config.serving import DEFAULT, DEFAULT_POLICY, ScalingConfig, Schedule
from pipelines.config.values import Text
from pipelines.datasets.choices import choices_of, of_texts
from pipelines.engine.protocol import Drawing
from pipelines.method import answers
from pipelines.method.answers.choice import LETTERS
from pipelines.method.policies import FALLBACKS, NAMED, joined, split
from pipelines.method.recalibration import Line
from pipelines.serving.bounded import Bounded
from pipelines.serving.calibration import Curve
from pipelines.serving.errors import RequestError
from pipelines.serving.target import Reached, Target, reaching

# Policies that judge each sample by itself, so also where no answers are read.
_ALONE = {"best_of_n", *FALLBACKS.values()}

# A promise is of the evaluated budget and of samples in order, one on lost answers of the fallback
# weighted, too: these stand over a server's own defaults.
_PROMISED = {"budget": None, "order": "index"}
_NO_LOSS = {"fallback": None}

# Characters at the end of a question in which choices are looked for: in millions it takes seconds.
_LISTED = 100_000

# Each sample is read against all choices.
_Choice = Annotated[Text, Field(max_length=4000)]
_Choices = Annotated[list[_Choice], Field(fail_fast=True, max_length=len(LETTERS))]


class Scaling(Bounded, ScalingConfig):
    """How this request's samples are spent, and what is told of them."""

    target: Target | None = Field(
        None, description="in place of a threshold: the one that reaches it"
    )
    choices: _Choices | None = Field(
        None, description="of an option, from A on; as the question lists them, by default"
    )
    temperature_kind: Literal["edt", "fixed"] | None = Field(
        None, description="the config's, by default; fixed with a top_p under 1"
    )
    seed: int | None = Field(None, description="as the request's own seed")
    query_id: Annotated[Text, Field(max_length=1000)] | None = Field(
        None, description="names the draws; the rendered prompt, by default"
    )
    details: bool = Field(False, description="tell every sample that was used")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.target is not None and self.threshold is not None:
            raise ValueError("target: it names a threshold; leave one of both out")
        if self.choices is not None and self.kind not in (None, "option"):
            raise ValueError("choices: they are of kind option")
        return self


# What a model's name may end in, after a colon.
PRESETS: Mapping[str, Scaling] = {
    "fast": Scaling(budget=4),
    "careful": Scaling(policy=DEFAULT_POLICY, threshold=1.0),
    "promised": Scaling(policy=DEFAULT_POLICY, target=Target(max_loss=0.1)),
    "single": Scaling(policy="self_consistency", budget=1),
}


@dataclass(frozen=True)
class Plan:
    """How samples are spent. policy: of NAMED, the fallback included. threshold: None where it
    has none. kind: None where each text is its own answer. query_id: None for the prompt's own.
    fitted: the policy's parameters beside. line: of one by the confidences of tokens, to
    probabilities. give_up: after how many samples, where fewer than such a
    share of them agree. promised: by its threshold, of samples like these alone."""

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
    fitted: Mapping[str, float] = field(default_factory=dict)
    line: Line | None = None
    give_up: tuple[int, float] | None = None
    promised: bool = False


def plan(
    config: Config,
    preset: Scaling,
    asked: Scaling,
    question: str,
    drawing: Drawing,
    seed: int,
    curves: Mapping[str, Curve],
) -> Plan:
    """What a request comes to; RequestError where it cannot be had. curves: by policy."""
    if asked.target is asked.threshold is None and _may_stop(asked.policy):
        asked = asked.model_copy(update={"target": preset.target})
    promise = asked.target if asked.target is not None and asked.target.promised else None
    server = config.serve.scaling.over(DEFAULT)
    if promise is not None:
        own = _NO_LOSS if promise.max_loss is not None else {}
        server = server.model_copy(update=_PROMISED | own)
    try:
        chosen = asked.over(preset.over(server))
    except ValidationError as error:  # a threshold of the request on another layer's policy
        name, _, why = str(error.errors()[0]["ctx"]["error"]).partition(": ")
        raise RequestError(400, f"scaling.{name}: {why}", f"scaling.{name}") from None
    schedule, kind = chosen.schedule, chosen.kind
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
    if not drawing.temperature:
        budget = 1  # greedy samples are all one
    if asked.choices is not None:
        kind = "option"
    policy = _policy(asked, chosen, kind, one=budget == 1)
    # Without a kind nothing votes: the surest text is the answer.
    fallback = chosen.fallback or ("best" if kind == "none" else "weighted")
    curve = curves.get(policy)
    reached = _reached(policy, chosen.threshold, asked.target, curve)
    alone, source = split(policy)
    made = Plan(
        policy=joined(FALLBACKS[fallback], source) if alone == DEFAULT_POLICY else policy,
        threshold=reached.threshold,
        budget=budget,
        schedule=schedule,
        by_arrival=chosen.order == "arrival",
        kind=None if kind == "none" else kind,
        choices=choices_read(asked, question) if kind == "option" else None,
        drawing=replace(drawing, tells=NAMED[policy].own_tokens),
        seed=seed,
        query_id=asked.query_id,
        fitted=_fitted(policy, curve),
        line=_line(policy, curves),
        give_up=reached.give_up,
        promised=promise is not None,
    )
    if promise is not None:
        _check_promised(config, made, promise)
    return made


def _may_stop(policy: str | None) -> bool:
    """Whether it has a threshold; None is another layer's."""
    return policy is None or NAMED[policy].threshold != "none"


def _policy(asked: Scaling, chosen: ScalingConfig, kind: str, one: bool) -> str:
    """The one that decides. one: whether one sample is all; then nothing is decided, and it has a
    confidence where the request itself names a policy that would need one."""
    policy = chosen.policy
    assert policy is not None, "DEFAULT has one"
    family = NAMED[policy]
    alone, source = split(policy)
    surest = joined("best_of_n", source)
    tuned = family.threshold != "none" or family.fitted
    if one and tuned and asked.threshold is asked.target is None:
        return surest if asked.policy and family.needs_confidence else "self_consistency"
    if one or kind != "none" or alone in _ALONE:
        return policy
    if asked.policy is asked.threshold is asked.target is None:
        return surest
    raise RequestError(
        400,
        f"scaling.policy: {policy} compares answers, and without a kind there are none; name "
        "scaling.kind, or the policy best_of_n or early_stopping",
        "scaling.policy",
    )


def _line(policy: str, curves: Mapping[str, Curve]) -> Line | None:
    """A source's, which is one and the same for all policies."""
    if not NAMED[policy].own_tokens:
        return None
    _, source = split(policy)
    for name, curve in curves.items():
        if curve.line is not None and split(name)[1] == source:
            return curve.line
    raise RequestError(
        409,
        f"scaling.policy: what makes probabilities for {policy} comes of calibration queries, and "
        "was not measured; the run's evaluate.policies has to name a policy by this source",
        "scaling.policy",
        "not_calibrated",
    )


def _fitted(policy: str, curve: Curve | None) -> Mapping[str, float]:
    fitted = curve.fitted if curve is not None else {}
    if missing := [name for name in NAMED[policy].fitted if name not in fitted]:
        raise RequestError(
            409,
            f"scaling.policy: the {' and '.join(missing)} of {policy} come of calibration queries, "
            "and were not measured",
            "scaling.policy",
            "not_calibrated",
        )
    return fitted


def _check_promised(config: Config, made: Plan, target: Target) -> None:
    """RequestError where a request has its samples spent otherwise than those were by which the
    promise was made."""
    usual, fallback = Drawing.of(config.answering), FALLBACKS["weighted"]
    wrong = {
        f"a budget of {config.evaluate.num_samples}": made.budget != config.evaluate.num_samples,
        "order index": made.by_arrival,
        "answers of a kind": made.kind is None,
        # Which is what it answers where it does not stop.
        "the fallback weighted": target.max_loss is not None
        and made.kind is not None
        and made.policy in set(FALLBACKS.values()) - {fallback},
        "samples that are drawn as in evaluation": made.drawing != usual,
    }
    if missing := [name for name, is_wrong in wrong.items() if is_wrong]:
        raise RequestError(
            409,
            f"scaling.target: it was promised for {' and '.join(missing)}; ask for that, or name a "
            "threshold",
            "scaling.target",
            "not_calibrated",
        )


def _reached(
    policy: str, named: float | None, target: Target | None, curve: Curve | None
) -> Reached:
    if NAMED[policy].threshold == "none":
        if target is not None:
            raise RequestError(400, f"scaling.target: {policy} has no threshold", "scaling.target")
        return Reached(None)
    if target is not None:
        return reaching(policy, target, curve)
    if named is not None:
        return Reached(named)
    if curve is None or curve.threshold is None:
        raise RequestError(
            409,
            f"scaling.threshold: none was measured for {policy}; name one",
            "scaling.threshold",
            "not_calibrated",
        )
    return Reached(curve.threshold)


def choices_read(asked: Scaling, question: str) -> tuple[str, ...] | None:
    """An option's, from A on: the request's own as they are, or those that the question lists."""
    if asked.choices is None:
        return choices_of(question[-_LISTED:])
    try:
        return of_texts(asked.choices).texts
    except ValueError as error:
        raise RequestError(400, f"scaling.choices: {error}", "scaling.choices") from None
