"""Experiments on recorded responses: what their tables say, against counting, byte for byte."""

import itertools
import json
import math
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from processes import ROOT

from jobs import experiment
from jobs.experiments import (
    adversarial,
    calibration,
    compared,
    cost,
    elsewhere,
    reading,
    recorded,
    robustness,
    tau,
)
from jobs.experiments.reading import Cell, Reading, Table
from jobs.experiments.stops import lost_by, stops_of
from pipelines.config import load, vary
from pipelines.datasets.adversarial import asked, questions
from pipelines.method import calibration_error, metrics
from pipelines.method.policies import POLICIES
from pipelines.method.recalibration import FITS
from pipelines.method.replay import Recorded
from pipelines.method.savings import Curve
from pipelines.method.trials import evidence
from pipelines.running import dag
from pipelines.stages.report.recalibrated import labels
from pipelines.stages.report.responses import Responses
from pipelines.storage.location import MANIFEST, Location
from pipelines.storage.schemas import LABELS, MODELS

QUICKSTART = str(ROOT / "jobs" / "configs" / "quickstart.yaml")
SAMPLES = 8
COUNTERS = {
    "generated_tokens": 10 * SAMPLES, "prompt_tokens": 20 + SAMPLES, "scored_tokens": 4 * SAMPLES,
    "cached_tokens": 0, "scored_responses": SAMPLES, "mass": 1.0, "began": 0.0, "ended": 1.0,
}  # fmt: skip


@pytest.fixture
def config(tmp_path):
    return load(
        QUICKSTART, [f"root={tmp_path / 'root'}", "evaluate.bootstrap=50", "evaluate.orders=8"]
    )


def responses(name, count, role, knows, seed, question="Q"):
    """Of schemas.LABELS: a third of the samples right; sure of these, as far as the model knows."""
    draws = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        right = draws.uniform(size=SAMPLES) < draws.uniform(0, 0.66)
        c = np.clip(knows * right + (1 - knows) * draws.uniform(size=SAMPLES), 0, 1)
        samples = [
            {
                "index": i,
                "answer": "yes" if r else f"no {draws.integers(3)}",
                "p_true": p,
                "mass": 0.5 + p / 4,
                "num_tokens": 10,
                "target": right.mean() if r else 0.1,
                "finish_reason": "stop",
            }
            for i, (r, p) in enumerate(zip(right, c, strict=True))
        ]
        rows.append(
            {
                "query_id": f"{name}-{role}-{number}", "dataset": name, "role": role,
                "kind": "text", "question": f"{question} {number}", "reference": "yes",
                "prompt_ids": list(range(20)), "samples": samples, "counters": COUNTERS,
            }
        )  # fmt: skip
    return rows


def write(place, model, rows):
    place.make_dir()
    pq.write_table(pa.Table.from_pylist(rows, LABELS), f"{place.path}/{model}-00000.parquet")


@pytest.fixture
def artifacts(tmp_path):
    """Of the stages: a base model that knows little, and a calibrated one that knows better; and
    what they answer to questions that mislead, and to shifted ones."""
    root = Location.of(str(tmp_path / "artifacts"))
    places = {name: root / name for name in ("held_out", "label", "examples", "train", "evaluate")}
    for model, knows in zip(MODELS, (0.1, 0.6), strict=True):
        rows = [
            *responses("capitals", 30, "eval", knows, 0),
            *responses("arithmetic", 20, "eval", knows, 1),
            *responses("elements", 10, "eval", knows, 2),
            *responses("capitals", 20, "calibration", knows, 3),
        ]
        write(places["evaluate"], model, rows)
        for name in ("adversarial", "shifted"):
            places[f"evaluate_{name}"] = root / f"evaluate_{name}"
        misled = responses("adversarial", len(questions()), "eval", 0.5, 4)
        for row, one in zip(misled, questions(), strict=True):
            row["question"] = asked(one)
        write(places["evaluate_adversarial"], model, misled)
        shifted = [
            row
            for number, shift in enumerate(robustness.SHIFTS)
            for row in responses(f"arithmetic {shift}", 15, "eval", knows / 2, number)
        ]
        write(places["evaluate_shifted"], model, shifted)
    labeled = responses("capitals", 40, "train", 0.1, 5)
    labeled[0]["samples"][0] |= {"answer": None, "target": None}
    write(places["label"], "labels", labeled)
    spent = {"generated_tokens": 1000, "prompt_tokens": 500, "scored_tokens": 250}
    spent["busy_seconds"] = 0.5
    facts = {
        "label": spent,
        "train": {"tokens": 2000, "steps": 1, "examples": 1, "busy_seconds": 1.5},
        "evaluate": dict.fromkeys(MODELS, spent),
    }
    for name, place in places.items():
        # The seconds of its last session, with all that starts and waits.
        manifest = {"metrics": facts.get(name, {}), "seconds": 2.0, "rows": 40}
        (place / MANIFEST).write_json(manifest)
    return places


def cells(table, heading):
    place = [name for name, _ in table.columns].index(heading)
    return [row[place] for row in table.rows]


def test_a_table_is_markdown_and_json_with_intervals():
    table = Table(
        "title",
        [("name", ""), ("a", ".2f"), ("b", "+,.0f")],
        [
            ["x", Cell(0.5, [0.4, 0.6]), Cell(1234.5)],
            ["y", Cell(0.25, None, [0.2, 0.3]), Cell(math.inf, [-math.inf, math.inf])],
            ["z", Cell(None), ""],
        ],
    )
    assert table.markdown().splitlines()[2:] == [
        "| name | a | b |",
        "| --- | --- | --- |",
        "| x | 0.50 [0.40, 0.60] | +1,234 |",
        "| y | 0.25 (0.20 to 0.30) | ∞ [-∞, ∞] |",
        "| z | – |  |",
    ]
    assert table.as_json()["rows"][1] == {
        "name": "y", "a": {"value": 0.25, "seeds": [0.2, 0.3]},
        "b": {"value": None, "ci95": [None, None]},
    }  # fmt: skip


def test_what_the_machine_decides_lies_apart(tmp_path):
    made = Reading([Table("t", [("a", ".1f")], [[Cell(1.0)]])], "Said.", "<svg/>", {"seconds": 7})
    step = reading.step("x", lambda artifacts: made, {"seed": 0}, ())
    (place,) = dag.run(dag.plan([step], str(tmp_path)), str(tmp_path), str).values()
    assert place.name.startswith("experiment_x-")
    assert (place / "seconds.json").read_json() == {"seconds": 7}
    assert (place / "reading.md").read_text() == "t\n\n| a |\n| --- |\n| 1.0 |\n\nSaid.\n"
    assert all("7" not in (place / name).read_text() for name in ("tables.json", "picture.svg"))


@pytest.mark.parametrize(
    "module", [calibration, tau, cost, adversarial, robustness], ids=lambda one: one.__name__
)
def test_a_reading_is_the_same_byte_for_byte(module, config, artifacts):
    first, again = (module.read(config, artifacts) for _ in range(2))
    assert (first.markdown(), first.picture) == (again.markdown(), again.picture)
    texts = [json.dumps([table.as_json() for table in one.tables]) for one in (first, again)]
    assert texts[0] == texts[1]
    assert "<svg" in first.picture


@pytest.mark.parametrize(
    "module", [tau, cost, adversarial, robustness], ids=lambda one: one.__name__
)
def test_what_is_of_one_training_run_says_so(module, config, artifacts):
    """Whatever train.seeds has: `calibration` alone reads the other runs."""
    config = vary(config, ["train.seeds=[1, 2]", "seed=7"])
    assert module.read(config, artifacts).paragraph.endswith(
        "All of this is of one training run (seed 7): another seed's figures may lie outside of "
        "these intervals."
    )


def test_calibration_is_told_by_group_and_model(config, artifacts):
    made = calibration.read(config, artifacts)
    titles = [table.title for table in made.tables]
    assert titles[0] == "in domain, 50 queries"
    assert titles[3] == "out of domain, 10 queries"  # elements alone, which are told once
    assert [title.partition(",")[0] for title in titles[::3]] == [
        "in domain", "out of domain", "capitals", "arithmetic",
    ]  # fmt: skip
    less = made.tables[1], made.tables[2]
    for name in ("Brier", "AUROC", "WQD", "ECE"):  # less base, and the other way round
        there, back = (compared.column(table, name) for table in less)
        assert there["calibrated"].value == pytest.approx(-back["base"].value)
    rows = [r for r in artifacts["evaluate"].read_table("base-").to_pylist() if r["role"] == "eval"]
    rows = [r for r in rows if r["dataset"] != "elements"]
    c = np.array([[s["p_true"] for s in r["samples"]] for r in rows], float)
    right = np.array([[s["answer"] == "yes" for s in r["samples"]] for r in rows], float)
    figures = ("accuracy", "AUROC", "WQD", "Brier", "ECE")
    assert [name for name, _ in made.tables[0].columns] == ["", *figures]
    base = {name: cells(made.tables[0], name)[0] for name in figures}
    assert base["accuracy"].value == pytest.approx(right.mean())
    assert base["Brier"].value == pytest.approx(((c - right) ** 2).mean())
    pairs = [
        (sure, unsure)
        for own, which in zip(c, right == 1, strict=True)
        for sure, unsure in itertools.product(own[which], own[~which])
    ]
    won = np.mean([(np.sign(sure - unsure) + 1) / 2 for sure, unsure in pairs])
    assert base["WQD"].value == pytest.approx(won)
    assert base["WQD"].ci95[0] < won < base["WQD"].ci95[1]
    weights = metrics.resample(50, config.evaluate.bootstrap, config.seed)
    error = calibration_error.ece(c, right, weights)
    # By query id, rows lie in another order: the bootstrap draws others, the figures are the same.
    assert base["ECE"].value == pytest.approx(error.debiased, abs=0.02)
    assert made.paragraph.startswith("in domain, 50 queries: AUROC, less base: ")
    (told,) = re.findall("WQD, less base: ([^.]*)", made.paragraph.partition("\n")[0])
    assert "calibrated better" in told
    # A temperature moves all confidences of a query alike.
    assert compared.column(less[0], "WQD")["temperature"].value == pytest.approx(0)
    names = [row[0] for row in made.tables[0].rows]
    assert names == ["base", "temperature", "platt", "isotonic", "ridge", "calibrated"]


def test_maps_are_those_of_the_labels(config, artifacts):
    """A temperature is monotonous: it ranks as the base model does, and moves its errors."""
    seen, target, query = labels(artifacts["label"])
    slope = FITS["temperature"](seen, target, query).facts["temperature"]
    table = calibration.read(config, artifacts).tables[0]
    auroc, brier = (cells(table, name) for name in ("AUROC", "Brier"))
    assert auroc[0].value == pytest.approx(auroc[1].value)
    rows = [r for r in artifacts["evaluate"].read_table("base-").to_pylist() if r["role"] == "eval"]
    rows = [r for r in rows if r["dataset"] != "elements"]
    c = np.array([[s["p_true"] for s in r["samples"]] for r in rows], float)
    right = np.array([[s["answer"] == "yes" for s in r["samples"]] for r in rows], float)
    odds = np.clip(c, 1e-6, 1 - 1e-6)
    moved = 1 / (1 + ((1 - odds) / odds) ** (1 / slope))
    assert brier[1].value == pytest.approx(((moved - right) ** 2).mean())


def test_a_threshold_trades_samples_for_accuracy(config, artifacts):
    made = tau.read(config, artifacts)
    table = made.tables[1]
    assert table.title == "Thresholds on the calibrated model, in domain, 50 queries"
    own = [row for row in table.rows if row[0] == "early_stopping"]
    samples = [row[4].value for row in own]
    assert samples == sorted(samples)
    assert samples[0] == pytest.approx(1, abs=0.2)
    assert table.rows[0][0] == "self_consistency"
    assert table.rows[0][4].value == SAMPLES
    # The first prompt, then a token of it a sample, ten that are generated, four that are scored.
    assert table.rows[0][5].value == pytest.approx(20 + SAMPLES + 10 * SAMPLES)
    for row in own:
        assert row[5].value == pytest.approx(20 - 8 / 7 + row[4].value * (8 / 7 + 10 + 4))
    assert made.seconds["computed tokens a second, while with an engine"] == 3500.0
    seconds = made.seconds["seconds a query at that rate"]["calibrated"]
    assert seconds["self_consistency"] == pytest.approx(table.rows[0][5].value / 3500, abs=1e-4)


def test_frontiers_are_of_samples_and_of_tokens(config, artifacts):
    """Scores that cost ten times a sample, and no samples: policies without confidences are on the
    frontier of tokens alone."""
    place = artifacts["evaluate"]
    rows = place.read_table("calibrated-").to_pylist()
    for row in rows:
        row["counters"] = COUNTERS | {"scored_tokens": 100 * SAMPLES}
    write(place, "calibrated", rows)
    table = tau.read(config, artifacts).tables[1]
    assert [name for name, _ in table.columns][-2:] == ["frontier of samples", "frontier of tokens"]
    found = {}
    for heading, spent in (("samples", 4), ("tokens", 5)):
        points = [(row[2].value, -row[spent].value) for row in table.rows]
        marks = cells(table, f"frontier of {heading}")
        for mine, mark in zip(points, marks, strict=True):
            as_good = (one[0] >= mine[0] and one[1] >= mine[1] for one in points if one != mine)
            assert mark == ("" if any(as_good) else "yes")
        found[heading] = {row[0] for row, mark in zip(table.rows, marks, strict=True) if mark}
    assert found["tokens"] - found["samples"] == {"asc", "esc"}


def test_what_a_lower_threshold_saves_is_told_on_calibration_and_test_queries(config, artifacts):
    """As the evidence of a promise counts it, after two of eight samples."""
    made = tau.read(config, artifacts)
    lower = made.tables[2]
    assert lower.title.startswith("Giving up after 2 of 8 samples ")
    wheres = ("calibration, 20", "in domain, 50")
    assert [(row[1], row[2]) for row in lower.rows] == 2 * [
        (below, where) for below in ("50%", "100%") for where in wheres
    ]
    names = [heading.removeprefix("lost, ") for heading, _ in lower.columns[4:]]
    assert tuple(names) == tau.SWEPT
    for model, rows in zip(MODELS, (lower.rows[:4], lower.rows[4:]), strict=True):
        replays = recorded.replays(config, artifacts["evaluate"], model)
        test = replays.test.recorded.of(replays.of_sets({"capitals", "arithmetic"}))
        for name, place in itertools.product(names, range(2)):
            policy = POLICIES[name].make(2)
            of_test = evidence([(2, policy)], test).given_up[place]
            for row, shown, queries in (
                (rows[2 * place], replays.evidence[name].given_up[place], 20),
                (rows[2 * place + 1], of_test, 50),
            ):
                assert row[3].value == pytest.approx(shown.avg_samples)
                assert row[4 + names.index(name)].value == pytest.approx(shown.lost / queries)
        apart = test.answers[:, 0] != test.answers[:, 1]
        assert rows[3][3].value == pytest.approx(np.where(apart, 2, 8).mean())
        assert (
            f"lower threshold on the {model} model (confidence 90%): early_stopping"
            in made.paragraph
        )


def test_a_budget_too_small_to_give_up_has_no_such_table(config, artifacts):
    place = artifacts["evaluate"]
    for model in MODELS:
        rows = place.read_table(f"{model}-").to_pylist()
        for row in rows:
            row["samples"] = row["samples"][:7]
        write(place, model, rows)
    assert len(tau.read(config, artifacts).tables) == 2


def test_thresholds_that_are_named_are_those_that_calibration_queries_chose(config, artifacts):
    """What is picked on the queries that it is told of looks better than it is."""
    made = tau.read(config, artifacts)
    for model, table in zip(MODELS, made.tables[:2], strict=True):
        chosen = recorded.replays(config, artifacts["evaluate"], model).chosen
        marked = {row[0]: row for row in table.rows if row[6] == "yes"}
        assert set(marked) == set(tau.SWEPT)
        for policy, row in marked.items():
            assert row[1] == f"{chosen[policy].threshold:.3g}"
            told = f"{policy} at {row[1]} ({row[2].value:.3f} with {row[4].value:.1f} samples and "
            assert told in made.paragraph.partition(f"On the {model} model")[2]
    assert made.paragraph.count("at the thresholds that calibration queries chose: ") == 2
    for model in MODELS:
        place = artifacts["evaluate"]
        rows = place.read_table(f"{model}-").to_pylist()
        write(place, model, [row for row in rows if row["role"] == "eval"])
    made = tau.read(config, artifacts)
    assert not any(row[6] for table in made.tables[:2] for row in table.rows)
    assert {row[2] for row in made.tables[2].rows} == {"in domain, 50"}
    assert "lower threshold" not in made.paragraph
    assert "that calibration queries chose" not in made.paragraph
    assert made.paragraph.count("picked on these test queries, for there are no others: ") == 2


def test_calibration_is_repaid_by_what_it_saves(config, artifacts):
    made = cost.read(config, artifacts)
    parts, table = made.tables
    answered = 20 * (20 + SAMPLES + 14 * SAMPLES)
    spent = 1750 + 2 * 2000 + answered
    assert [(row[0], row[1].value) for row in parts.rows] == [
        ("label", 1750), ("train", 4000), ("calibration responses", answered), ("in all", spent),
    ]  # fmt: skip
    assert made.paragraph.startswith(f"Calibration took {spent:,.0f} tokens.")
    for row in table.rows:
        _, _, _, by_sc, by_policy, saved, after = row
        if math.isfinite(saved.value):
            assert saved.value == pytest.approx(by_sc.value - by_policy.value)
        wanted = math.ceil(spent / saved.value) if saved.value > 0 else math.inf
        assert after.value == wanted
        assert after.ci95[0] <= after.ci95[1]
    seconds = dict(made.seconds)
    curve = seconds.pop("seconds a query at the rate")
    assert seconds == {
        "label, seconds with an engine": 0.5,
        "train, seconds of steps": 1.5,
        "calibration responses, seconds at the rate": answered / 3500,
        "computed tokens a second, while with an engine": 3500.0,
    }
    took = 2 + answered / 3500  # not what its tokens would take at the rate of inference
    assert [one["of SC's accuracy"] for one in curve] == [row[1] for row in table.rows]
    for row, one in zip(table.rows, curve, strict=True):
        saved, after = one["saved a query"], one["queries to break even"]
        if not math.isfinite(row[5].value):
            assert (saved["value"], after["value"]) == (None, None)
            continue
        assert saved["value"] == pytest.approx(row[5].value / 3500, abs=1e-6)
        assert saved["ci95"][1] is None or saved["ci95"][1] == pytest.approx(
            row[5].ci95[1] / 3500, abs=1e-6
        )
        wanted = math.ceil(took * 3500 / row[5].value) if row[5].value > 0 else None
        assert after["value"] == wanted
    assert any(one["queries to break even"]["value"] for one in curve)


def test_what_a_curve_never_reaches_costs_without_end():
    sc = Curve(np.array([[0.2, 0.4]]), np.array([[10.0, 20.0]]))
    low = Curve(np.array([[0.1, 0.2]]), np.array([[5.0, 6.0]]))
    once = metrics.each_once(1)
    assert cost.to_reach(sc, sc, 1.0, once) == [20.0]
    assert cost.to_reach(sc, sc, 0.75, once) == [15.0]
    assert cost.to_reach(low, sc, 0.9, once) == [math.inf]
    assert cost.to_reach(low, sc, 0.5, once) == [6.0]


def test_an_experiment_leaves_what_latest_json_says_of_the_run(config, capsys):
    """Its config asks other queries than the run's did; all of its steps are done already."""
    root = Location.of(config.root)
    root.make_dir()
    run = dict.fromkeys(("queries", "held_out", "train"), "the run's")
    (root / "latest.json").write_json(run | {"experiment_cost": "an older one"})
    overrides = [f"root={root.path}", "data.calibration=[{name: capitals, split: calibration}]"]
    planned = dag.plan(cost.steps(load(QUICKSTART, overrides)), config.root)
    for one in planned:
        (one.location / MANIFEST).write_json({})
        (one.location / reading.READING).write_text("read")
    assert experiment.main(["cost", "--config", QUICKSTART, *with_sets(overrides)]) == 0
    assert "read" in capsys.readouterr().out
    latest = (root / "latest.json").read_json()
    own = {one.step.name: one.location.uri for one in planned}
    assert latest == own | run
    assert latest["held_out"] != own["held_out"]


def with_sets(overrides):
    return [part for one in overrides for part in ("--set", one)]


def test_stops_are_counted_with_their_answers():
    """Two queries of four samples: at 0.8 the first stops at its one sure sample, which is wrong,
    and the second never does, but answers rightly."""
    recorded = Recorded(
        np.array([[0, 1, 1, 1], [0, 0, 1, -1]]),
        np.array([[0.9, 0.5, 0.5, 0.5], [0.7, 0.7, 0.1, 0.9]]),
        np.array([[False, True, True, True], [True, True, False, False]]),
    )
    stops = stops_of(POLICIES["early_stopping"].make(0.8), recorded, seed=0)
    assert [part.tolist() for part in (stops.stopped, stops.wrong, stops.right)] == [
        [1, 0], [1, 0], [0, 1],
    ]  # fmt: skip
    # Of 0111 in any order, windows of two end to end hold 11, and never 00.
    window = stops_of(POLICIES["esc"].make(2), recorded, seed=0)
    assert window.stopped[0] == 1
    assert window.wrong[0] == 0
    votes = stops_of(POLICIES["self_consistency"].make(0), recorded, seed=0)
    assert votes.stopped.tolist() == [0, 0]
    assert votes.right.tolist() == [1, 1]


def test_a_right_answer_is_lost_where_all_samples_have_it():
    """The first query's one sure sample is wrong, where three of four are right; the second's is
    right; the third is answered wrongly with all samples, so there is nothing to lose."""
    some = Recorded(
        np.array([[0, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1]]),
        np.array([[0.9, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.9], [0.9, 0.5, 0.5, 0.5]]),
        np.array([[False, True, True, True]] * 2 + [[False, False, False, True]]),
    )
    lost = lost_by(POLICIES["early_stopping"].make(0.8), some, seed=0)
    assert lost.tolist() == [1, 0, 0]
    assert lost_by(POLICIES["early_stopping"].make(1.0), some, seed=0).tolist() == [0, 0, 0]


def test_promises_on_lost_answers_are_seen_there_too(config, artifacts):
    """As counted: the share of queries, over orders, of both groups."""
    config = vary(config, ["evaluate.policies=[early_stopping, esc]"])
    answered = artifacts["evaluate"].read_table("calibrated-").to_pylist()
    more = responses("capitals", 100, "calibration", 0.6, 6)
    write(artifacts["evaluate"], "calibrated", answered + more)
    made = adversarial.read(config, artifacts)
    lost = made.tables[4]
    assert [heading for heading, _ in lost.columns] == [
        "model", "policy", "promised at most", "threshold", "lost, in domain", "lost, adversarial",
    ]  # fmt: skip
    of_esc = [row for row in lost.rows if tuple(row[:2]) == ("calibrated", "esc")]
    assert [row[2] for row in of_esc] == ["2%", "5%", "10%"]
    rows = artifacts["evaluate_adversarial"].read_table("calibrated-").to_pylist()
    misled = Responses.of(sorted(rows, key=lambda row: row["query_id"])).recorded
    for _, _, limit, threshold, here, there in of_esc:
        wanted = lost_by(POLICIES["esc"].make(float(threshold)), misled, config.seed)
        assert there.value == pytest.approx(wanted.mean())
        assert here.value <= float(limit.rstrip("%")) / 100
    made_at_all = [row for row in lost.rows if row[3]]
    assert f"Of {len(made_at_all)} promised limits on lost right answers " in made.paragraph


def test_adversarial_questions_are_told_by_category_and_beside_others(config, artifacts):
    place = artifacts["evaluate_adversarial"]
    made = adversarial.read(config, artifacts)
    _, overall, by_category, promised, lost = made.tables
    for name in adversarial.STOPPING:
        assert all(f">{name}, {where}<" in made.picture for where in ("in domain", "adversarial"))
    policies = {(row[0], row[1].partition(" ")[0], row[2]) for row in overall.rows}
    assert ("base", "self_consistency", "adversarial") in policies
    assert ("calibrated", "early_stopping", "in domain") in policies
    assert [row[1] for row in by_category.rows] == 2 * sorted({q["category"] for q in questions()})
    counts = [int(row[2]) for row in by_category.rows[:5]]
    assert sum(counts) == len(questions())
    of_all = next(
        row for row in overall.rows
        if row[0] == "base" and row[1].startswith("early_stopping") and row[2] == "adversarial"
    )  # fmt: skip
    assert {row[1] for row in promised.rows} == {"early_stopping", "asc_conf", "asc", "esc"}
    assert any(row[3] for row in promised.rows)
    for _, policy, limit, threshold, *wrong in promised.rows:
        if threshold:
            rows = sorted(place.read_table("base-").to_pylist(), key=lambda row: row["query_id"])
            misled = Responses.of(rows).recorded
            same = stops_of(POLICIES[policy].make(float(threshold)), misled, 0)
            # A threshold of .9933 is shown as 0.993: the same but for samples between.
            assert wrong[1].value == pytest.approx(same.wrong.sum() / same.stopped.sum(), abs=0.2)
            assert limit in {"5%", "10%", "20%", "30%", "40%", "50%"}
        else:
            assert limit == "nothing"
    assert {row[:2] for row in map(tuple, lost.rows)} == {
        row[:2] for row in map(tuple, promised.rows)
    }
    each = [row[4].value for row in by_category.rows[:5]]
    assert of_all[4].value == pytest.approx(np.average(each, weights=counts))


def test_cut_and_unparsed_responses_are_told_there_and_in_domain(config, artifacts):
    """Of each query's eight samples the first so many are cut, and the first has no answer."""
    for name, cut in (("evaluate", 2), ("evaluate_adversarial", 4)):
        place = artifacts[name]
        for model in MODELS:
            rows = place.read_table(f"{model}-").to_pylist()
            for row in rows:
                row["samples"][0]["answer"] = None
                for sample in row["samples"][:cut]:
                    sample["finish_reason"] = "length"
            write(place, model, rows)
    made = adversarial.read(config, artifacts)
    told = [(*row[:3], *(cell.value for cell in row[3:])) for row in made.tables[0].rows]
    names = [(row[0], row[1], row[2]) for row in told]
    assert names == [
        (model, *where)
        for model in MODELS
        for where in (("in domain", "32"), ("adversarial", str(adversarial.MAX_TOKENS)))
    ]
    assert [row[3:] for row in told] == 2 * [(0.25, 0.125), (0.5, 0.125)]
    assert "base, in domain: 25% and 12%; base, adversarial: 50% and 12%" in made.paragraph


def test_answers_to_misleading_questions_have_room_of_their_own(config):
    """The run's own questions keep theirs, and a config that has more room keeps it too."""

    def room(config):
        steps = {one.name: one for one in adversarial.steps(config)}
        return [
            steps[name].spec["sampling"]["max_tokens"]
            for name in ("evaluate", "evaluate_adversarial")
        ]

    assert room(config) == [32, adversarial.MAX_TOKENS]
    assert room(vary(config, ["evaluate.sampling.max_tokens=500"])) == [500, 500]


def test_of_a_few_stops_no_share_is_told(config, artifacts):
    """Of a few that are all wrong an interval has no width, whatever is true of others."""
    place = artifacts["evaluate_adversarial"]
    category = {asked(one): one["category"] for one in questions()}
    sure = {"units": adversarial.FEW - 1, "logic": adversarial.FEW}
    rows = place.read_table("base-").to_pylist()
    for row in rows:
        kind = category[row["question"]]
        if kind in sure:
            sure[kind] -= 1
            for sample in row["samples"]:
                sample |= {"answer": "no", "p_true": float(sure[kind] >= 0)}
    write(place, "base", rows)
    table = adversarial.read(config, artifacts).tables[2]
    wrong = {row[1]: row[-1].value for row in table.rows if row[0] == "base"}
    assert [wrong.pop(kind) for kind in sure] == [None, 1.0]
    assert all(0 < one < 1 for one in wrong.values())
    assert table.title.endswith(f"; –: fewer than {adversarial.FEW} queries with stops")


@pytest.mark.parametrize("models", [("base",), MODELS])
def test_the_paragraph_tells_of_policies_that_hardly_stop(config, artifacts, models):
    """Of promises those alone are counted of which stops tell something there."""
    config = vary(config, ["evaluate.policies=[early_stopping]"])
    answered = artifacts["evaluate"].read_table("calibrated-").to_pylist()
    write(artifacts["evaluate"], "base", answered)  # so that a limit of it can be promised
    place = artifacts["evaluate_adversarial"]
    for model in models:
        rows = place.read_table(f"{model}-").to_pylist()
        for row in rows:
            for sample in row["samples"]:
                sample["p_true"] = 0.0
        write(place, model, rows)
    made = adversarial.read(config, artifacts)
    promised = [row[-1].value for row in made.tables[3].rows if isinstance(row[-1], Cell)]
    seen = [one for one in promised if one is not None]
    assert len(seen) < len(promised)
    if models == MODELS:
        assert "On adversarial questions no policy stops in 10 queries or more." in made.paragraph
        what = "promised limits on wrong stops"
        assert f"Of {len(promised)} {what} none is seen there: " in made.paragraph
    else:
        assert f"Of {len(seen)} promised limits on wrong stops " in made.paragraph
        assert f" ({len(promised) - len(seen)} more are not seen: fewer" in made.paragraph


def test_questions_shift_and_keep_their_answers():
    rows = [
        {
            "dataset": name,
            "question": question,
            "reference": reference,
            "kind": kind,
            "system": None,
            "choices": None,
        }
        for name, question, reference, kind in (
            ("capitals", "What is the capital of the Gambia?", "Banjul", "text"),
            ("arithmetic", "What is 12 * 5? Answer with just the number.", "60", "number"),
            ("arithmetic", "What is 9 - 4? Answer with just the number.", "5", "number"),
            ("elements", "What is the chemical symbol of iron?", "Fe", "text"),
        )
    ]
    found = robustness.shifted(rows, {"capitals", "arithmetic"})
    assert {key: len(of) for key, of in found.items()} == {
        ("capitals", "format"): 1, ("capitals", "paraphrase"): 1,
        ("arithmetic", "format"): 2, ("arithmetic", "paraphrase"): 2,
        ("arithmetic", "difficulty"): 2,
    }  # fmt: skip
    assert found["capitals", "paraphrase"][0] == rows[0] | {
        "question": "Which city is it that the Gambia has as its capital?"
    }
    for row in found["arithmetic", "difficulty"]:
        first, sign, second = row["question"].split()[2:5]
        assert min(len(first), len(second.rstrip("?"))) == 3
        assert eval(f"{first}{sign}{second.rstrip('?')}") == int(row["reference"])
    for (_, shift), several in found.items():
        if shift == "format":
            assert all(any(own["question"] in row["question"] for own in rows) for row in several)


def test_shifted_rows_keep_all_else_that_is_their_own(tmp_path):
    """A system prompt, choices that are listed with numbers, and kinds that differ in one set."""
    numbered = "Which is a metal?\n1. iron\n2. neon"
    files = {
        "told": [
            {"question": "Who?", "answer": "I", "system": "You are Ann."},
            {"question": "Who?", "answer": "you", "system": 'You are {Bob}, "B".'},
        ],
        "chosen": [{"question": numbered, "answer": "A", "choices": ["iron", "neon"]}],
        "counted": [{"question": "How many?", "answer": "1/2"}],
    }
    for name, rows in files.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    entry = {"name": "jsonl", "label": "mine"}
    more = {
        "told": {"system": "{system}"},
        "chosen": {"kind": "option", "choices": "choices"},
        "counted": {"kind": "number"},
    }
    mine = [entry | {"path": f"{tmp_path}/{name}.jsonl", **of} for name, of in more.items()]
    trained = entry | {"path": f"{tmp_path}/train.jsonl"}
    (tmp_path / "train.jsonl").write_text('{"question": "Why?", "answer": "So."}\n')
    config = load(
        QUICKSTART,
        [f"root={tmp_path / 'root'}", f"data.train={json.dumps([trained])}", "data.calibration=[]",
         f"data.eval={json.dumps(mine)}"],
    )  # fmt: skip
    steps = {one.name: one for one in robustness.steps(config)}
    made = {}
    for name in ("held_out", "held_out_shifted"):
        made[name] = Location.of(str(tmp_path / name))
        made[name].make_dir()
        steps[name].run(made, made[name])
    own, shifted = (made[name].read_table("eval").to_pylist() for name in made)
    assert len(own) == len(shifted) == 4
    for before, after in zip(own, shifted, strict=True):
        assert after["dataset"] == "mine format"
        assert before["question"] in after["question"]
        assert before["question"] in after["prompt"]
        for key in ("system", "choices", "kind", "reference"):
            assert after[key] == before[key]
        if before["system"] is not None:
            assert before["system"] in after["prompt"]


@pytest.mark.parametrize("name", experiment.NAMES)
def test_every_experiment_plans(name, tmp_path, capsys):
    arguments = [name, "--config", QUICKSTART, "--set", f"root={tmp_path}", "--plan"]
    assert experiment.main(arguments) == 0
    assert f"experiment_{name}" in capsys.readouterr().out.splitlines()[-1]
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["cost", "adversarial", "ablation", "sweeps"])
def test_calibration_queries_are_asked_for_where_they_decide(name, capsys, tmp_path):
    sets = ["--set", f"root={tmp_path}", "--set", "data.calibration=[]"]
    assert experiment.main([name, "--config", QUICKSTART, *sets]) == 2
    assert "data.calibration is empty; this experiment needs such" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("policies", "kept"),
    [
        ("early_stopping@mean_logprob, asc", ("asc",)),
        ("early_stopping@mean_logprob", ("self_consistency",)),
    ],
)
def test_other_questions_are_asked_without_policies_that_calibration_queries_make(policies, kept):
    """Of these there are none among them."""
    config = load(QUICKSTART, [f"evaluate.policies=[{policies}]"])
    own = elsewhere.of(config, "[{name: elements, split: test}]")
    assert own.evaluate.policies == kept
    assert (own.data.calibration, own.evaluate.live_queries) == ((), 0)


def test_robustness_wants_a_set_that_is_trained_on_and_tested(capsys, tmp_path):
    sets = ["--set", f"root={tmp_path}", "--set", "data.eval=[{name: elements, split: test}]"]
    assert experiment.main(["robustness", "--config", QUICKSTART, *sets]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: config: no data set of data.eval is one of data.train, ")
    assert said.count("\n") == 1


def test_an_unknown_experiment_is_one_line(capsys, tmp_path):
    arguments = ["calibraton", "--config", QUICKSTART, "--set", f"root={tmp_path}"]
    assert experiment.main(arguments) == 2
    said = capsys.readouterr().err
    assert said == "error: 'calibraton' is no experiment; did you mean calibration?\n"
