"""How near confidences are to the truth: base, recalibrated and calibrated, in and out of domain.

Of the recorded responses to the test queries, by group of data sets. Recalibrated are the base
model's, by maps that are fitted on the labels that training learns from (method/recalibration.py):
what fine-tuning has to beat. Of several training runs (`train.seeds`) the calibrated model's
figures are means over them.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from jobs.experiments import compared, reading, recorded
from jobs.experiments.compared import Runs, Statistics
from jobs.experiments.reading import Reading, Table
from jobs.experiments.scores import RANKS, Scores
from pipelines import pipeline
from pipelines.config import Config
from pipelines.method import metrics
from pipelines.method.recalibration import FITS, Map
from pipelines.running.dag import Step
from pipelines.stages.report.figures import groups
from pipelines.stages.report.recalibrated import labels
from pipelines.stages.report.responses import Responses
from pipelines.storage.location import Location
from pipelines.storage.schemas import BASE, CALIBRATED, of_seed

VERSION = 3  # WQD beside AUROC
_SAID = (*RANKS, "Brier", "ECE")
STATISTICS: Statistics = {
    "accuracy": metrics.accuracy,
    **RANKS,
    "Brier": metrics.brier,
}


def steps(config: Config) -> list[Step]:
    made = pipeline.steps(config)[:-1]  # all but the report
    inputs = ["label", *(one.name for one in made if one.name.startswith("evaluate"))]
    spec = recorded.spec(config)
    return [*made, reading.step("calibration", partial(read, config), spec, inputs, VERSION)]


def read(config: Config, inputs: Mapping[str, Location]) -> Reading:
    seen, target, query = labels(inputs["label"])
    maps = {name: fit(seen, target, query) for name, fit in FITS.items()}
    found, seen_sets = {}, []
    for title, sets in groups(config).items():
        if sets not in seen_sets:  # a group of one data set is that set
            seen_sets.append(sets)
            found[title.replace("_", " ")] = _runs(config, inputs, sets, maps)
    return by_group(config, found)


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
        tables.append(compared.figures(heading, runs, STATISTICS, weights, {}))
        differences = [
            compared.differences(f"{heading}, paired", runs, STATISTICS, weights, first)
            for first in ((BASE, CALIBRATED) if len(runs) > 2 else (BASE,))
        ]
        tables += differences
        sentences = [
            compared.sentence(one, name, name in RANKS) for one in differences for name in _SAID
        ]
        said.append(f"{heading}: {' '.join(sentences)}")
        for place, (name, marks) in enumerate(compared.marks(differences[0], _SAID)):
            if len(panels) <= place:
                panels.append((name, []))
            panels[place][1].extend(replace(one, label=f"{title}: {one.label}") for one in marks)
    if any(len(runs) > 2 for runs in found.values()):
        said.append(compared.NOTE)
    return Reading(tables, "\n\n".join(said), intervals(panels))


def _runs(
    config: Config, inputs: Mapping[str, Location], datasets: set[str], maps: Mapping[str, Map]
) -> Runs:
    base = _tested(inputs["evaluate"], BASE, datasets)
    calibrated = ["evaluate", *(of_seed("evaluate", seed) for seed in config.train.seeds)]
    return {
        BASE: [_scores(base)],
        **{name: [_scores(base.recalibrated(one))] for name, one in maps.items()},
        CALIBRATED: [scores(inputs[name], CALIBRATED, datasets) for name in calibrated],
    }


def scores(evaluate: Location, model: str, datasets: set[str]) -> Scores:
    """Of a model's recorded responses to the test queries of some data sets."""
    return _scores(_tested(evaluate, model, datasets))


def _tested(evaluate: Location, model: str, datasets: set[str]) -> Responses:
    rows = recorded.rows(evaluate, model)
    return Responses.of(
        [row for row in rows if row["role"] == "eval" and row["dataset"] in datasets]
    )


def _scores(responses: Responses) -> Scores:
    samples = responses.recorded
    return samples.confidence, samples.correct.astype(np.float64)
