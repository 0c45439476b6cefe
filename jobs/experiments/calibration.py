"""How near confidences are to the truth, base and calibrated, in and out of domain.

Of the recorded responses to the test queries, by group of data sets. Of several training runs
(`train.seeds`) the calibrated model's figures are means over them.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from jobs.experiments import compared, reading, recorded
from jobs.experiments.compared import Runs, Statistics
from jobs.experiments.reading import Reading, Table
from jobs.experiments.scores import Scores
from pipelines import pipeline
from pipelines.config import Config
from pipelines.method import metrics
from pipelines.running.dag import Step
from pipelines.stages.report.figures import groups
from pipelines.stages.report.responses import Responses
from pipelines.storage.location import Location
from pipelines.storage.schemas import BASE, CALIBRATED, of_seed

STATISTICS: Statistics = {
    "accuracy": metrics.accuracy,
    "AUROC": metrics.auroc,
    "Brier": metrics.brier,
}


def steps(config: Config) -> list[Step]:
    made = pipeline.steps(config)[:-1]  # all but the report
    inputs = [one.name for one in made if one.name.startswith("evaluate")]
    spec = recorded.spec(config)
    return [*made, reading.step("calibration", partial(read, config), spec, inputs)]


def read(config: Config, inputs: Mapping[str, Location]) -> Reading:
    return by_group(
        config,
        {
            title.replace("_", " "): _runs(config, inputs, datasets)
            for title, datasets in groups(config).items()
        },
    )


def by_group(config: Config, found: Mapping[str, Runs]) -> Reading:
    """Of each group of queries, what models come to and how far they are from the base model."""
    from jobs.experiments.picture import Mark, intervals

    tables: list[Table] = []
    panels: list[tuple[str, list[Mark]]] = []
    said: list[str] = []
    for title, runs in found.items():
        queries = len(runs[BASE][0][0])
        weights = metrics.resample(queries, config.evaluate.bootstrap, config.seed)
        heading = f"{title}, {queries} queries"
        apart = compared.differences(f"{heading}, paired", runs, STATISTICS, weights, BASE)
        tables += [compared.figures(heading, runs, STATISTICS, weights, {}), apart]
        told = [compared.told(apart, name, name == "AUROC") for name in ("AUROC", "Brier", "ECE")]
        said.append(f"{heading}: {' '.join(told)}")
        for place, (name, marks) in enumerate(compared.marks(apart, ("AUROC", "Brier", "ECE"))):
            if len(panels) <= place:
                panels.append((name, []))
            panels[place][1].extend(replace(one, label=f"{title}: {one.label}") for one in marks)
    return Reading(tables, "\n\n".join(said), intervals(panels))


def _runs(config: Config, inputs: Mapping[str, Location], datasets: set[str]) -> Runs:
    calibrated = ["evaluate", *(of_seed("evaluate", seed) for seed in config.train.seeds)]
    return {
        BASE: [scores(inputs["evaluate"], BASE, datasets)],
        CALIBRATED: [scores(inputs[name], CALIBRATED, datasets) for name in calibrated],
    }


def scores(evaluate: Location, model: str, datasets: set[str]) -> Scores:
    """Of a model's recorded responses to the test queries of some data sets."""
    rows = [
        row
        for row in recorded.rows(evaluate, model)
        if row["role"] == "eval" and row["dataset"] in datasets
    ]
    samples = Responses.of(rows).recorded
    return samples.confidence, samples.correct.astype(np.float64)
