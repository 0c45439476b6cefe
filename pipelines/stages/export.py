"""Stage `export`: the adapter in PEFT form and the merged model, which vLLM and transformers load.

`adapter/` and `model/` are directories of safetensors with their configs and tokenizer.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.config import Config
from pipelines.running.dag import Result
from pipelines.storage.location import Location
from pipelines.storage.models import fetch
from pipelines.storage.schemas import ADAPTER_DIR, MODEL_DIR


def spec(config: Config) -> dict[str, Any]:
    return {"model": config.model.source, "dtype": config.train.dtype}


def run(config: Config, inputs: Mapping[str, Location], out: Location) -> Result:
    from pipelines.training.lora import merge

    base = fetch(config.model.source)
    with tempfile.TemporaryDirectory() as scratch:
        adapter, merged = Path(scratch, ADAPTER_DIR), Path(scratch, MODEL_DIR)
        adapter.mkdir()
        (inputs["train"] / ADAPTER_DIR).download(adapter)
        merge(base, adapter, config, merged)
        for directory in (adapter, merged):
            (out / directory.name).clear()
            (out / directory.name).upload(directory)
        files = sum(1 for _ in merged.iterdir())
    return Result(files, "", {"base": config.model.source})
