"""The run's config: YAML in, checked and frozen, before anything heavy is imported.

`load` reads a file, applies `--set key=value`, and raises ValueError with one line that names
the key; `vary` changes keys of one that was read.
"""

from pipelines.config.reading import load, vary
from pipelines.config.sections import (
    GROUPS,
    IN_DOMAIN,
    OUT_OF_DOMAIN,
    ConfidenceConfig,
    DatasetConfig,
    DrawConfig,
    EngineConfig,
    SamplingConfig,
)
from pipelines.config.whole import Config

__all__ = [
    "GROUPS",
    "IN_DOMAIN",
    "OUT_OF_DOMAIN",
    "ConfidenceConfig",
    "Config",
    "DatasetConfig",
    "DrawConfig",
    "EngineConfig",
    "SamplingConfig",
    "load",
    "vary",
]
