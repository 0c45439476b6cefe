"""The DAG, top to bottom: the one file that knows all stages.

    queries -> label -> examples -> train -> export -> evaluate -> report
                                             held_out --^

Each of train.seeds adds a train, an export and an evaluate of its own.

A stage is a module with `spec(config)`, what decides its content; `VERSION`, which goes up when the
same spec makes another; and `run(config, inputs, out)`, which reads the artifacts of its inputs and
fills a directory.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

from pipelines.config import Config
from pipelines.running import cluster, tracking
from pipelines.running.dag import Step, reads
from pipelines.stages import evaluate, examples, export, label, queries, report, train
from pipelines.storage import models
from pipelines.storage.schemas import CALIBRATED, MODELS, of_seed

NEEDS_NO_TEST_SETS = ("queries", "held_out", "label", "examples", "train", "export")


def steps(config: Config, until: str | None = None) -> list[Step]:
    """The steps of a run, up to and with stage `until`; ValueError where there is no such stage."""
    step = partial(_step, config)
    seeds = config.train.seeds
    further = [_training_run(config, s, [CALIBRATED], partial(of_seed, seed=s)) for s in seeds]
    evaluated = [of_seed("evaluate", seed) for seed in seeds]
    every = [
        step("queries", queries, reads(), roles=("train",)),
        step("held_out", queries, reads(), roles=("calibration", "eval")),
        step("label", label, reads("queries")),
        step("examples", examples, reads("label")),
        *_training_run(config, config.seed, MODELS),
        *chain.from_iterable(further),
        step(
            "report", report,
            reads("held_out", "label", "examples", "train", "evaluate", *evaluated),
        ),
    ]  # fmt: skip
    names = [one.name for one in every]
    if until is not None and until not in names:
        raise ValueError(f"--until: {until!r} is none of {', '.join(names)}")
    if until not in NEEDS_NO_TEST_SETS and not config.data.eval:
        raise ValueError("config: data.eval is empty; name test sets, or stop with --until export")
    return every[: names.index(until) + 1] if until else every


def _step(config: Config, name: str, stage: Any, inputs: Mapping[str, str], **more: Any) -> Step:
    run, spec = partial(stage.run, config, **more), stage.spec(config, **more)
    return Step(name, run, spec, inputs, stage.VERSION)


def _training_run(
    config: Config, seed: int, models: Sequence[str], named: Callable[[str], str] = str
) -> list[Step]:
    """Training with a seed, and the responses of models to the same draws whatever the seed.

    named: what its steps are called.
    """
    own = config.train.model_copy(update={"seeds": ()})  # a run of its own, in a worker's eyes too
    seeded = config.model_copy(update={"seed": seed, "train": own})
    trained, exported = named("train"), named("export")
    return [
        _step(seeded, trained, train, reads("examples")),
        _step(config, exported, export, reads("examples", train=trained)),
        _step(
            config, named("evaluate"), evaluate, reads("held_out", export=exported), models=models
        ),
    ]


def check_named(config: Config) -> None:
    """What can be told of what a config names, without reading data; ValueError with one line."""
    _check_model(config)
    queries.check_named(config)


def check(config: Config) -> None:
    """Everything that can be told before Ray or torch start; ValueError with one line."""
    cluster.check_install()
    tracking.check(config)
    _check_model(config)
    queries.check(config)


def _check_model(config: Config) -> None:
    models.check(config.model.source)
    models.check_modules(config.model.source, config.train.lora.targets)
