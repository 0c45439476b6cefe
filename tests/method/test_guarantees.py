"""Promises on thresholds: by hand, and how often they hold over simulated calibration queries."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from mpmath import betainc

from pipelines.method.guarantees import (
    Evidence,
    GivenUp,
    Tried,
    give_up,
    grid,
    max_error,
    max_loss,
    max_loss_with_giving_up,
    p_value,
)
from pipelines.method.policies import POLICIES, GivingUp
from pipelines.method.replay import Recorded, as_recorded
from pipelines.method.trials import evidence

WINDOWS = (2, 3, 4)


def test_a_p_value_is_the_lower_tail_of_a_binomial():
    for queries in (1, 7, 40, 900):
        for bad in {0, queries // 9, queries // 3} - {queries}:
            for limit in (0.01, 0.1, 0.6):
                exact = betainc(queries - bad, bad + 1, 0, 1 - limit, regularized=True)
                assert p_value(bad, queries, limit) == pytest.approx(float(exact), rel=1e-9)
    assert p_value(6, 7, 0.6) == pytest.approx(1 - 0.6**7)
    assert p_value(3, 3, 0.5) == p_value(0, 0, 0.5) == p_value(0, 9, 0.0) == 1.0


@pytest.mark.parametrize("name", POLICIES)
def test_grids_fall_and_hang_on_no_data(name):
    found = grid(name, WINDOWS)
    assert found == sorted(set(found), reverse=True)
    kind = POLICIES[name].threshold
    assert bool(found) == (kind != "none")
    assert kind == "window" or all(0 < one < 1 for one in found)
    assert kind != "window" or found == [4, 3, 2]


def shown(queries=100, **counts):
    """stopped, wrong, lost: at thresholds 0.9, 0.8, ...; samples fall with them."""
    rows = zip(*(counts[key] for key in ("stopped", "wrong", "lost")), strict=True)
    made = [Tried(0.9 - i / 10, *row, 16.0 - i) for i, row in enumerate(rows)]
    return Evidence(queries, made, 4, [GivenUp(0.25, 0, 15.0), GivenUp(0.5, 2, 12.0)])


def test_the_cheapest_threshold_before_the_first_that_fails():
    """Of 100 queries 2 lost are enough for 0.06 at 90% (p = .057), and 3 are not (.143)."""
    made = shown(stopped=[20, 40, 60, 80], wrong=[0, 1, 2, 9], lost=[0, 2, 3, 0])
    assert max_loss(made, 0.06).threshold == 0.8  # and not 0.6, past one that failed
    assert max_loss(made, 0.06, confidence=0.95).threshold == 0.9
    # 1 of 40 stopped is enough for 0.1 (.080), as are 2 of 60 (.053), and 9 of 80 are not.
    assert max_error(made, 0.1).threshold is None  # for the chain starts at 20 without an error
    assert max_error(made, 0.11).threshold == pytest.approx(0.7)


def test_of_thresholds_that_cost_as_much_the_most_careful():
    same = shown(stopped=[60] * 3, wrong=[0] * 3, lost=[0] * 3)
    same = replace(same, tried=[replace(one, avg_samples=8.0) for one in same.tried])
    assert max_error(same, 0.1).threshold == max_loss(same, 0.1).threshold == 0.9


def test_error_chains_start_further_down_too():
    """At the top nothing stops; the second start has half of delta."""
    nothing, some = [0] * 8, [60, 70]
    made = shown(stopped=nothing + some, wrong=[*nothing, 0, 1], lost=[0] * 10)
    assert p_value(0, 60, 0.06) < 0.05 < p_value(0, 45, 0.06)
    assert max_error(made, 0.06).threshold == pytest.approx(0.1)
    fewer = shown(stopped=[*nothing, 45, 70], wrong=[*nothing, 0, 1], lost=[0] * 10)
    assert max_error(fewer, 0.06).threshold is None


def test_too_few_queries_are_refused_with_how_many_it_takes():
    few = shown(queries=20, stopped=[20], wrong=[0], lost=[0])
    for promise in (max_loss(few, 0.05), max_error(few, 0.05), give_up(few, 0.05)):
        assert promise.threshold is None
        assert promise.queries == 45  # 0.95^45 = .0994
        assert "20" in promise.why
    many = shown(queries=45, stopped=[45], wrong=[0], lost=[0])
    assert max_loss(many, 0.05).threshold == max_error(many, 0.05).threshold == 0.9


def test_half_of_the_queries_that_stop_take_twice_as_many():
    made = shown(queries=40, stopped=[20], wrong=[0], lost=[0])
    assert max_error(made, 0.05).queries == 90


def test_at_the_share_that_was_seen_it_takes_about_so_many():
    made = shown(queries=40, stopped=[40], wrong=[1], lost=[1])
    for promise in (max_loss(made, 0.05), max_error(made, 0.05)):
        assert promise.threshold is None
        assert p_value(promise.queries // 40, promise.queries, 0.05) <= 0.1
        assert 100 < promise.queries < 250


def test_what_no_number_of_queries_shows():
    made = shown(queries=40, stopped=[40], wrong=[4], lost=[4])
    for promise in (max_loss(made, 0.05), max_error(made, 0.05)):
        assert (promise.threshold, promise.queries) == (None, None)
        assert "4 of" in promise.why
    never = max_error(shown(stopped=[0], wrong=[0], lost=[0]), 0.05)
    assert (never.threshold, never.queries) == (None, None)
    assert never.why == "none of 100 calibration queries stops early"


def test_a_lower_threshold_and_none():
    made = shown(stopped=[20], wrong=[0], lost=[0])
    assert give_up(made, 0.06).threshold == 0.5
    assert give_up(made, 0.03).threshold == 0.25
    assert give_up(replace(made, after=0, given_up=[]), 0.5).threshold is None


def simulated(queries, seed, step):
    """Easy and hard queries of 8 samples, some that are confidently wrong; confidences in steps."""
    rng = np.random.default_rng(seed)
    ease = rng.beta(2, 1, (queries, 1))
    correct = rng.random((queries, 8)) < ease
    answers = np.where(correct, 0, rng.integers(1, 3, correct.shape))
    answers[rng.random(answers.shape) < 0.05] = -1
    c = np.clip(0.2 + 0.6 * ease + 0.15 * correct + rng.normal(0, 0.1, correct.shape), 0, 1)
    return Recorded(answers, np.round(c / step) * step, correct & (answers >= 0))


def never_stops(name):
    """Sampling that nothing ends: a threshold that is never reached."""
    return POLICIES[name].make(9.0 if POLICIES[name].threshold == "window" else np.inf)


def test_trials_count_what_runs_come_to():
    one = simulated(50, seed=1, step=0.05)
    for name in ("early_stopping", "asc", "esc", "cges"):
        family = POLICIES[name]
        thresholds = grid(name, WINDOWS)
        made = evidence([(t, family.make(t)) for t in thresholds], one)
        assert (made.queries, made.after) == (50, 2)
        for threshold, found in zip(thresholds, made.tried, strict=True):
            (run,) = as_recorded([family.make(threshold)], one)
            at_end = run.right_after[-1]
            assert (found.threshold, found.stopped) == (threshold, run.stopped.sum())
            assert found.wrong == np.sum(run.stopped & ~run.right)
            assert found.lost == np.sum(at_end & ~run.right)
            assert found.avg_samples == pytest.approx(run.samples.mean())
        for found in made.given_up:
            (run,) = as_recorded([GivingUp(never_stops(name), 2, found.below)], one)
            assert found.lost == np.sum(at_end & ~run.right)
            assert found.avg_samples == pytest.approx(run.samples.mean())
    assert evidence([(0.5, family.make(0.5))], simulated(5, 2, 0.1)).given_up
    few = Recorded(*(column[:, :7] for column in one))
    assert evidence([(0.5, family.make(0.5))], few).given_up == []


class Latching:
    """A policy of one's own, of the first sure sample: once it stopped, it answers nothing else."""

    def __init__(self, threshold):
        self.threshold, self.sure, self.last = threshold, None, None

    def start(self):
        return Latching(self.threshold)

    def add(self, answer, confidence):
        self.last = answer
        if self.sure is None and answer is not None and confidence >= self.threshold:
            self.sure = answer
        return self.sure is not None

    def answer(self):
        return self.last if self.sure is None else self.sure


def test_of_a_policy_that_is_known_by_its_tally_alone_nothing_is_shown():
    """What it answers with all samples is not told by a tally that stopped before."""
    one = simulated(50, seed=1, step=0.05)
    assert evidence([(t, Latching(t)) for t in (0.9, 0.5)], one) is None


class Population:
    """Runs of so many queries that their shares are taken for the true ones."""

    AFTER = 2  # of eight samples

    def __init__(self, name, step):
        self.name, self.all = name, simulated(6000, seed=0, step=step)
        self.thresholds, self.below = grid(name, WINDOWS), [0.5, 1.0]
        self.runs = self.run([POLICIES[name].make(t) for t in self.thresholds])
        self.stopped = np.array([run.stopped for run in self.runs])
        self.wrong = np.array([run.stopped & ~run.right for run in self.runs])
        self.loses = np.array([lost(run) for run in self.runs])
        self.samples = np.array([run.samples for run in self.runs])
        never = never_stops(name)
        given_up = self.run([GivingUp(never, self.AFTER, below) for below in self.below])
        self.loses_given_up = np.array([lost(run) for run in given_up])
        self.samples_given_up = np.array([run.samples for run in given_up])

    def run(self, policies):
        return as_recorded(policies, self.all)

    def drawn(self, queries, rng):
        """What as many calibration queries show."""
        at = rng.integers(0, self.stopped.shape[1], queries)
        columns = (one[:, at].sum(1) for one in (self.stopped, self.wrong, self.loses))
        rows = zip(self.thresholds, *columns, self.samples[:, at].mean(1), strict=True)
        made = [Tried(t, *map(int, counts), float(used)) for t, *counts, used in rows]
        counts = zip(
            self.below,
            self.loses_given_up[:, at].sum(1).tolist(),
            self.samples_given_up[:, at].mean(1).tolist(),
            strict=True,
        )
        return Evidence(queries, made, self.AFTER, [GivenUp(*row) for row in counts])

    def shares(self, promised):
        """The true ones, by threshold: of errors where it stops, or of answers lost by stopping, or
        by giving up."""
        if promised == "giving up":
            return dict(zip(self.below, self.loses_given_up.mean(1), strict=True))
        shares = self.loses.mean(1)
        if promised == "error":
            shares = self.wrong.sum(1) / np.maximum(1, self.stopped.sum(1))
        return dict(zip(self.thresholds, shares, strict=True))

    def lost_by_both(self, threshold, below):
        """The true share that either loses, in one run with both."""
        stopping = POLICIES[self.name].make(threshold)
        (run,) = self.run([GivingUp(stopping, self.AFTER, below)])
        return lost(run).mean()


def lost(run):
    return run.right_after[-1] & ~run.right


@pytest.mark.parametrize(
    ("name", "step", "promised", "limit"),
    [
        ("early_stopping", 1e-9, "error", 0.08),
        ("early_stopping", 0.2, "error", 0.08),  # five confidences: ties everywhere
        ("cges", 0.2, "error", 0.1),
        ("esc", 0.2, "error", 0.1),
        ("early_stopping", 1e-9, "loss", 0.02),
        ("early_stopping", 0.2, "loss", 0.02),
        ("asc", 0.2, "loss", 0.02),
        ("asc", 0.2, "giving up", 0.1),
        ("early_stopping", 0.2, "giving up", 0.1),
    ],
)
@pytest.mark.parametrize("queries", [40, 250])
def test_a_promise_holds_as_often_as_it_says(name, step, promised, limit, queries):
    """In 90% of the draws of calibration queries, also where a threshold is barely over the limit;
    what is seen alone, without a test, is over it more often than that."""
    all_of_them, rng = Population(name, step), np.random.default_rng(1)
    truth = all_of_them.shares(promised)
    # The worst case: the next one is just not good.
    limit = min(share for share in truth.values() if share > limit) - 1e-9
    rule = {"error": max_error, "loss": max_loss, "giving up": give_up}[promised]
    broken, naive = 0, 0
    for _ in range(400):
        seen = all_of_them.drawn(queries, rng)
        threshold = rule(seen, limit).threshold
        broken += threshold is not None and truth[threshold] > limit
        bad = [
            (one.wrong, one.stopped) if promised == "error" else (one.lost, queries)
            for one in (seen.given_up if promised == "giving up" else seen.tried)
        ]
        fine = [t for t, (k, n) in zip(truth, bad, strict=True) if n and k <= limit * n]
        naive += bool(fine) and truth[fine[-1]] > limit
    assert broken / 400 <= 0.1 + 2 * np.sqrt(0.09 / 400)
    assert naive / 400 > 0.15


@pytest.mark.parametrize(("name", "threshold"), [("asc", 0.5622), ("esc", 2.0)])
@pytest.mark.parametrize("queries", [40, 250])
def test_a_promise_of_two_thresholds_holds_of_both_together(name, threshold, queries):
    """Where what they lose together is barely over the limit, and either alone is not."""
    all_of_them, rng = Population(name, 0.2), np.random.default_rng(1)
    limit = all_of_them.lost_by_both(threshold, 1.0) - 1e-9
    assert all_of_them.shares("loss")[threshold] < limit
    assert all_of_them.shares("giving up")[1.0] < limit
    truth, made, broken = {}, 0, 0
    for _ in range(400):
        upper, lower = max_loss_with_giving_up(all_of_them.drawn(queries, rng), limit)
        pair = (upper.threshold, lower.threshold)
        if None not in pair:
            if pair not in truth:
                truth[pair] = all_of_them.lost_by_both(*pair)
            made += 1
            broken += truth[pair] > limit
    assert made > 100
    assert broken / 400 <= 0.1 + 2 * np.sqrt(0.09 / 400)


@pytest.mark.parametrize("rule", [max_error, max_loss])
def test_of_many_thresholds_that_are_all_just_not_good_none_is_promised(rule):
    """Counts that are drawn for each anew: where one is bad, the next may look good by chance. So a
    sequence that goes on after a failure, or a whole delta for each of them, breaks promises."""
    rng, limit, queries, thresholds = np.random.default_rng(0), 0.2, 57, 60
    # Of these nearly all of delta can be used up: whole, and in one of 15 parts.
    assert 0.09 < p_value(7, queries, limit) < 0.1 < p_value(8, queries, limit)
    assert 0.09 < 15 * p_value(4, queries, limit) < 0.1 < 15 * p_value(5, queries, limit)
    broken = 0
    for _ in range(1000):
        bad = rng.binomial(queries, limit, thresholds).tolist()
        made = [Tried(1 - i / 99, queries, k, k, 9.0) for i, k in enumerate(bad)]
        broken += rule(Evidence(queries, made, 0, []), limit).threshold is not None
    assert 0.07 < broken / 1000 <= 0.1 + 2 * np.sqrt(0.09 / 1000)


def test_enough_queries_are_promised_something():
    rng = np.random.default_rng(4)
    everyone = Population("early_stopping", 1e-9)
    for _ in range(20):
        seen = everyone.drawn(400, rng)
        assert max_error(seen, 0.12).threshold is not None
        assert max_loss(seen, 0.03).threshold is not None


def test_both_thresholds_have_half_of_the_limit_and_of_delta():
    """Of 100 queries 2 lost are enough for 0.07 at 95% (p = .026), and 3 are not (.074)."""
    made = shown(stopped=[20, 40, 60], wrong=[0] * 3, lost=[0, 2, 3])
    upper, lower = max_loss_with_giving_up(made, 0.14)
    assert (upper.threshold, lower.threshold) == (0.8, 0.5)
    upper, lower = max_loss_with_giving_up(made, 0.05)
    assert (upper.threshold, upper.queries) == (None, 119)  # 0.975^119 = .049


def test_stopping_and_giving_up_lose_what_either_loses():
    one = simulated(2000, seed=5, step=0.1)
    for name, threshold in (("early_stopping", 0.7), ("asc", 0.7), ("cges", 0.9), ("esc", 2)):
        stopping = POLICIES[name].make(threshold)
        never = POLICIES[name].make({"esc": 9}.get(name, np.inf))
        runs = as_recorded([stopping, GivingUp(never, 2, 1.0), GivingUp(stopping, 2, 1.0)], one)
        stops, gives_up, both = (run.right_after[-1] & ~run.right for run in runs)
        assert both.sum() > stops.sum()
        assert not np.any(both & ~stops & ~gives_up)


def test_no_more_accuracy_is_lost_than_right_answers():
    for name in ("early_stopping", "asc"):
        everyone = Population(name, 0.1)
        shares = everyone.shares("loss").values()
        for run, share in zip(everyone.runs, shares, strict=True):
            assert run.right_after[-1].mean() - run.right.mean() <= share


@pytest.mark.parametrize("name", ["early_stopping", "asc"])
def test_of_few_queries_nothing_is_promised(name):
    all_of_them, rng = Population(name, 0.2), np.random.default_rng(2)
    for queries in (1, 5, 20):
        for _ in range(20):
            seen = all_of_them.drawn(queries, rng)
            for promise in (max_error(seen, 0.05), max_loss(seen, 0.05)):
                assert promise.threshold is None
                assert promise.why
                assert promise.queries is None or promise.queries > queries


def test_more_is_not_promised_with_more_confidence():
    seen = Population("early_stopping", 0.1).drawn(400, np.random.default_rng(3))
    used = {one.threshold: one.avg_samples for one in seen.tried} | {None: 99.0}
    for rule in (max_error, max_loss):
        by_confidence = [used[rule(seen, 0.15, c).threshold] for c in (0.5, 0.8, 0.9, 0.99)]
        by_limit = [used[rule(seen, limit).threshold] for limit in (0.4, 0.2, 0.1, 0.01)]
        for chain in (by_confidence, by_limit):
            assert all(a <= b for a, b in pairwise(chain))
