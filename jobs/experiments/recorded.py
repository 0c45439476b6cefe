"""Responses that the evaluate stage recorded, as experiments read them."""

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


def tokens_a_second(evaluate: Location) -> float:
    """That the evaluate stage computed, of both models."""
    manifest: Mapping[str, Any] = (evaluate / MANIFEST).read_json()
    spent = manifest["metrics"]
    tokens = sum(spent[model][key] for model in MODELS for key in COMPUTED if model in spent)
    return float(tokens / manifest["seconds"])


def check_calibration(config: Config) -> None:
    """ValueError where there are no queries to choose thresholds on, or to compare variants on."""
    if not config.data.calibration:
        raise ValueError("config: data.calibration is empty; this experiment needs such queries")


def spec(config: Config) -> Mapping[str, Any]:
    """What decides a reading, beside its artifacts: what decides a report."""
    return report.spec(config) | {"version": report.VERSION}
