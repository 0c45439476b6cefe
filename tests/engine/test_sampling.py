"""One query's samples: scored once, counted, in order, and stopped when a policy says so."""

import asyncio
import math
from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pytest
from fakes import DRAWING, PROMPT_TURN, FakeEngine

from pipelines.config import SamplingConfig
from pipelines.engine.protocol import Drawing
from pipelines.engine.sampling import (
    QuerySampler,
    label_query,
    request_key,
    sample_room,
    totals,
)
from pipelines.storage.schemas import COUNTERS

P_TRUE = {"It is 4.": 0.8, "It is 5.": 0.3, "I do not know.": 0.9}
QUERY = {"query_id": "q", "prompt_ids": [1, 2, 3], "kind": "number", "dataset": "d"}


MASS = {"It is 4.": 0.9, "It is 5.": 0.5, "I do not know.": 0.95}


def engine(delays=False):
    return FakeEngine(list(P_TRUE), P_TRUE, delays, MASS)


def sampler(fake):
    return QuerySampler(fake, DRAWING, 0, "q", [1, 2, 3], "number")


def test_identical_responses_are_scored_once():
    fake = engine()
    row = asyncio.run(label_query(fake, DRAWING, 0, QUERY, 40, sample_room(16)))
    assert len(row["samples"]) == 40
    assert Counter(fake.scored) == Counter(set(fake.scored))
    assert row["counters"]["scored_responses"] == len(set(fake.scored)) == 3
    assert fake.released == 40 - 3  # no draw keeps its blocks


def test_counters_add_up():
    fake = engine()
    row = asyncio.run(label_query(fake, DRAWING, 0, QUERY, 10, sample_room(16)))
    assert row["counters"]["generated_tokens"] == sum(s["num_tokens"] for s in row["samples"])
    assert row["counters"]["prompt_tokens"] == 10 * (3 - 1)
    scored = sum(3 + len(text) + PROMPT_TURN - 2 for text in fake.scored)
    assert row["counters"]["scored_tokens"] == scored
    assert row["counters"]["cached_tokens"] == 10 * 1 + 2 * len(fake.scored)


def test_the_mass_of_yes_and_no_is_kept_with_each_sample_and_summed_over_scores():
    row = asyncio.run(label_query(engine(), DRAWING, 0, QUERY, 40, sample_room(16)))
    assert [s["mass"] for s in row["samples"]] == [MASS[s["text"]] for s in row["samples"]]
    assert row["counters"]["mass"] == pytest.approx(sum(MASS.values()))  # each text once
    counters = pa.array([row["counters"]] * 3, COUNTERS)
    assert totals([counters])["mass"] == pytest.approx(sum(MASS.values()) / len(MASS))


def test_totals_are_sums_and_the_time_in_which_a_query_was_with_an_engine():
    spans = [(12.0, 13.0), (0.0, 4.0), (1.0, 2.0), (3.5, 6.0), (12.5, 12.6)]
    row = dict.fromkeys(COUNTERS.names, 2)
    rows = [row | {"began": began, "ended": ended} for began, ended in spans]
    summed = totals(pa.array(some, COUNTERS) for some in ([], rows[:3], [], rows[3:]))
    assert summed.pop("busy_seconds") == pytest.approx(7.0)
    assert summed.pop("mass") == 1  # a mean
    assert summed == {n: 10 for n in COUNTERS.names if n not in ("mass", "began", "ended")}
    assert totals([])["busy_seconds"] == 0


def test_labels_are_ssc_and_unparsed_responses_have_none():
    row = asyncio.run(label_query(engine(), DRAWING, 0, QUERY, 32, sample_room(16)))
    weights = Counter()
    for sample in row["samples"]:
        if sample["answer"] is not None:
            weights[sample["answer"]] += sample["p_true"]
    assert weights["4"] > 0
    assert weights["5"] > 0
    for sample in row["samples"]:
        if sample["answer"] is None:
            assert sample["target"] is None
        else:
            share = weights[sample["answer"]] / sum(weights.values())
            assert sample["target"] == pytest.approx(share)


def test_an_answer_is_read_with_how_its_response_ended_and_the_choices(monkeypatch):
    def extract(text, kind, finish_reason, choices):
        return f"{kind} {finish_reason} {choices}"

    monkeypatch.setattr("pipelines.engine.sampling.extract", extract)
    query = QUERY | {"kind": "option", "choices": ["ice", "water"]}
    row = asyncio.run(label_query(engine(), DRAWING, 0, query, 1, sample_room(16)))
    assert row["samples"][0]["answer"] == "option stop ['ice', 'water']"
    assert row["choices"] == ["ice", "water"]


def test_the_order_of_arrival_changes_nothing():
    rows = [
        asyncio.run(label_query(engine(delays), DRAWING, 3, QUERY, 16, sample_room(16)))
        for delays in (False, True)
    ]
    assert rows[0]["samples"] == rows[1]["samples"]


def test_a_sample_depends_on_seed_query_and_index_alone():
    assert request_key(0, "q", 1) == request_key(0, "q", 1)
    keys = {request_key(s, q, i) for s in (0, 1) for q in ("q", "r") for i in (0, 1)}
    assert len(keys) == 8


def test_a_cancelled_caller_leaves_a_shared_score_to_the_others():
    async def run():
        fake = FakeEngine(["It is 4."], P_TRUE)
        shared = sampler(fake)
        first = asyncio.create_task(shared.sample(0, scored=True))
        second = asyncio.create_task(shared.sample(1, scored=True))
        while not fake.scored:
            await asyncio.sleep(0)
        first.cancel()
        return (await second).p_true, len(fake.scored)

    assert asyncio.run(run()) == (pytest.approx(0.8), 1)


def test_what_is_cancelled_is_counted():
    """A draw's tokens as they came, and the tokens of a score that was asked for."""

    async def run():
        fake = FakeEngine(["It is 4."], P_TRUE)
        fake.pause = asyncio.Event()
        one = sampler(fake)
        asked = [asyncio.create_task(one.sample(i, scored=True)) for i in range(3)]
        while not fake.scored:
            await asyncio.sleep(0)
        late = asyncio.create_task(one.sample(3, scored=True))
        await asyncio.sleep(0)
        for task in (*asked, late):
            task.cancel()
        await asyncio.gather(*asked, late, return_exceptions=True)
        await one.abort()
        return fake, one.counters, one.started

    fake, spent, started = asyncio.run(run())
    assert (len(fake.drawn), fake.cancelled) == (4, 1)
    assert started == 4
    assert spent.prompt_tokens == 4 * (3 - 1)
    assert spent.generated_tokens == 3 * (len("It is 4.") + 1)
    assert spent.scored_tokens == 3 + len("It is 4.") + PROMPT_TURN - 2
    assert spent.scored_responses == 0


def under_way(fake, samples):
    """A sampler whose samples were cancelled as their first score went on."""

    async def start():
        one = sampler(fake)
        tasks = [asyncio.create_task(one.sample(i, scored=True)) for i in range(samples)]
        while not fake.scoring:
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return one

    return start()


def test_an_abort_ends_the_scores_that_are_under_way():
    async def run():
        fake = FakeEngine(["It is 4."], P_TRUE)
        fake.pause = asyncio.Event()
        one = await under_way(fake, 2)
        went_on = fake.scoring
        await one.abort()
        ended = fake.scoring
        fake.pause.set()
        again = await one.sample(2, scored=True)
        return went_on, ended, again.p_true, len(fake.scored)

    assert asyncio.run(run()) == (1, 0, pytest.approx(0.8), 2)


def test_a_score_that_is_aborted_before_it_begins_gives_its_blocks_back():
    async def run():
        fake = FakeEngine(["It is 4."], P_TRUE)
        one = sampler(fake)
        task = asyncio.create_task(one.sample(0, scored=True))
        while fake.running or not fake.drawn:
            await asyncio.sleep(0)
        task.cancel()
        await one.abort()
        await asyncio.gather(task, return_exceptions=True)
        return fake.scored, fake.released

    assert asyncio.run(run()) == ([], 1)


def test_a_sample_is_drawn_as_it_is_asked_for_and_heard_as_it_comes():
    fake = engine(delays=True)
    greedy = replace(DRAWING, temperature=0.0)
    pieces = []
    one = QuerySampler(fake, greedy, 0, "q", [1, 2, 3], "number")
    sample = asyncio.run(one.sample(0, scored=False, heard=pieces.append))
    assert "".join(pieces) == sample.generated.text
    assert fake.drawings == [greedy]


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"max_tokens": 0}, "^max_tokens: 0 is less"),
        ({"temperature": -0.1}, "^temperature: -0.1 is not in"),
        ({"temperature": math.nan}, "^temperature: nan is not in"),
        ({"temperature": math.inf}, "^temperature: inf is not in"),
        ({"method": "fixed", "top_p": 0.0}, "^top_p: 0.0 is not in"),
        ({"method": "fixed", "top_p": math.nan}, "^top_p: nan is not in"),
        ({"top_p": 0.9}, "^top_p: EDT draws from all tokens"),
        ({"stop": ("a", "")}, "^stop: an empty text"),
    ],
)
def test_a_drawing_that_cannot_be(chosen, says):
    with pytest.raises(ValueError, match=says):
        replace(DRAWING, **chosen)


def test_drawings_that_can_be():
    """Greedily, top_p does nothing."""
    assert replace(DRAWING, method="fixed", top_p=0.9).top_p == 0.9
    assert replace(DRAWING, temperature=0.0, top_p=0.9).temperature == 0.0
    assert Drawing.of(SamplingConfig(max_tokens=64)) == DRAWING


def test_an_engine_error_reaches_the_caller():
    fake = FakeEngine(["It is 4."], {})  # a KeyError, when it scores
    with pytest.raises(KeyError, match="It is 4"):
        asyncio.run(label_query(fake, DRAWING, 0, QUERY, 3, sample_room(16)))


FORMULAS = {
    r"\boxed{1/2}": 0.8,
    r"\boxed{\frac{1}{2}}": 0.3,
    r"\boxed{0.5}": 0.2,
    r"\boxed{\frac{1}{3}}": 0.6,
    r"\boxed{8^{8^{8^9}}}": 0.9,
}
FORMULA_QUERY = QUERY | {"kind": "math"}


@pytest.mark.process
def test_equal_formulas_are_one_answer_and_the_loop_goes_on():
    fake = FakeEngine(list(FORMULAS), FORMULAS)
    turns = 0

    async def run():
        async def count():
            nonlocal turns
            while True:
                await asyncio.sleep(0.01)
                turns += 1

        counts = asyncio.create_task(count())
        row = await label_query(fake, DRAWING, 0, FORMULA_QUERY, 24, sample_room(16))
        counts.cancel()
        return row

    samples = asyncio.run(run())["samples"]
    texts = {one["text"] for one in samples}
    assert texts == set(FORMULAS)
    halves = {r"\boxed{1/2}", r"\boxed{\frac{1}{2}}", r"\boxed{0.5}"}
    first = next(one["text"] for one in samples if one["text"] in halves)
    named = {one["text"]: one["answer"] for one in samples}
    assert {named[text] for text in halves} == {first[len(r"\boxed{") : -1]}
    assert named[r"\boxed{\frac{1}{3}}"] == r"\frac{1}{3}"
    assert named[r"\boxed{8^{8^{8^9}}}"] is None  # it does not end
    sums = Counter()
    for one in samples:
        sums[one["answer"]] += one["p_true"]
    del sums[None]
    for one in samples:
        share = sums[one["answer"]] / sums.total() if one["answer"] else None
        assert one["target"] == (share and pytest.approx(share))
    assert turns > 10  # while a process counted to its limit


@pytest.mark.parametrize(
    ("text", "answer"),
    [("So be it.", "So be it."), ("", None), ("<think>\nLet me", None), ("<think>a</think>b", "b")],
)
def test_without_a_kind_a_text_is_its_own_answer_unless_it_is_a_thought_alone(text, answer):
    one = QuerySampler(FakeEngine([text], {}), DRAWING, 0, "q", [1, 2, 3], None)
    found = asyncio.run(one.sample(0, scored=False)).answer
    assert found == (None if answer is None else text)
