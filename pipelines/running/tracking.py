"""A finished run in MLflow: its config, each step's cost, the losses, and the results.

    python -m jobs.run --config FILE --set tracking.mlflow=http://mlflow.example:5000

One MLflow run for each last fingerprint: the same run again is not logged twice.
"""

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pipelines.config import Config
from pipelines.storage.location import MANIFEST, Location
from pipelines.storage.schemas import LOSSES_FILE, METRICS_FILE

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_TAG = "selfcal.fingerprint"
# A name is a path to MLflow too: no slash, and no dot before all.
_NOT_IN_NAMES = re.compile(r"^\.|[^\w\-. :]")
_LONGEST_NAME = 240  # characters, of 250; the end says most


def check(config: Config) -> None:
    """ValueError where tracking is asked for and MLflow is not installed, or takes no such store.
    A server is not asked."""
    if config.tracking.mlflow:
        _client(config)


def track(config: Config, artifacts: Mapping[str, Location]) -> None:
    """Logs the artifacts of a run, by step name, where the config names an MLflow store; ValueError
    where that fails."""
    if not config.tracking.mlflow:
        return
    client = _client(config)
    from mlflow.exceptions import MlflowException

    try:
        _log(client, config, artifacts)
    except (MlflowException, OSError) as error:
        raise ValueError(
            f"tracking.mlflow: it refuses this run, or does not answer ({_said(error)}); the run "
            "is done, and the same command tries to log it again"
        ) from error


def _client(config: Config) -> "MlflowClient":
    if find_spec("mlflow") is None:
        raise ValueError("tracking.mlflow: MLflow is not installed; pip install mlflow-skinny")
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        return MlflowClient(tracking_uri=config.tracking.mlflow)
    except (MlflowException, OSError) as error:
        raise ValueError(f"tracking.mlflow: {_said(error)}") from error


def _said(error: Exception) -> str:
    """In one line, without the user and the password that a store's URI may hold."""
    return re.sub(r"//\S*@", "//***@", " ".join(str(error).split()))[:1000].rstrip(".")


def _log(client: "MlflowClient", config: Config, artifacts: Mapping[str, Location]) -> None:
    known = client.get_experiment_by_name(config.tracking.experiment)
    experiment = (
        known.experiment_id if known else client.create_experiment(config.tracking.experiment)
    )
    manifests = {name: (place / MANIFEST).read_json() for name, place in artifacts.items()}
    last = list(manifests.values())[-1]
    if client.search_runs([experiment], f"tags.`{_TAG}` = '{last['fingerprint']}'"):
        return
    content = _content(config, artifacts, manifests)
    run = client.create_run(experiment, run_name=f"{last['step']}-{last['fingerprint'][:8]}")
    try:
        client.log_batch(run.info.run_id, **content)
        client.set_terminated(run.info.run_id)
        client.set_tag(run.info.run_id, _TAG, last["fingerprint"])  # last: this run is whole
    except Exception:
        with suppress(Exception):  # as of a store that is away, of which the first one tells
            client.set_terminated(run.info.run_id, "FAILED")
        raise


def _content(
    config: Config, artifacts: Mapping[str, Location], manifests: Mapping[str, Any]
) -> dict[str, Any]:
    """What log_batch takes; of many it makes several."""
    from mlflow.entities import Metric, Param, RunTag

    settings = dict(_flat(config.model_dump(mode="json", exclude={"tracking"})))
    metrics = list(_metrics(artifacts, manifests))
    keys, names = _named(settings), _named(name for name, *_ in metrics)
    now = int(time.time() * 1000)
    commit = str(list(manifests.values())[-1]["git_commit"])
    return {
        "params": [Param(keys[key], str(value)) for key, value in settings.items()],
        "metrics": [Metric(names[name], value, now, step) for name, value, step in metrics],
        "tags": [RunTag("selfcal.root", config.root), RunTag("git", commit)],
    }


def _named(names: Iterable[str]) -> dict[str, str]:
    """Each as MLflow takes it; those that would be one have marks behind."""
    made: dict[str, str] = {}
    for name in dict.fromkeys(names):
        plain = _NOT_IN_NAMES.sub("_", name[-_LONGEST_NAME:])
        while plain in made.values():
            plain += "_"
        made[name] = plain
    return made


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
