"""Stage `export`: the adapter in PEFT form and the merged model, which vLLM and transformers load.

`adapter/` and `model/` are directories of safetensors with their configs and tokenizer. The
manifest has the drift of the merged model from base + adapter, on some of the training examples.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from pipelines.config import Config
from pipelines.running.dag import Result
from pipelines.storage.location import Location
from pipelines.storage.models import fetch
from pipelines.storage.schemas import ADAPTER_DIR, EXAMPLE_PARTS, MODEL_DIR

HANDFUL = 16  # examples that the drift is measured on
VERSION = 2  # it measures its drift


def spec(config: Config) -> dict[str, Any]:
    return {"model": config.model.source, "dtype": config.train.dtype}


def run(config: Config, inputs: Mapping[str, Location], out: Location) -> Result:
    from pipelines.training.drift import measure, told
    from pipelines.training.lora import merge

    base = fetch(config.model.source, config.engine.trust_remote_code)
    rows = handful(inputs["examples"], config.train.max_length)
    with tempfile.TemporaryDirectory() as scratch, _threads(config.train.threads):
        adapter, merged = Path(scratch, ADAPTER_DIR), Path(scratch, MODEL_DIR)
        adapter.mkdir()
        (inputs["train"] / ADAPTER_DIR).download(adapter)
        merge(base, adapter, config, merged)
        drift = measure(base, adapter, merged, rows, config)
        for directory in (adapter, merged):
            (out / directory.name).clear()
            (out / directory.name).upload(directory)
        files = sum(1 for _ in merged.iterdir())
    print(told(drift), flush=True)
    return Result(files, "", {"base": config.model.source, "drift": drift})


@contextmanager
def _threads(wanted: int | None) -> Iterator[None]:
    """torch's in this process, to which a submitted job's Ray leaves one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(wanted or os.cpu_count() or 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def handful(examples: Location, max_length: int) -> list[dict[str, Any]]:
    """The first examples whose prompt, response and turn fit; the file is in a seeded order."""
    rows = (row for batch in examples.batches(list(EXAMPLE_PARTS)) for row in batch.to_pylist())
    fitting = (row for row in rows if sum(map(len, row.values())) <= max_length)
    return list(islice(fitting, HANDFUL))
