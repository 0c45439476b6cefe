"""Do policies stop early on confident wrong answers, where questions mislead?

Both models answer the data set `adversarial`, with the run's export and settings. Each policy that
stops early runs at the threshold that the calibration queries chose, in many orders of a query's
samples, there and on the test queries that the report opens with. A stop is early before the last
sample of the budget; how many of the early stops are wrong is what a threshold was chosen to keep
small on queries of another kind.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from jobs.experiments import elsewhere, reading, recorded
from jobs.experiments.reading import Cell, Reading, Table, Value
from pipelines import pipeline
from pipelines.config import Config
from pipelines.datasets.adversarial import asked, questions
from pipelines.method import metrics
from pipelines.method.metrics import Array
from pipelines.method.policies import POLICIES, Policy, in_order
from pipelines.method.replay import Flags, Recorded, orders_of
from pipelines.running.dag import Step
from pipelines.stages import queries
from pipelines.stages.report.replays import SC
from pipelines.stages.report.responses import Responses
from pipelines.storage.location import Location
from pipelines.storage.schemas import MODELS

ADVERSARIAL = "adversarial"
STOPPING = ("early_stopping", "asc_conf", "asc", "esc")
_ORDERS = 32  # of a query's samples, each by the policies' own tallies


def steps(config: Config) -> list[Step]:
    made = pipeline.steps(config, "evaluate")
    own = elsewhere.of(config, "[{name: adversarial, split: test}]")
    roles = elsewhere.ROLES
    spec = queries.spec(own, roles) | {"questions": questions()}
    return [
        *made,
        Step("held_out_adversarial", partial(queries.run, own, roles=roles), spec),
        elsewhere.answered(config, "adversarial"),
        reading.step(
            "adversarial",
            partial(read, config),
            recorded.spec(config),
            ("held_out", "evaluate", "evaluate_adversarial"),
        ),
    ]


@dataclass(frozen=True)
class Stops:
    """A policy's, [queries] each: of the orders of a query's samples, the shares in which it stops
    early, in which that is with a wrong answer, and in which it ends with a right one."""

    early: Array
    wrong: Array
    right: Array

    def of(self, some: Flags) -> "Stops":
        return Stops(self.early[some], self.wrong[some], self.right[some])


def stops_of(policy: Policy, recorded: Recorded, seed: int) -> Stops:
    """By the policy's own tallies, under the budget of all samples."""
    samples = recorded.answers.shape[1]
    orders = orders_of(samples, _ORDERS, seed)
    early, right = np.zeros((2, len(recorded.answers), len(orders)))
    for query, (answers, confidence, correct) in enumerate(zip(*recorded, strict=True)):
        names = [None if code < 0 else str(code) for code in answers]
        verdict = dict(zip(names, correct.tolist(), strict=True))
        drawn = list(zip(names, confidence.tolist(), strict=True))
        for number, order in enumerate(orders):
            run = in_order(policy, [drawn[place] for place in order])
            early[query, number] = run.samples[-1] < samples
            right[query, number] = verdict.get(run.answers[-1], False)
    wrong = early * (1 - right)
    return Stops(early.mean(1), wrong.mean(1), right.mean(1))


def read(config: Config, inputs: Mapping[str, Location]) -> Reading:
    from jobs.experiments.picture import Mark, intervals

    category = {asked(one): one["category"] for one in questions()}
    title, datasets = recorded.first_group(config)
    usual = title.replace("_", " ")
    overall: list[list[Value]] = []
    by_category: list[list[Value]] = []
    panels: list[tuple[str, list[Mark]]] = []
    for model in MODELS:
        run = recorded.replays(config, inputs["evaluate"], model)
        rows = recorded.rows(inputs["evaluate_adversarial"], model, [*recorded.COLUMNS, "question"])
        kinds = np.array([category[row["question"]] for row in rows])
        samples = {
            usual: run.test.recorded.of(run.of_sets(datasets)),
            ADVERSARIAL: Responses.of(rows).recorded,
        }
        for name in (SC, *STOPPING):
            chosen = run.chosen.get(name)
            threshold = chosen.threshold if chosen else None
            if threshold is None and POLICIES[name].threshold != "none":
                continue  # it is no policy of this run, or there are no calibration queries
            policy = POLICIES[name].make(threshold or 0.0)
            named = name if threshold is None else f"{name} at {threshold:.3g}"
            for where, some in samples.items():
                stops = stops_of(policy, some, config.seed)
                overall.append([model, named, where, *_cells(config, stops)])
                if (name, where) == (STOPPING[0], ADVERSARIAL):
                    by_category += _by_category(config, model, stops, kinds)
        marks = []
        for row in by_category:
            if row[0] == model and isinstance(cell := row[-1], Cell):
                low, high = cell.ci95 or (np.nan, np.nan)
                value = np.nan if cell.value is None else cell.value
                marks.append(Mark(str(row[1]), value, low, high))
        panels.append((f"{model}: share of wrong early stops", marks))
    heading = "[95% over queries], thresholds chosen on calibration queries"
    figures = [("accuracy", ".3f"), ("stops early", ".3f"), ("wrong, of early stops", ".3f")]
    names = [("model", ""), ("policy", ""), ("questions", ""), *figures]
    categories = [("model", ""), ("category", ""), ("questions", ""), *figures]
    return Reading(
        [
            Table(f"Where questions mislead {heading}", names, overall),
            Table(f"{STOPPING[0]} on adversarial questions {heading}", categories, by_category),
        ],
        _said(overall, usual),
        intervals(panels),
    )


def _by_category(
    config: Config, model: str, stops: Stops, kinds: NDArray[np.str_]
) -> list[list[Value]]:
    rows: list[list[Value]] = []
    for kind in sorted(set(kinds.tolist())):
        own = kinds == kind
        rows.append([model, kind, str(int(own.sum())), *_cells(config, stops.of(own))])
    return rows


def _cells(config: Config, stops: Stops) -> list[Cell]:
    """Accuracy, the share of early stops, and of these the share of wrong ones."""
    queries = len(stops.early)
    weights = metrics.resample(queries, config.evaluate.bootstrap, config.seed)

    def cell(figure: Callable[[Array], Array]) -> Cell:
        value = float(figure(metrics.each_once(queries))[0])
        return Cell(value, metrics.interval(figure(weights)))

    def wrong(weights: Array) -> Array:
        early, of_these = metrics.mean(stops.early, weights), metrics.mean(stops.wrong, weights)
        return np.divide(of_these, early, out=np.full(len(weights), np.nan), where=early > 0)

    return [
        cell(partial(metrics.mean, stops.right)),
        cell(partial(metrics.mean, stops.early)),
        cell(wrong),
    ]


def _said(overall: Sequence[Sequence[Value]], usual: str) -> str:
    """Of each model and policy, how often an early stop is wrong, there and where it was tuned."""
    parts = []
    wrong = {tuple(row[:3]): row[-1] for row in overall}
    for model, policy, where in wrong:
        here, there = wrong[model, policy, where], wrong.get((model, policy, usual))
        if where != ADVERSARIAL or not isinstance(here, Cell) or not isinstance(there, Cell):
            continue
        if here.value is not None and not np.isnan(here.value) and there.value is not None:
            parts.append(f"{policy}, {model}: {here.value:.0%} ({there.value:.0%} {usual})")
    return f"Of early stops on adversarial questions so many are wrong: {'; '.join(parts)}."
