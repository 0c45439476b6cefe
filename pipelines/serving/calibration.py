"""What a run measured of each policy on its calibration queries: `calibration.json` of its report.

Serving stops at the threshold that the report chose there, or at one whose point of the curve
reaches what a request wants.
"""

from collections.abc import Mapping

from pydantic import BaseModel, Field, ValidationError

from pipelines.config.sections import Strict
from pipelines.config.serving import DEFAULT_POLICY, ScalingConfig
from pipelines.config.values import NotNegative
from pipelines.method.guarantees import Evidence
from pipelines.method.policies import FALLBACKS, NAMED, joined, split
from pipelines.method.recalibration import Line
from pipelines.storage.location import Location
from pipelines.storage.schemas import CALIBRATION_FILE


class Point(Strict):
    """What a threshold comes to at the full budget."""

    threshold: NotNegative
    accuracy: NotNegative
    avg_samples: NotNegative


class Curve(Strict):
    """A policy's. threshold: the chosen one; None where it has none, or there were no queries.
    fitted: its parameters beside. line: to probabilities, of one by the confidences of tokens.
    evidence: what a promise is made by. None of these three is told."""

    threshold: NotNegative | None
    points: list[Point] = Field(alias="curve")
    fitted: dict[str, NotNegative] = Field(default_factory=dict, exclude=True)
    line: Line | None = Field(None, exclude=True)
    evidence: Evidence | None = Field(None, exclude=True)


class _Models(BaseModel):
    base: dict[str, Curve]
    calibrated: dict[str, Curve]


class _Calibration(BaseModel):
    model: _Models


def measured(report: Location, model: str) -> dict[str, Curve]:
    """The curves of a finished report, by policy.

    model: base or calibrated. ValueError, which names the file, where it is not such a file.
    """
    file = report / CALIBRATION_FILE
    try:
        read = _Calibration.model_validate_json(file.read_text())
        curves: dict[str, Curve] = getattr(read.model, model)
        for policy, curve in curves.items():
            ScalingConfig(policy=policy, threshold=curve.threshold)
            NAMED[policy].make(curve.threshold or 1.0, **curve.fitted)
    except (FileNotFoundError, TypeError, ValueError) as error:
        raise unreadable(file, "thresholds", error) from None
    return curves


def for_fallbacks(curves: Mapping[str, Curve]) -> dict[str, Curve]:
    """The same, and early stopping's under the names of its fallbacks, which responses tell."""
    found = dict(curves)
    for name, own in curves.items():
        policy, source = split(name)
        if policy == DEFAULT_POLICY:
            found = {joined(one, source): own for one in FALLBACKS.values()} | found
    return found


def unreadable(file: Location, what: str, error: Exception) -> ValueError:
    """That what a finished report should have cannot be read of its file, and why."""
    reason = str(error)
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        reason = ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))
    return ValueError(
        f"{file.uri}: no {what} can be read ({reason}); delete {file.parent.uri} and run "
        "`python -m jobs.run` with this config again"
    )
