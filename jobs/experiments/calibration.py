"""How near confidences are to the truth, base and calibrated, in and out of domain.

Of the recorded responses to the test queries, by group of data sets. Of several training runs
(`train.seeds`) the calibrated model's figures are means over them.
"""

from collections.abc import Mapping
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
    from jobs.experiments.picture import Mark, intervals

    tables: list[Table] = []
    panels: list[tuple[str, list[Mark]]] = []
    said: list[str] = []
    for title, datasets in groups(config).items():
        found = _runs(config, inputs, datasets)
        queries = len(found[BASE][0][0])
        weights = metrics.resample(queries, config.evaluate.bootstrap, config.seed)
        heading = f"{title.replace('_', ' ')}, {queries} queries"
        tables.append(compared.figures(heading, found, STATISTICS, weights, {}))
        apart = compared.differences(f"{heading}, paired", found, STATISTICS, weights, BASE)
        tables.append(apart)
        said.append(
            f"{heading}: {compared.told(apart, 'AUROC', True)} {compared.told(apart, 'Brier')} "
            f"{compared.told(apart, 'ECE')}"
        )
        if not panels:
            panels = compared.marks(apart, ("AUROC", "Brier", "ECE"))
    return Reading(tables, "\n\n".join(said), intervals(panels))


def _runs(config: Config, inputs: Mapping[str, Location], datasets: set[str]) -> Runs:
    calibrated = ["evaluate", *(of_seed("evaluate", seed) for seed in config.train.seeds)]
    return {
        BASE: [_scores(inputs["evaluate"], BASE, datasets)],
        CALIBRATED: [_scores(inputs[name], CALIBRATED, datasets) for name in calibrated],
    }


def _scores(evaluate: Location, model: str, datasets: set[str]) -> Scores:
    rows = [
        row
        for row in recorded.rows(evaluate, model)
        if row["role"] == "eval" and row["dataset"] in datasets
    ]
    samples = Responses.of(rows).recorded
    return samples.confidence, samples.correct.astype(np.float64)
