"""The DAG, top to bottom: the one file that knows all stages.

    queries -> label -> examples -> train -> export -> evaluate -> report

A stage is a module with `spec(config)`, what decides its content, and
`run(config, inputs, out)`, which reads the artifacts of its inputs and fills a directory.
"""

from functools import partial

from pipelines import (
    cluster,
    evaluate,
    examples,
    export,
    label,
    models,
    queries,
    report,
    train,
)
from pipelines.config import Config
from pipelines.dag import Step

STAGES = {
    "queries": (queries, ()),
    "label": (label, ("queries",)),
    "examples": (examples, ("label",)),
    "train": (train, ("examples",)),
    "export": (export, ("train",)),
    "evaluate": (evaluate, ("queries", "export")),
    "report": (report, ("queries", "label", "examples", "train", "evaluate")),
}


def steps(config: Config, until: str | None = None) -> list[Step]:
    """The steps of a run, up to and with stage `until`; ValueError where there is no such stage."""
    if until is not None and until not in STAGES:
        raise ValueError(f"--until: {until!r} is none of {', '.join(STAGES)}")
    if until not in ("queries", "label", "examples", "train", "export") and not config.data.eval:
        raise ValueError("config: data.eval is empty; name test sets, or stop with --until export")
    names = list(STAGES)
    chosen = names[: names.index(until) + 1] if until else names
    return [
        Step(
            name,
            partial(STAGES[name][0].run, config),
            STAGES[name][0].spec(config),
            STAGES[name][1],
        )
        for name in chosen
    ]


def check(config: Config) -> None:
    """Everything that can be told before Ray or torch start; ValueError with one line."""
    cluster.check_install()
    models.check(config.model.source)
    queries.check(config)
