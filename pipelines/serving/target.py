"""`scaling.target`: what a threshold shall reach, and the one that does on the calibration queries.

An accuracy and a mean of samples are reached as these queries had it; an error and a loss are
promised (method/guarantees.py), and 409 says why where they cannot be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import Field, model_validator

from pipelines.config.sections import Section
from pipelines.config.values import Unit
from pipelines.method import guarantees
from pipelines.method.guarantees import CONFIDENCE, Promise
from pipelines.method.policies import NAMED
from pipelines.serving.bounded import Bounded
from pipelines.serving.calibration import Curve, Point
from pipelines.serving.errors import RequestError

_PARAM, _CODE = "scaling.target", "not_calibrated"
_Share = Annotated[float, Field(gt=0, lt=1)]


class Target(Bounded, Section):
    """What to reach on queries like the calibration ones, at the full budget: one of four."""

    accuracy: Unit | None = Field(None, description="by the fewest samples")
    mean_samples: Annotated[float, Field(ge=1)] | None = Field(
        None, description="as accurately as they can be spent"
    )
    max_error: _Share | None = Field(
        None, description="promised: of the queries where it stops, so many are wrong at most"
    )
    max_loss: _Share | None = Field(
        None, description="promised: so many at most lose a right answer that all samples give"
    )
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = Field(
        CONFIDENCE, description="of a promise"
    )
    give_up: bool = Field(
        False,
        description="with max_loss: also end where too few samples agree; half of it is for that",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        named = [self.accuracy, self.mean_samples, self.max_error, self.max_loss]
        if sum(one is not None for one in named) != 1:
            raise ValueError("expected either accuracy, mean_samples, max_error or max_loss")
        if "confidence" in self.model_fields_set and not self.promised:
            raise ValueError("confidence: it is of max_error and max_loss; leave it out")
        if self.give_up and self.max_loss is None:
            raise ValueError("give_up: it goes with max_loss alone; leave it out")
        return self

    @property
    def promised(self) -> bool:
        return self.max_error is not None or self.max_loss is not None


@dataclass(frozen=True)
class Reached:
    """threshold: None for a policy without one. give_up: after how many samples, where fewer than
    such a share of them agree; None for never."""

    threshold: float | None
    give_up: tuple[int, float] | None = None


def reaching(policy: str, target: Target, curve: Curve | None) -> Reached:
    """The thresholds that reach a target; RequestError where none was measured or can be promised.

    curve: of the policy; None where nothing was measured.
    """
    if curve is None or not curve.points:
        raise _refused(f"nothing was measured for {policy}")
    if target.promised:
        return _promised(policy, target, curve)
    if target.accuracy is not None:
        return Reached(_accurate(policy, target.accuracy, curve.points))
    return Reached(_frugal(policy, target.mean_samples or 0.0, curve.points))


def _accurate(policy: str, accuracy: float, points: Sequence[Point]) -> float:
    there = [one for one in points if one.accuracy >= accuracy]
    if not there:
        best = max(one.accuracy for one in points)
        raise _refused(f"{policy} reaches an accuracy of {best:.3f} at most")
    return min(there, key=lambda one: one.avg_samples).threshold


def _frugal(policy: str, samples: float, points: Sequence[Point]) -> float:
    there = [one for one in points if one.avg_samples <= samples]
    if not there:
        least = min(one.avg_samples for one in points)
        raise _refused(f"{policy} takes {least:.2f} samples at least")
    return max(there, key=lambda one: (one.accuracy, -one.avg_samples)).threshold


def _promised(policy: str, target: Target, curve: Curve) -> Reached:
    shown, confidence = curve.evidence, target.confidence
    if shown is None:
        why = "no rule in method/replay/rules.py"
        if NAMED[policy].fitted or NAMED[policy].own_tokens:
            why = "parameters that were fitted"
        raise _refused(f"{policy} has {why}, and nothing is promised of it")
    if target.max_error is not None:
        made = guarantees.max_error(shown, target.max_error, confidence)
        return Reached(_kept(policy, made, "max_error", target.max_error, confidence))
    limit = target.max_loss or 0.0
    if not target.give_up:
        made = guarantees.max_loss(shown, limit, confidence)
        return Reached(_kept(policy, made, "max_loss", limit, confidence))
    both = guarantees.max_loss_with_giving_up(shown, limit, confidence)
    upper, lower = (_kept(policy, one, "max_loss", limit, confidence) for one in both)
    return Reached(upper, (shown.after, lower))


def _kept(policy: str, made: Promise, what: str, limit: float, confidence: float) -> float:
    if made.threshold is not None:
        return made.threshold
    more = "more of them would not help"
    if made.queries is not None:
        more = f"it takes about {made.queries}"
    sure = f"with {confidence:.0%} confidence"
    raise _refused(f"{policy} cannot promise {what} of {limit:g} {sure}: {made.why}; {more}")


def _refused(why: str) -> RequestError:
    return RequestError(409, f"{_PARAM}: {why}", _PARAM, _CODE)
