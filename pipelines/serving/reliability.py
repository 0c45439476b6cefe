"""What a run measured of a model's confidence on its test queries: `metrics.json` of its report."""

from pydantic import BaseModel, Field

from pipelines.serving.calibration import unreadable
from pipelines.storage.location import Location
from pipelines.storage.schemas import METRICS_FILE


class Reliability(BaseModel):
    """Of all responses to one data set's test queries. bins: mean confidence, share of correct
    responses and their number, of each of ten equal parts of [0, 1] that has any."""

    queries: int
    responses: int
    accuracy: float | None
    ece: float | None
    bins: list[tuple[float, float, int]] = Field(alias="reliability")


class _Metrics(BaseModel):
    datasets: dict[str, dict[str, Reliability]]


def reliability(report: Location, model: str) -> dict[str, Reliability]:
    """Of a finished report, by data set or group of them.

    model: base or calibrated. ValueError, which names the file, where it is not such a file.
    """
    file = report / METRICS_FILE
    try:
        found = _Metrics.model_validate_json(file.read_text()).datasets
        return {title: models[model] for title, models in found.items()}
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise unreadable(file, "reliability", error) from None
