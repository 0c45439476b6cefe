"""A run whose steps are done, as far as their manifests tell."""

from pipelines import pipeline
from pipelines.config import Config
from pipelines.running import dag
from pipelines.storage.location import MANIFEST, Location
from pipelines.storage.schemas import CALIBRATION_FILE, METRICS_FILE


def finish(config: Config, *names: str) -> dict[str, Location]:
    """Where the steps' artifacts are: empty ones."""
    places = {}
    for one in dag.plan(pipeline.steps(config), config.root):
        if one.step.name in names:
            (one.location / MANIFEST).write_json({})
            places[one.step.name] = one.location
    return places


LINE = {"slope": 1.5, "offset": 4.0}  # of each policy by the confidences of tokens


def finish_report(config: Config, base: dict, calibrated: dict) -> Location:
    """A report with thresholds of the policies, and no more measured."""
    (place,) = finish(config, "report").values()
    models = {
        model: {
            policy: {"threshold": one, "curve": [], "line": LINE if "@" in policy else None}
            for policy, one in chosen.items()
        }
        for model, chosen in (("base", base), ("calibrated", calibrated))
    }
    (place / CALIBRATION_FILE).write_json({"model": models, "fallback": "weighted", "budget": 16})
    (place / METRICS_FILE).write_json({"datasets": {}})
    return place
