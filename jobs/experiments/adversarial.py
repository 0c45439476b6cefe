"""Do policies stop early on confident wrong answers, where questions mislead?

Both models answer the data set `adversarial`, with the run's export and settings, but in at least
MAX_TOKENS tokens: its questions want more than others do, and what is cut before it answers tells
nothing of misleading. Each policy that stops early runs at the threshold that the calibration
queries chose, in many orders of a query's samples, there and on the test queries that the report
opens with. So it does at the thresholds of which the calibration queries promise that at most so
many stops are wrong, or lose a right answer (promised.py): a promise for queries like them, which
these are not.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jobs.experiments import compared, elsewhere, promised, reading, recorded
from jobs.experiments.reading import Cell, Reading, Table, Value
from jobs.experiments.stops import Stops, cells, share, stops_of
from pipelines import pipeline
from pipelines.config import Config, vary
from pipelines.datasets.adversarial import asked, questions
from pipelines.method.guarantees import Evidence
from pipelines.method.policies import POLICIES
from pipelines.method.replay import Recorded
from pipelines.running.dag import Step
from pipelines.stages import queries
from pipelines.stages.report.replays import SC
from pipelines.stages.report.responses import Responses
from pipelines.stages.report.verdicts import FEW
from pipelines.storage.location import Location
from pipelines.storage.schemas import MODELS

if TYPE_CHECKING:
    from jobs.experiments.picture import Mark

ADVERSARIAL = "adversarial"
STOPPING = ("early_stopping", "asc_conf", "asc", "esc")
# SmolLM2-135M is cut here as often as it is in domain at the quickstart's 32: a third of the time.
MAX_TOKENS = 96
_VERSION = 2  # promises on lost right answers are among the tables


def steps(config: Config) -> list[Step]:
    recorded.check_calibration(config)
    asking = roomy(config)
    own = elsewhere.of(asking, "[{name: adversarial, split: test}]")
    roles = elsewhere.ROLES
    spec = queries.spec(own, roles) | {"questions": questions()}
    return [
        *pipeline.steps(config, "evaluate"),
        Step(
            "held_out_adversarial",
            partial(queries.run, own, roles=roles),
            spec,
            version=queries.VERSION,
        ),
        elsewhere.answered(asking, "adversarial"),
        reading.step(
            "adversarial",
            partial(read, config),
            recorded.spec(config),
            ("evaluate", "evaluate_adversarial"),
            version=_VERSION,
        ),
    ]


def roomy(config: Config) -> Config:
    """The config with room for longer answers than its own questions may need."""
    most = max(MAX_TOKENS, config.answering.max_tokens)
    return vary(config, [f"evaluate.sampling.max_tokens={most}"])


def read(config: Config, inputs: Mapping[str, Location]) -> Reading:
    from jobs.experiments.picture import intervals

    category = {asked(one): one["category"] for one in questions()}
    title, datasets = recorded.first_group(config)
    usual = title.replace("_", " ")
    max_tokens = {
        usual: config.answering.max_tokens,
        ADVERSARIAL: roomy(config).answering.max_tokens,
    }
    drawn: list[list[Value]] = []
    overall: list[list[Value]] = []
    by_category: list[list[Value]] = []
    shown: dict[tuple[str, str], Evidence] = {}
    samples: dict[str, dict[str, Recorded]] = {}
    for model in MODELS:
        run = recorded.replays(config, inputs["evaluate"], model)
        rows = recorded.rows(inputs["evaluate_adversarial"], model, [*recorded.COLUMNS, "question"])
        kinds = np.array([category[row["question"]] for row in rows])
        tested, misled = run.of_sets(datasets), Responses.of(rows)
        samples[model] = {usual: run.test.recorded.of(tested), ADVERSARIAL: misled.recorded}
        cut = {usual: run.test.cut[tested], ADVERSARIAL: misled.cut}
        for where, some in samples[model].items():
            shares = [share(config, one.mean(1)) for one in (cut[where], some.answers < 0)]
            drawn.append([model, where, str(max_tokens[where]), *shares])
        for name in (SC, *STOPPING):
            chosen = run.chosen.get(name)
            threshold = chosen.threshold if chosen else None
            if name in run.evidence:
                shown[model, name] = run.evidence[name]
            if threshold is None and POLICIES[name].threshold != "none":
                continue  # it is no policy of this run, or there are no calibration queries
            policy = POLICIES[name].make(threshold or 0.0)
            named = name if threshold is None else f"{name} at {threshold:.3g}"
            for where, some in samples[model].items():
                stops = stops_of(policy, some, config.seed)
                overall.append([model, named, where, *cells(config, stops)])
                if (name, where) == (STOPPING[0], ADVERSARIAL):
                    by_category += _by_category(config, model, stops, kinds)
    promises = (
        promised.wrong_stops(config, shown, samples),
        promised.lost_answers(config, shown, samples),
    )
    heading = "[95% over queries], thresholds chosen on calibration queries"
    few = f"; –: fewer than {FEW} queries with stops"
    figures = [("accuracy", ".3f"), ("stops", ".3f"), ("wrong, of stops", ".3f")]
    names = [("model", ""), ("policy", ""), ("questions", ""), *figures]
    categories = [("model", ""), ("category", ""), ("questions", ""), *figures]
    return Reading(
        [
            Table(
                "Responses that are cut, and unparsed ones [95% over queries]",
                [
                    ("model", ""),
                    ("questions", ""),
                    ("max_tokens", ""),
                    ("cut", ".3f"),
                    ("unparsed", ".3f"),
                ],
                drawn,
            ),
            Table(f"Where questions mislead {heading}{few}", names, overall),
            Table(
                f"{STOPPING[0]} on adversarial questions {heading}{few}", categories, by_category
            ),
            *promises,
        ],
        f"{_said_of_responses(drawn)} {_said(overall, usual)} {promised.said(*promises)} "
        f"{recorded.of_one_run(config)}",
        intervals([(f"{model}: wrong, of stops", _marks(overall, model)) for model in MODELS]),
    )


def _marks(overall: Sequence[Sequence[Value]], model: str) -> list["Mark"]:
    """Of each policy that stops, there and on other questions."""
    return [
        compared.mark(f"{str(policy).partition(' ')[0]}, {where}", cell)
        for of, policy, where, *_, cell in overall
        if of == model and policy != SC and isinstance(cell, Cell)
    ]


def _by_category(
    config: Config, model: str, stops: Stops, kinds: NDArray[np.str_]
) -> list[list[Value]]:
    rows: list[list[Value]] = []
    for kind in sorted(set(kinds.tolist())):
        own = kinds == kind
        rows.append([model, kind, str(int(own.sum())), *cells(config, stops.of(own))])
    return rows


def _said_of_responses(drawn: Sequence[Sequence[Value]]) -> str:
    """Of each model, how many are cut and unparsed, there and in other questions."""
    parts = []
    for model, where, _, *of in drawn:
        shares = " and ".join(f"{one.value:.0%}" for one in of if isinstance(one, Cell))
        parts.append(f"{model}, {where}: {shares}")
    return f"Of the responses so many are cut, and unparsed: {'; '.join(parts)}."


def _said(overall: Sequence[Sequence[Value]], usual: str) -> str:
    """Of each model and policy, how often a stop is wrong, there and where it was tuned."""
    parts = []
    wrong = {tuple(row[:3]): row[-1] for row in overall}
    for model, policy, where in wrong:
        here, there = wrong[model, policy, where], wrong.get((model, policy, usual))
        if where != ADVERSARIAL or not isinstance(here, Cell) or not isinstance(there, Cell):
            continue
        if here.value is not None:
            beside = "too few stops" if there.value is None else f"{there.value:.0%}"
            parts.append(f"{policy}, {model}: {here.value:.0%} ({beside} {usual})")
    said = f"Of stops on adversarial questions so many are wrong: {'; '.join(parts)}."
    if not parts:
        said = f"On adversarial questions no policy stops in {FEW} queries or more."
    return said
