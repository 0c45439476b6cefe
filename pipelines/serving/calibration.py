"""Where a policy stops: at what a request names, or at what a run measured.

The report chooses a threshold for each policy on the calibration queries, for the base and for the
calibrated model, and writes them into `calibration.json`.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.method.policies import POLICIES
from pipelines.storage.location import Location
from pipelines.storage.schemas import CALIBRATION_FILE

Threshold = Annotated[float, Field(ge=0)]


class _Chosen(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    threshold: Threshold | None  # null: the policy has none, or there were no queries to choose on


class _Models(BaseModel):
    base: dict[str, _Chosen]
    calibrated: dict[str, _Chosen]


class _Calibration(BaseModel):
    model: _Models


def check(policy: str, threshold: float | None) -> None:
    """ValueError where there is no such policy, or the threshold is none of its."""
    if policy not in POLICIES:
        raise ValueError(f"policy {policy!r} is none of {', '.join(POLICIES)}")
    if threshold is None or POLICIES[policy].threshold != "window":
        return
    if threshold < 1 or threshold % 1:
        raise ValueError(f"the threshold of {policy} is a window, a whole number >= 1")


def measured(report: Location, model: str) -> dict[str, float]:
    """The threshold of each policy that a finished report chose one for.

    model: base or calibrated. ValueError, which names the file, where it is not such a file.
    """
    file = report / CALIBRATION_FILE
    try:
        read = _Calibration.model_validate_json(file.read_text())
        policies: Mapping[str, _Chosen] = getattr(read.model, model)
        for name, one in policies.items():
            check(name, one.threshold)
    except (FileNotFoundError, ValueError) as error:
        reason = str(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            reason = ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))
        raise ValueError(
            f"{file.uri}: no thresholds can be read ({reason}); delete {report.uri} and run "
            "`python -m jobs.run` with this config again"
        ) from None
    return {name: one.threshold for name, one in policies.items() if one.threshold is not None}


def of_request(policy: str, named: float | None, known: Mapping[str, float]) -> float | None:
    """The threshold that a policy stops at; None where it has none.

    named: the request's own, if any. known: the measured ones. ValueError where it is in neither.
    """
    if POLICIES[policy].threshold == "none":
        return None
    if named is not None:
        return named
    if policy not in known:
        raise ValueError(f"threshold: name one, for none was measured for {policy}")
    return known[policy]
