"""Samples of one request: decided as their replay is, whatever the schedule, and ended together."""

import asyncio
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from clock import run_patiently
from fakes import DRAWING, FakeEngine

from pipelines.engine.sampling import QuerySampler, label_query, sample_room
from pipelines.method.policies import POLICIES, in_order, joined
from pipelines.method.recalibration import Line
from pipelines.method.token_confidences import SOURCES
from pipelines.serving import adaptive
from pipelines.serving.adaptive import decide
from pipelines.serving.scaling import Plan
from pipelines.storage.schemas import SAMPLE

P_TRUE = {"It is 4.": 0.8, "It is 5.": 0.3, "I do not know.": 0.9}
MASS = {"It is 4.": 0.9, "It is 5.": 0.5, "I do not know.": 0.95}
QUERY = {"query_id": "q", "prompt_ids": [1, 2, 3], "kind": "number", "dataset": "d"}
SCHEDULES = ["sequential", "waves", "all", (3,)]
UNSCORED = {"self_consistency", "asc", "asc_beta", "esc", "esc_sliding"}


def engine(texts=P_TRUE, delays=True):
    return FakeEngine(list(texts), P_TRUE, delays, MASS)


def sampler(fake, kind="number"):
    return QuerySampler(fake, DRAWING, 0, "q", [1, 2, 3], kind)


def plan(policy, budget=12, schedule="waves", by_arrival=False, threshold=None, kind="number"):
    if threshold is None:
        threshold = {"none": None, "window": 2}.get(POLICIES[policy].threshold, 0.7)
    return Plan(policy, threshold, budget, schedule, by_arrival, kind, None, DRAWING, 0, "q")


def decided(fake, made, room=None, **more):
    """The decision, and what was spent on it."""

    async def run():
        one = sampler(fake, made.kind)
        return await decide(one, made, room or sample_room(64), **more), one.counters

    return (run_patiently if "seconds" in more else asyncio.run)(run())


def recorded(n=12):
    row = asyncio.run(label_query(engine(delays=False), DRAWING, 0, QUERY, n, sample_room(16)))
    return [(s["answer"], s["p_true"]) for s in row["samples"]]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_decision_is_its_replay(policy, schedule):
    made = plan(policy, schedule=schedule)
    expected = in_order(POLICIES[policy].make(made.threshold or 0.0), recorded())
    fake = engine()
    found, spent = decided(fake, made)
    assert (found.answer, len(found.used)) == (expected.answers[-1], expected.samples[-1])
    assert [one.index for one in found.used] == list(range(len(found.used)))
    if len(found.used) < 12:
        assert found.reason == "policy"
    assert (fake.running, fake.scoring) == (0, 0)
    if policy in UNSCORED:
        assert fake.scored == []
        assert spent.scored_tokens == spent.scored_responses == 0
        assert all(math.isnan(one.p_true) for one in found.used)
        assert found.confidences is None
    else:
        assert [one.p_true for one in found.used] == [c for _, c in recorded()[: len(found.used)]]


LINES = {
    "mean_logprob": Line(3.0, 1.0), "tail_entropy": Line(9.0, 5.0), "lowest_group": Line(4.0, -3.0),
}  # fmt: skip


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("source", LINES)
@pytest.mark.parametrize("policy", ["early_stopping", "sc_conf", "cges", "asc_conf", "best_of_n"])
def test_a_decision_by_the_confidences_of_tokens_is_its_replay(policy, source, schedule):
    """Of those that evaluation records, by the map that a report fitted; nothing is scored."""
    size, fake = 4, engine()
    row = asyncio.run(
        label_query(
            engine(delays=False), replace(DRAWING, tells=True), 0, QUERY, 12, sample_room(16), size
        )
    )
    surer, line = SOURCES[source].surer, LINES[source]
    values = [surer * np.float32(one[source]) for one in row["samples"]]
    wanted = [float(np.float32(1 / (1 + math.exp(-line.slope * x - line.offset)))) for x in values]
    assert len(set(wanted)) > 1
    name, made = joined(policy, source), plan(policy, schedule=schedule)
    threshold = made.threshold and sorted(wanted)[6]
    made = replace(
        made, policy=name, threshold=threshold, line=line, drawing=replace(DRAWING, tells=True)
    )

    async def run():
        one = QuerySampler(fake, made.drawing, 0, "q", [1, 2, 3], "number", group_size=size)
        return await decide(one, made, sample_room(64)), one.counters

    found, spent = asyncio.run(run())
    samples = [(one["answer"], c) for one, c in zip(row["samples"], wanted, strict=True)]
    expected = in_order(POLICIES[policy].make(threshold or 0.0), samples)
    assert (found.answer, len(found.used)) == (expected.answers[-1], expected.samples[-1])
    assert found.confidences == pytest.approx(wanted[: len(found.used)])
    assert found.confidence == pytest.approx(
        max(c for answer, c in samples[: len(found.used)] if answer == found.answer)
    )
    assert fake.scored == []
    assert spent.scored_tokens == 0
    assert all(math.isnan(one.p_true) for one in found.used)


def test_what_was_fitted_decides():
    """At a low temperature the surest sample, at a high one the majority."""
    answers = set()
    for temperature in (0.01, 10.0):
        made = replace(plan("cisc"), fitted={"temperature": temperature})
        expected = in_order(POLICIES["cisc"].make(0.0, temperature=temperature), recorded())
        fake = FakeEngine(["It is 4.", "It is 5.", "It is 5."], P_TRUE)
        found, _ = decided(fake, made)
        answers.add(found.answer)
        assert decided(engine(), made)[0].answer == expected.answers[-1]
    assert answers == {"4", "5"}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_it_gives_up_where_too_few_samples_agree(schedule):
    fake = FakeEngine(["It is 4.", "It is 5.", "I do not know."], P_TRUE, delays=True)
    made = replace(plan("sc_conf", schedule=schedule), give_up=(3, 1.0))
    found, _ = decided(fake, made)
    assert (found.reason, len(found.used), found.answer) == ("gave up", 3, "4")
    assert (fake.running, fake.scoring) == (0, 0)
    agreeing = FakeEngine(["It is 4."], P_TRUE)
    assert decided(agreeing, made)[0].reason == "budget"
    sure = replace(plan("early_stopping", threshold=0.7), give_up=(3, 1.0))
    assert decided(FakeEngine(list(P_TRUE), P_TRUE), sure)[0].reason == "policy"


def test_a_wave_does_not_reach_past_where_it_may_give_up():
    fake = FakeEngine(["It is 4.", "It is 5.", "I do not know."], P_TRUE)
    found, _ = decided(fake, replace(plan("self_consistency"), give_up=(3, 1.0)))
    assert found.started == 3


def test_one_by_one_nothing_is_drawn_in_vain():
    fake = engine()
    found, spent = decided(fake, plan("early_stopping", schedule="sequential"))
    assert found.started == found.finished == len(found.used) == len(fake.drawn)
    assert spent.generated_tokens == sum(one.generated.num_tokens for one in found.used)


def test_siblings_end_with_the_decision_and_are_counted():
    fake = FakeEngine(["It is 4."], P_TRUE, delays=True)
    found, spent = decided(fake, plan("early_stopping", 30, "all", threshold=0.5))
    assert (found.reason, len(found.used)) == ("policy", 1)
    assert found.started == 30 == found.finished + fake.cancelled
    assert fake.cancelled > 0
    assert spent.generated_tokens > found.used[0].generated.num_tokens  # what they had made


def test_what_each_aborted_sample_had_drawn_is_told():
    told = {}
    found, spent = decided(
        engine(),
        plan("early_stopping", schedule="all"),
        tell=lambda index, what, more: told.setdefault(what, {}).update({index: more}),
    )
    assert len(told["aborted"]) == found.started - found.finished > 0
    finished = sum(one.generated.num_tokens for one in told["finished"].values())
    assert sum(told["aborted"].values()) == spent.generated_tokens - finished > 0


def test_by_arrival_samples_decide_as_they_end():
    """Delays follow from keys, so they end in another order than they began."""
    ended = []
    found, _ = decided(
        engine(),
        plan("best_of_n", schedule="all", by_arrival=True),
        tell=lambda index, what, more: ended.append(index) if what == "finished" else None,
    )
    assert [one.index for one in found.used] == ended != sorted(ended)


def test_the_engine_takes_no_more_than_has_room():
    fake = engine()
    decided(fake, plan("best_of_n", 40, "all"), room=asyncio.Semaphore(5))
    assert fake.most_running <= 5


def test_what_waited_for_room_was_not_started():
    fake = engine()
    made = plan("early_stopping", 30, "all", threshold=0.5)
    found, _ = decided(fake, made, room=asyncio.Semaphore(2))
    assert found.started == len(fake.drawn) < 30


@pytest.mark.parametrize("leaves", [False, True])
def test_when_a_policy_stops_or_its_caller_leaves_no_score_goes_on(leaves):
    async def run():
        fake = engine()
        made = plan("best_of_n" if leaves else "early_stopping", 30, "all", threshold=0.5)
        asked = asyncio.ensure_future(decide(sampler(fake), made, sample_room(10)))
        if leaves:
            fake.pause = asyncio.Event()
            while not (fake.scoring and fake.running):
                await asyncio.sleep(0)
            asked.cancel()
        await asyncio.wait([asked])
        return asked.cancelled(), fake.running, fake.scoring

    assert asyncio.run(run()) == (leaves, 0, 0)


class Endless(FakeEngine):
    """Of whose draws one never ends."""

    def __init__(self, *arguments, place=2):
        super().__init__(*arguments)
        self.place = place

    async def draw(self, *arguments):
        if len(self.drawn) == self.place:
            self.drawn.append(0)
            await asyncio.Event().wait()
        return await super().draw(*arguments)


@pytest.mark.parametrize("place", [0, 2])
def test_a_deadline_ends_it_with_what_is_there(place):
    """Also with what waited for one before it."""
    fake = Endless(list(P_TRUE), P_TRUE, place=place)
    found, _ = decided(fake, plan("self_consistency", 4, "all"), seconds=60)
    there = [i for i in range(4) if i != place]
    assert found.reason == "deadline"
    assert [one.index for one in found.used] == there
    samples = [recorded(4)[i] for i in there]
    assert found.answer == in_order(POLICIES["self_consistency"].make(0), samples).answers[-1]
    assert (found.started, found.finished) == (4, 3)


def test_a_policy_that_skips_a_sample_at_a_deadline_was_ended_by_it():
    """Though it is sure of the next one: what it has seen hangs on the timing."""
    fake = Endless(list(P_TRUE), P_TRUE, place=0)
    found, _ = decided(fake, plan("early_stopping", 8, "all", threshold=0.0), seconds=60)
    replay = in_order(POLICIES["early_stopping"].make(0.0), recorded(8)[1:])
    assert found.reason == "deadline"
    assert (found.answer, len(found.used)) == (replay.answers[-1], replay.samples[-1])
    assert len(found.used) < 7


@pytest.mark.parametrize(("threshold", "reason"), [(0.0, "policy"), (0.95, "deadline")])
def test_at_a_deadline_too_a_policy_stops_where_it_is_sure(threshold, reason):
    """Where it saw all up to there in their order, as its replay does."""

    class Late(QuerySampler):
        """Whose first answer is not told from others before the deadline."""

        asked = 0

        async def classed(self, sample):
            self.asked += 1
            if self.asked == 1:
                await asyncio.Event().wait()
            return await super().classed(sample)

    made = plan("early_stopping", 8, "all", threshold=threshold)

    async def run():
        late = Late(engine(), DRAWING, 0, "q", [1, 2, 3], made.kind)
        return await decide(late, made, sample_room(64), seconds=60)

    found = run_patiently(run())
    replay = in_order(POLICIES["early_stopping"].make(threshold), recorded(8))
    assert (found.reason, found.answer) == (reason, replay.answers[-1])
    assert [one.index for one in found.used] == list(range(replay.samples[-1]))


def test_what_waves_do_not_ask_is_not_looked_up(monkeypatch):
    """What a policy may stop at takes its time, and only waves go by it."""

    def asked(*arguments):
        raise AssertionError("it was looked up")

    monkeypatch.setattr(adaptive, "soonest", asked)
    for schedule in ("sequential", "all", (3,)):
        assert decided(engine(), plan("asc", schedule=schedule))[0].answer is not None


def test_a_timeout_of_the_engines_is_no_deadline():
    class Late(FakeEngine):
        async def draw(self, *arguments):
            raise TimeoutError("the engine's own")

    with pytest.raises(TimeoutError, match="own"):
        decided(Late(list(P_TRUE), P_TRUE), plan("best_of_n", 4), seconds=60)


def test_a_caller_that_goes_away_takes_all_with_it():
    fake = Endless(list(P_TRUE), P_TRUE)

    async def run():
        task = asyncio.create_task(
            decide(sampler(fake), plan("best_of_n", 12, "all"), sample_room(16))
        )
        while len(fake.drawn) < 12:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    asyncio.run(run())
    assert (fake.running, fake.scoring) == (0, 0)


def test_an_engine_error_reaches_the_caller():
    fake = FakeEngine(["It is 4."], {})  # a KeyError, when it scores
    with pytest.raises(KeyError, match="It is 4"):
        decided(fake, plan("best_of_n", 3))


def test_what_is_told_as_it_goes_on():
    told = []
    fake = engine()
    found, _ = decided(
        fake, plan("best_of_n", 4), tell=lambda index, what, more: told.append((index, what, more))
    )
    for one in found.used:
        own = [(what, more) for index, what, more in told if index == one.index]
        assert [what for what, _ in own if what != "text"] == ["started", "finished", "used"]
        text = "".join(more for what, more in own if what == "text")
        assert text == one.generated.text


def test_the_message_is_the_surest_of_its_answer():
    found, _ = decided(engine(), plan("self_consistency", 12))
    assert found.chosen == next(one for one in found.used if one.answer == found.answer)
    found, _ = decided(engine(), plan("best_of_n", 12))
    assert found.chosen.p_true == max(one.p_true for one in found.used if one.answer)


def test_where_no_sample_has_an_answer_the_surest_text_is_shown():
    fake = FakeEngine(["I do not know.", "Who knows."], {"I do not know.": 0.2, "Who knows.": 0.6})
    found, _ = decided(fake, plan("early_stopping", 8, threshold=0.1))
    assert (found.answer, found.reason, found.votes) == (None, "budget", {})
    assert found.chosen.generated.text == "Who knows."


def test_without_a_kind_each_text_is_its_own_answer():
    made = plan("early_stopping", 12, threshold=0.85, kind=None)
    found, _ = decided(engine(), made)
    assert found.answer == found.chosen.generated.text == "I do not know."
    assert found.reason == "policy"


def test_votes_and_weights_of_answers():
    found, _ = decided(engine(), plan("sc_conf", 12))
    answers = [one.answer for one in found.used if one.answer]
    assert found.votes == {one: answers.count(one) for one in answers}
    sums = {
        answer: math.fsum(one.p_true for one in found.used if one.answer == answer)
        for answer in answers
    }
    total = math.fsum(sums.values())
    assert found.weights == pytest.approx({one: part / total for one, part in sums.items()})


def test_a_live_confidence_is_the_recorded_one():
    """Thresholds are of recorded ones: a sample that is as sure stops here as it does there."""
    odd = {"It is 4.": 0.3}
    fake = FakeEngine(list(odd), odd)
    row = asyncio.run(label_query(fake, DRAWING, 0, QUERY, 4, sample_room(16)))
    kept = pa.array(row["samples"], SAMPLE).field("p_true").to_pylist()
    assert [one["p_true"] for one in row["samples"]] == kept
    found, _ = decided(FakeEngine(list(odd), odd), plan("early_stopping", threshold=kept[0]))
    assert (found.reason, found.used[0].p_true) == ("policy", kept[0])


FORMULAS = {
    r"\boxed{1/2}": 0.8,
    r"\boxed{\frac{1}{2}}": 0.3,
    r"\boxed{0.5}": 0.2,
    r"\boxed{\frac{1}{3}}": 0.6,
}


@pytest.mark.process
@pytest.mark.parametrize("policy", ["early_stopping", "asc_conf", "self_consistency"])
def test_a_decision_on_formulas_is_its_replay(policy):
    row = asyncio.run(
        label_query(
            FakeEngine(list(FORMULAS), FORMULAS), DRAWING, 0, QUERY | {"kind": "math"}, 12,
            sample_room(16),
        )
    )  # fmt: skip
    samples = [(one["answer"], one["p_true"]) for one in row["samples"]]
    expected = in_order(POLICIES[policy].make(0.7), samples)
    live = FakeEngine(list(FORMULAS), FORMULAS, True)
    found, _ = decided(live, plan(policy, threshold=0.7, kind="math"))
    assert (found.answer, len(found.used)) == (expected.answers[-1], expected.samples[-1])
    assert [one.answer for one in found.used] == [a for a, _ in samples[: len(found.used)]]


@pytest.mark.parametrize(
    ("policy", "threshold", "together"),
    [("early_stopping", 0.9, 1), ("asc", 0.9, 2), ("esc", 3, 3), ("sc_conf", None, 12)],
)
def test_waves_begin_with_what_a_policy_wants_at_the_least(policy, threshold, together):
    """And draw fewer in vain than they use."""
    told = []
    found, _ = decided(
        engine(),
        plan(policy, threshold=threshold),
        tell=lambda index, what, more: told.append(what),
    )
    first = [what for what in told if what in ("started", "used")]
    assert first.index("used") == together
    assert found.started < 2 * len(found.used)
