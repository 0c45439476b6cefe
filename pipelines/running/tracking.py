"""A finished run in MLflow: its config, each step's cost, the losses, and the results.

    python -m jobs.run --config FILE --set tracking.mlflow=http://mlflow.example:5000

One MLflow run for each last fingerprint: the same run again is not logged twice.
"""

import json
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from pipelines.config import Config
from pipelines.storage.location import MANIFEST, Location
from pipelines.storage.schemas import LOSSES_FILE, METRICS_FILE

_BATCH = 1000  # metrics that MLflow takes at once
_TAG = "selfcal.fingerprint"


def check(config: Config) -> None:
    """ValueError where tracking is asked for and MLflow is not installed."""
    if config.tracking.mlflow and find_spec("mlflow") is None:
        raise ValueError("tracking.mlflow: MLflow is not installed; pip install mlflow-skinny")


def track(config: Config, artifacts: Mapping[str, Location]) -> None:
    """Logs the artifacts of a run, by step name, where the config names an MLflow store; ValueError
    where that fails."""
    if not config.tracking.mlflow:
        return
    check(config)
    from mlflow.exceptions import MlflowException

    try:
        _log(config, artifacts)
    except MlflowException as error:  # it names the store, whose URI may hold a password
        code = error.error_code
        raise ValueError(
            f"tracking.mlflow: it refuses this run, or does not answer ({code}); the run is done, "
            "and the same command tries to log it again"
        ) from error


def _log(config: Config, artifacts: Mapping[str, Location]) -> None:
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=config.tracking.mlflow)
    known = client.get_experiment_by_name(config.tracking.experiment)
    experiment = (
        known.experiment_id if known else client.create_experiment(config.tracking.experiment)
    )
    manifests = {name: (place / MANIFEST).read_json() for name, place in artifacts.items()}
    last = list(manifests.values())[-1]
    if client.search_runs([experiment], f"tags.`{_TAG}` = '{last['fingerprint']}'"):
        return
    run = client.create_run(experiment, run_name=f"{last['step']}-{last['fingerprint'][:8]}")
    now = int(time.time() * 1000)
    metrics = [
        Metric(name, value, now, step) for name, value, step in _metrics(artifacts, manifests)
    ]
    settings = config.model_dump(mode="json", exclude={"tracking"})
    client.log_batch(
        run.info.run_id,
        params=[Param(key, str(value)) for key, value in _flat(settings)],
        tags=[RunTag("selfcal.root", config.root), RunTag("git", str(last["git_commit"]))],
    )
    for start in range(0, len(metrics), _BATCH):
        client.log_batch(run.info.run_id, metrics=metrics[start : start + _BATCH])
    client.set_tag(run.info.run_id, _TAG, last["fingerprint"])  # last: this run is whole
    client.set_terminated(run.info.run_id)


def _metrics(
    artifacts: Mapping[str, Location], manifests: Mapping[str, Any]
) -> Iterator[tuple[str, float, int]]:
    """(name, value, step) of everything that is a number."""
    for name, manifest in manifests.items():
        yield f"{name}.rows", manifest["rows"], 0
        yield f"{name}.seconds", manifest["seconds"], 0
    for key, value in manifests["label"]["metrics"].items() if "label" in manifests else ():
        if isinstance(value, int | float):
            yield f"label.{key}", value, 0
    if "train" in artifacts:
        for line in (artifacts["train"] / LOSSES_FILE).read_text().splitlines():
            losses = json.loads(line)
            for key in ("loss", "calibration", "generation", "lr"):
                if losses[key] is not None:  # of a step none of whose rows has it
                    yield f"train.{key}", losses[key], losses["step"]
    if "report" in artifacts:
        results = (artifacts["report"] / METRICS_FILE).read_json()
        for dataset, models in results["datasets"].items():
            for model, measured in models.items():
                for key in ("accuracy", "ece", "auroc", "brier"):
                    if measured[key] is not None:
                        yield f"{dataset}.{model}.{key}", measured[key], 0


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys, as --set takes them."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else name)
    else:
        yield key, value
