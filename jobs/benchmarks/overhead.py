"""What the DAG, Ray and storage take of a finished quickstart (`make quickstart`), in seconds.

It is what its stages took less two things: the seconds in which the engines had queries and the
trainer was in a step (the baseline; from the manifests), and the start of engines and trainer,
imports and weights, which is measured here in fresh processes.
"""

import time
from collections.abc import Iterator
from pathlib import Path

from jobs.benchmarks.measurement import Measurement, Reach, in_subprocess
from pipelines import config as configs
from pipelines import pipeline
from pipelines.running import dag
from pipelines.storage.location import MANIFEST

_ROOT = Path(__file__).parent.parent.parent
ENGINES = 3  # label's, and evaluate's for the base and for the calibrated model


def run(quick: bool) -> Iterator[Measurement]:
    if quick:
        return
    config = configs.load(str(_ROOT / "jobs/configs/quickstart.yaml"), [])
    config = config.model_copy(update={"root": str(_ROOT / config.root)})
    planned = dag.plan(pipeline.steps(config), config.root)
    if any(one.state != "done" for one in planned):
        print("bench: overhead: no finished quickstart here; `make quickstart` makes one")
        return
    manifests = {one.step.name: (one.location / MANIFEST).read_json() for one in planned}
    metrics = {name: manifest["metrics"] for name, manifest in manifests.items()}
    model = metrics["label"]["busy_seconds"] + metrics["train"]["busy_seconds"]
    for name, live in metrics["evaluate"]["live"].items():
        model += metrics["evaluate"][name]["busy_seconds"] + live["seconds"]
    starts = ENGINES * in_subprocess(engine_start, config) + in_subprocess(trainer_start, config)
    rest = sum(manifest["seconds"] for manifest in manifests.values()) - model - starts
    yield Measurement.of("overhead.quickstart", "s", [(rest, model)], Reach("at most", 0.1))


def engine_start(config: configs.Config) -> float:
    start = time.perf_counter()
    from pipelines.engine.vllm_engine import VLLMEngine

    engine = VLLMEngine.of(config, config.model.source)
    seconds = time.perf_counter() - start
    engine.shutdown()
    return seconds


def trainer_start(config: configs.Config) -> float:
    start = time.perf_counter()
    import pipelines.training.loop  # noqa: F401  what a worker imports
    from pipelines.storage.models import fetch
    from pipelines.training.lora import attach

    attach(fetch(config.model.source), config)
    return time.perf_counter() - start
