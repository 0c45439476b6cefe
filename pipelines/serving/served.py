"""What an engine answers with: a model and adapters on it, by the names that requests use."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipelines.config import Config
from pipelines.serving.calibration import Curve
from pipelines.serving.reliability import Reliability
from pipelines.storage.location import Location
from pipelines.storage.schemas import ADAPTER_DIR, BASE, CALIBRATED, MODEL_DIR


@dataclass(frozen=True)
class Served:
    """name: of the model at `source`. adapters: sources by name, each on that model. What was
    measured, by name: curves, by policy, for requests that name no threshold; reliability, by data
    set."""

    name: str
    source: str
    adapters: Mapping[str, str] = field(default_factory=dict)
    curves: Mapping[str, Mapping[str, Curve]] = field(default_factory=dict)
    reliability: Mapping[str, Mapping[str, Reliability]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [self.name, *self.adapters]

    @property
    def default(self) -> str:
        """Of requests that name no model."""
        return CALIBRATED if CALIBRATED in self.names else self.name


def base_model(config: Config) -> Served:
    return Served(BASE, config.model.source)


def calibrated_model(config: Config, export: Location) -> Served:
    """An export as engine.adapter says: its merged model, or the base model with its adapter,
    and with those of serve.adapters."""
    if config.engine.adapter == "merged":
        return Served(CALIBRATED, (export / MODEL_DIR).uri)
    own = {CALIBRATED: (export / ADAPTER_DIR).uri}
    return Served(BASE, config.model.source, {**own, **config.serve.adapters})
