"""Do policies stop early on confident wrong answers, where questions mislead?

Both models answer the data set `adversarial`, with the run's export and settings, but in at least
MAX_TOKENS tokens: its questions want more than others do, and what is cut before it answers tells
nothing of misleading. Each policy that stops early runs at the threshold that the calibration
queries chose, in many orders of a query's samples, there and on the test queries that the report
opens with. So it does at the threshold of which the calibration queries promise that at most so
many stops are wrong (method/guarantees.py): a promise for queries like them, which these are not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jobs.experiments import compared, elsewhere, reading, recorded
from jobs.experiments.reading import Cell, Reading, Table, Value
from pipelines import pipeline
from pipelines.config import Config, vary
from pipelines.datasets.adversarial import asked, questions
from pipelines.method import metrics
from pipelines.method.guarantees import CONFIDENCE, Evidence, max_error
from pipelines.method.metrics import Array
from pipelines.method.policies import POLICIES, Policy
from pipelines.method.replay import Recorded, as_recorded, orders_of
from pipelines.running.dag import Step
from pipelines.stages import queries
from pipelines.stages.report.headline import FEW
from pipelines.stages.report.replays import SC
from pipelines.stages.report.responses import Responses
from pipelines.storage.location import Location
from pipelines.storage.schemas import MODELS

if TYPE_CHECKING:
    from jobs.experiments.picture import Mark

ADVERSARIAL = "adversarial"
STOPPING = ("early_stopping", "asc_conf", "asc", "esc")
LIMITS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)  # of wrong stops; each a promise of its own
# SmolLM2-135M is cut here as often as it is in domain at the quickstart's 32: a third of the time.
MAX_TOKENS = 96
_ORDERS = 32  # of a query's samples


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
        ),
    ]


def roomy(config: Config) -> Config:
    """The config with room for longer answers than its own questions may need."""
    most = max(MAX_TOKENS, config.answering.max_tokens)
    return vary(config, [f"evaluate.sampling.max_tokens={most}"])


@dataclass(frozen=True)
class Stops:
    """A policy's, [queries] each: of the orders of a query's samples, the shares in which it stops
    by itself, in which it does with a wrong answer, and in which it ends with a right one."""

    stopped: Array
    wrong: Array
    right: Array

    def of(self, some: NDArray[np.bool_]) -> "Stops":
        return Stops(self.stopped[some], self.wrong[some], self.right[some])


def stops_of(policy: Policy, recorded: Recorded, seed: int) -> Stops:
    """Under the budget of all samples."""
    orders = orders_of(recorded.answers.shape[1], _ORDERS, seed)
    each = [as_recorded([policy], recorded.of(np.s_[:, order]))[0] for order in orders]
    stopped, right = (np.array([getattr(run, key) for run in each]) for key in ("stopped", "right"))
    return Stops(stopped.mean(0), (stopped & ~right).mean(0), right.mean(0))


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
    promised: list[list[Value]] = []
    for model in MODELS:
        run = recorded.replays(config, inputs["evaluate"], model)
        rows = recorded.rows(inputs["evaluate_adversarial"], model, [*recorded.COLUMNS, "question"])
        kinds = np.array([category[row["question"]] for row in rows])
        tested, misled = run.of_sets(datasets), Responses.of(rows)
        samples = {usual: run.test.recorded.of(tested), ADVERSARIAL: misled.recorded}
        cut = {usual: run.test.cut[tested], ADVERSARIAL: misled.cut}
        for where, some in samples.items():
            shares = [_share(config, one.mean(1)) for one in (cut[where], some.answers < 0)]
            drawn.append([model, where, str(max_tokens[where]), *shares])
        for name in (SC, *STOPPING):
            chosen = run.chosen.get(name)
            threshold = chosen.threshold if chosen else None
            if name in run.evidence:
                promised.append(_promised(config, model, name, run.evidence[name], samples))
            if threshold is None and POLICIES[name].threshold != "none":
                continue  # it is no policy of this run, or there are no calibration queries
            policy = POLICIES[name].make(threshold or 0.0)
            named = name if threshold is None else f"{name} at {threshold:.3g}"
            for where, some in samples.items():
                stops = stops_of(policy, some, config.seed)
                overall.append([model, named, where, *_cells(config, stops)])
                if (name, where) == (STOPPING[0], ADVERSARIAL):
                    by_category += _by_category(config, model, stops, kinds)
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
            Table(
                f"The least share of wrong stops that can be promised, confidence {CONFIDENCE:.0%}"
                f"{few}",
                [
                    ("model", ""),
                    ("policy", ""),
                    ("promised at most", ""),
                    ("threshold", ""),
                    *((f"wrong, {where}", ".3f") for where in (usual, ADVERSARIAL)),
                ],
                promised,
            ),
        ],
        f"{_said_of_responses(drawn)} {_said(overall, promised, usual)}",
        intervals([(f"{model}: wrong, of stops", _marks(overall, model)) for model in MODELS]),
    )


def _marks(overall: Sequence[Sequence[Value]], model: str) -> list["Mark"]:
    """Of each policy that stops, there and on other questions."""
    return [
        compared.mark(f"{str(policy).partition(' ')[0]}, {where}", cell)
        for of, policy, where, *_, cell in overall
        if of == model and policy != SC and isinstance(cell, Cell)
    ]


def _promised(
    config: Config, model: str, name: str, shown: Evidence, samples: Mapping[str, Recorded]
) -> list[Value]:
    """A row: the least of LIMITS that can be promised, and how many stops are wrong then."""
    for limit in LIMITS:
        made = max_error(shown, limit, CONFIDENCE)
        if made.threshold is not None:
            policy = POLICIES[name].make(made.threshold)
            runs = [stops_of(policy, one, config.seed) for one in samples.values()]
            wrong = [_cells(config, one)[-1] for one in runs]
            return [model, name, f"{limit:.0%}", f"{made.threshold:.3g}", *wrong]
    return [model, name, "nothing", "", "", ""]


def _by_category(
    config: Config, model: str, stops: Stops, kinds: NDArray[np.str_]
) -> list[list[Value]]:
    rows: list[list[Value]] = []
    for kind in sorted(set(kinds.tolist())):
        own = kinds == kind
        rows.append([model, kind, str(int(own.sum())), *_cells(config, stops.of(own))])
    return rows


def _cells(config: Config, stops: Stops) -> list[Cell]:
    """Accuracy, the share of stops, and of these the share of wrong ones.

    None of a few queries with stops: where they are all alike their interval has no width.
    """

    def wrong(weights: Array) -> Array:
        stopped, of_these = metrics.mean(stops.stopped, weights), metrics.mean(stops.wrong, weights)
        return np.divide(of_these, stopped, out=np.full(len(weights), np.nan), where=stopped > 0)

    enough = np.count_nonzero(stops.stopped) >= FEW
    return [
        _share(config, stops.right),
        _share(config, stops.stopped),
        _cell(config, len(stops.stopped), wrong) if enough else Cell(None),
    ]


def _share(config: Config, of_queries: Array) -> Cell:
    return _cell(config, len(of_queries), partial(metrics.mean, of_queries))


def _cell(config: Config, queries: int, figure: Callable[[Array], Array]) -> Cell:
    value = float(figure(metrics.each_once(queries))[0])
    weights = metrics.resample(queries, config.evaluate.bootstrap, config.seed)
    return Cell(value, metrics.interval(figure(weights)))


def _said_of_responses(drawn: Sequence[Sequence[Value]]) -> str:
    """Of each model, how many are cut and unparsed, there and in other questions."""
    parts = []
    for model, where, _, *cells in drawn:
        shares = " and ".join(f"{one.value:.0%}" for one in cells if isinstance(one, Cell))
        parts.append(f"{model}, {where}: {shares}")
    return f"Of the responses so many are cut, and unparsed: {'; '.join(parts)}."


def _said(
    overall: Sequence[Sequence[Value]], promised: Sequence[Sequence[Value]], usual: str
) -> str:
    """Of each model and policy, how often a stop is wrong, there and where it was tuned; and which
    promises do not hold there."""
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
    return f"{said} {_said_of_promises(promised)}"


def _said_of_promises(promised: Sequence[Sequence[Value]]) -> str:
    made = [
        (one, float(str(limit).rstrip("%")) / 100)
        for _, _, limit, *_, one in promised
        if isinstance(one, Cell)
    ]
    if not made:
        return "No limit can be promised."
    seen = [(one, one.value, limit) for one, limit in made if one.value is not None]
    few = f"fewer than {FEW} queries with stops"
    if not seen:
        return f"Of {len(made)} promised limits none is seen there: {few}."
    over = [one for one, value, limit in seen if value > limit]
    sure = [one for one, _, limit in seen if one.ci95 and one.ci95[0] > limit]
    unseen = f" ({len(made) - len(seen)} more are not seen: {few})" if len(seen) < len(made) else ""
    return (
        f"Of {len(seen)} promised limits {len(over)} are passed there, {len(sure)} by the whole "
        f"interval{unseen}: a promise is for queries like the calibration queries."
    )
