"""Responses that the evaluate stage recorded, as experiments read them: of the first training run.

`calibration` alone reads those of `train.seeds` too.
"""

from collections.abc import Mapping
from typing import Any

from pipelines.config import Config
from pipelines.method import metrics
from pipelines.stages import report
from pipelines.stages.report.figures import groups
from pipelines.stages.report.replays import Queries, Replays
from pipelines.stages.report.responses import COLUMNS, COMPUTED
from pipelines.storage.location import MANIFEST, Location
from pipelines.storage.schemas import MODELS


def replays(config: Config, evaluate: Location, model: str) -> Replays:
    """Every policy on a model's responses, at the thresholds that calibration queries chose."""
    return Replays.of(config, rows(evaluate, model))


def rows(evaluate: Location, model: str, columns: list[str] = COLUMNS) -> list[dict[str, Any]]:
    """Of schemas.LABELS, by query id: they lie in the order in which they ended."""
    return evaluate.read_table(f"{model}-", columns).sort_by("query_id").to_pylist()


def first_group(config: Config) -> tuple[str, set[str]]:
    """What the report opens with: in domain, where a data set is; and its data sets."""
    return next(iter(groups(config).items()))


def resampled(config: Config, queries: Queries) -> metrics.Array:
    return metrics.resample(len(queries), config.evaluate.bootstrap, config.seed)


def of_one_run(config: Config) -> str:
    """What a paragraph says where no other training runs are read."""
    return (
        f"All of this is of one training run (seed {config.seed}): another seed's figures may lie "
        "outside of these intervals."
    )


def tokens_a_second(evaluate: Location) -> float:
    """That the evaluate stage computed, of both models, while queries were with an engine: in all
    sessions of a stage that was resumed, and without the starts of engines and live requests."""
    manifest: Mapping[str, Any] = (evaluate / MANIFEST).read_json()
    spent = [manifest["metrics"][model] for model in MODELS]
    tokens = sum(one[key] for one in spent for key in COMPUTED)
    return float(tokens / sum(one["busy_seconds"] for one in spent))


def check_calibration(config: Config) -> None:
    """ValueError where there are no queries to choose thresholds on, or to compare variants on."""
    if not config.data.calibration:
        raise ValueError("config: data.calibration is empty; this experiment needs such queries")


def spec(config: Config) -> Mapping[str, Any]:
    """What decides a reading, beside its artifacts: what decides a report."""
    return report.spec(config) | {"version": report.VERSION}
