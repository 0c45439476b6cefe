"""What comes of a policy that stops early, on recorded responses, in many orders of a query's."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from jobs.experiments.reading import Cell
from pipelines.config import Config
from pipelines.method import metrics
from pipelines.method.metrics import Array
from pipelines.method.policies import Policy
from pipelines.method.replay import Outcome, Recorded, as_recorded, orders_of
from pipelines.stages.report.verdicts import FEW

_ORDERS = 32  # of a query's samples


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
    each = _runs(policy, recorded, seed)
    stopped, right = (np.array([getattr(run, key) for run in each]) for key in ("stopped", "right"))
    return Stops(stopped.mean(0), (stopped & ~right).mean(0), right.mean(0))


def lost_by(policy: Policy, recorded: Recorded, seed: int) -> Array:
    """[queries]: the share of orders in which all samples would have answered rightly, and it
    does not. Of a policy that has a rule for replay, as all have that promises are made of."""
    lost = []
    for run in _runs(policy, recorded, seed):
        assert run.right_after is not None, "else there is no evidence"
        lost.append(run.right_after[-1] & ~run.right)
    return np.mean(lost, axis=0)


def _runs(policy: Policy, recorded: Recorded, seed: int) -> list[Outcome]:
    orders = orders_of(recorded.answers.shape[1], _ORDERS, seed)
    return [as_recorded([policy], recorded.of(np.s_[:, order]))[0] for order in orders]


def cells(config: Config, stops: Stops) -> list[Cell]:
    """Accuracy, the share of stops, and of these the share of wrong ones."""
    return [share(config, stops.right), share(config, stops.stopped), wrong_of(config, stops)]


def wrong_of(config: Config, stops: Stops) -> Cell:
    """The share of stops that are wrong; None of a few queries with stops: where they are all alike
    their interval has no width."""
    if np.count_nonzero(stops.stopped) < FEW:
        return Cell(None)

    def wrong(weights: Array) -> Array:
        stopped, of_these = metrics.mean(stops.stopped, weights), metrics.mean(stops.wrong, weights)
        return np.divide(of_these, stopped, out=np.full(len(weights), np.nan), where=stopped > 0)

    return _cell(config, len(stops.stopped), wrong)


def share(config: Config, of_queries: Array) -> Cell:
    return _cell(config, len(of_queries), partial(metrics.mean, of_queries))


def _cell(config: Config, queries: int, figure: Callable[[Array], Array]) -> Cell:
    value = float(figure(metrics.each_once(queries))[0])
    weights = metrics.resample(queries, config.evaluate.bootstrap, config.seed)
    return Cell(value, metrics.interval(figure(weights)))
