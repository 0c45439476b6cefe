"""What the report measures, against counting by hand; and the whole stage on recorded responses."""

import json
import re
from copy import deepcopy
from html import unescape
from itertools import pairwise, permutations

import browsing
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config import Config
from pipelines.method.answers import canonical
from pipelines.method.consistency import soft_self_consistency
from pipelines.method.policies import POLICIES, in_order
from pipelines.method.recalibration import FITS, Seen, platt
from pipelines.method.savings import SLACK
from pipelines.stages import report
from pipelines.stages.report import recalibrated, responses
from pipelines.stages.report.cost import cost
from pipelines.stages.report.figures import figures
from pipelines.stages.report.headline import answers, headline
from pipelines.stages.report.health import health
from pipelines.stages.report.promises import promises
from pipelines.stages.report.recalibrated import recalibrate
from pipelines.stages.report.replays import Replays
from pipelines.stages.report.responses import Responses
from pipelines.stages.report.table import print_table
from pipelines.storage.location import MANIFEST, Location
from pipelines.storage.schemas import (
    CALIBRATION_FILE,
    LABELS,
    LIVE_FILE,
    LOSSES_FILE,
    METRICS_FILE,
    RESPONSES,
)

CONFIG = Config.model_validate(
    {
        "root": "r",
        "model": {"source": "builtin:smollm2-135m"},
        "data": {
            "train": [{"name": "capitals", "label": "<b>capitals"}],
            "eval": [
                {"name": "capitals", "split": "test", "label": "<b>capitals"},
                {"name": "elements", "split": "test"},
            ],
        },
        "evaluate": {
            "num_samples": 3,
            "policies": ["self_consistency", "early_stopping", "asc"],
            "bootstrap": 20,
        },
        "train": {"seeds": [7]},
    }
)
ELEMENTS = CONFIG.model_copy(
    update={
        "data": CONFIG.data.model_copy(update={"eval": CONFIG.data.eval[1:]}),
        "evaluate": CONFIG.evaluate.model_copy(update={"thresholds": (0.5, 0.9)}),
    }
)
BEST = ELEMENTS.model_copy(
    update={
        "evaluate": ELEMENTS.evaluate.model_copy(
            update={"policies": ("best_of_n", "early_stopping")}
        )
    }
)
COUNTERS = {
    "generated_tokens": 30, "prompt_tokens": 28, "scored_tokens": 24, "cached_tokens": 0,
    "scored_responses": 2, "mass": 1.0, "began": 0.0, "ended": 1.0,
}  # fmt: skip


def row(reference, *samples, role="eval", dataset="elements", number=0, kind="text"):
    """Of schemas.LABELS: three samples of ten tokens, of which two had to be scored."""
    return {
        "query_id": f"{dataset}-{role}-{number}-{reference}",
        "dataset": dataset,
        "role": role,
        "reference": reference,
        "kind": kind,
        "prompt_ids": list(range(20)),
        "samples": [
            {
                "answer": answer and canonical(answer, kind),
                "p_true": p,
                "mass": 0.5,
                "num_tokens": 10,
                "finish_reason": "stop" if answer else "length",
            }
            for answer, p in samples
        ],
        "counters": COUNTERS,
    }


TEST = [
    row("Rome", ("Rome", 0.6), ("Milan", 0.2), ("Milan", 0.1)),
    row("Oslo", ("Bergen", 0.7), ("Oslo", 0.95), ("Oslo", 0.9)),
    row("Lima", (None, 0.9), ("Lima", 0.4), ("Lima", 0.3)),
]
# Here 0.9 is right and 0.5 is not, so 0.9 is what the calibration queries choose.
CALIBRATION = [
    row("Bern", ("Basel", 0.6), ("Bern", 0.95), ("Bern", 0.91), role="calibration", number=i)
    for i in range(8)
]


@pytest.fixture(scope="module")
def replays():
    one = Replays.of(ELEMENTS, TEST + CALIBRATION)
    return {"base": one, "calibrated": one}


@pytest.fixture(scope="module")
def measured(replays):
    return figures(ELEMENTS, replays, repeats={})


def points(measured, name):
    return measured["datasets"]["elements"]["base"]["policies"][name]


def test_figures_of_responses(measured):
    model = measured["datasets"]["elements"]["base"]
    assert (model["queries"], model["responses"], model["unparsed"]) == (3, 9, 1)
    assert model["accuracy"] == pytest.approx(5 / 9)  # without an answer is wrong
    right = np.array([1, 0, 0, 0, 1, 1, 0, 1, 1])
    c = np.array([0.6, 0.2, 0.1, 0.7, 0.95, 0.9, 0.9, 0.4, 0.3])
    assert model["brier"] == pytest.approx(np.mean((c - right) ** 2))
    for low, high in model["ci95"].values():
        assert 0 <= low <= high <= 1
    assert sum(model["histogram"]["correct"]) == 5
    assert sum(model["histogram"]["wrong"]) == 4


def test_a_policy_over_budgets_is_a_mean_over_orders(measured):
    """SC: of ties the answer seen first; one without an answer never votes."""
    expected = np.mean(
        [
            [one == row["samples"][right]["answer"] for one in run.answers]
            for row, right in zip(TEST, (0, 1, 1), strict=True)
            for order in permutations((one["answer"], one["p_true"]) for one in row["samples"])
            for run in [in_order(POLICIES["self_consistency"].make(0), list(order))]
        ],
        axis=0,
    )
    found = points(measured, "self_consistency")
    assert [point["accuracy"] for point in found] == pytest.approx(expected, abs=0.05)
    assert [point["avg_samples"] for point in found] == [1, 2, 3]
    for point in found:
        assert point["ci95"][0] <= point["accuracy"] <= point["ci95"][1]


def test_a_threshold_is_chosen_on_the_calibration_queries(measured, replays):
    found = points(measured, "early_stopping")
    assert [(point["threshold"], point["budget"]) for point in found] == [
        (0.9, 1), (0.9, 2), (0.9, 3),
    ]  # fmt: skip
    chosen = report.calibration(ELEMENTS, replays)
    assert (chosen["fallback"], chosen["budget"]) == ("weighted", 3)
    for model in ("base", "calibrated"):
        one = chosen["model"][model]["early_stopping"]
        assert one["threshold"] == 0.9
        low, high = one["curve"]
        assert (low["threshold"], high["threshold"], high["accuracy"]) == (0.5, 0.9, 1)
        assert low["accuracy"] == pytest.approx(2 / 3)  # the first sample is Basel
        assert low["avg_samples"] == 1
        assert high["avg_samples"] == pytest.approx(4 / 3, abs=0.05)
        assert chosen["model"][model]["self_consistency"]["threshold"] is None


def test_without_calibration_queries_no_threshold_is_chosen():
    one = Replays.of(ELEMENTS, TEST)
    found = figures(ELEMENTS, {"base": one, "calibrated": one}, repeats={})
    listed = points(found, "early_stopping")
    assert {point["threshold"] for point in listed} == {0.5, 0.9}  # all that there may be
    assert not any(point["chosen"] for point in listed)
    assert found["samples_saved"]["elements"]["calibrated"] == {}
    chosen = report.calibration(ELEMENTS, {"calibrated": one})["model"]["calibrated"]
    nothing = {"threshold": None, "curve": [], "fitted": {}, "line": None, "evidence": None}
    assert chosen["early_stopping"] == nothing
    assert promises(one, {"elements": {"elements"}}) == {}
    none = {"cost": {"policies": {}}, "recalibrated": {"best": None}}
    assert "no policy of this run" in headline(found | none)[0]


def test_what_a_threshold_is_promised_by_is_of_runs_as_recorded(replays):
    """All eight queries sample Basel at 0.6, then Bern at 0.95: at 0.5 it stops at Basel."""
    shown = report.calibration(ELEMENTS, replays)["model"]["calibrated"]
    tried = {one.pop("threshold"): one for one in shown["early_stopping"]["evidence"]["tried"]}
    assert 0.9 not in tried  # whatever a config has it choose among
    assert tried[0.9047] == {"stopped": 8, "wrong": 0, "lost": 0, "avg_samples": 2.0}
    assert tried[0.5] == {"stopped": 8, "wrong": 8, "lost": 8, "avg_samples": 1.0}
    assert shown["early_stopping"]["evidence"]["queries"] == 8
    assert shown["self_consistency"]["evidence"] is None
    found = promises(replays["base"], {"elements": {"elements"}})["early_stopping"]
    by_limit = {(one["kind"], one["limit"]): one for one in found}
    assert by_limit["max_loss", 0.05]["threshold"] is None
    assert by_limit["max_loss", 0.05]["queries"] == 45
    assert by_limit["max_error", 0.2]["queries"] == 23  # 0.8^23 = .0059, of 15 starts .1 / 15


def test_a_promise_is_held_against_the_test_queries():
    """Where all calibration queries wait for Bern's 0.95, at the first start of a sequence below;
    of three test queries Oslo stops there."""
    one = Replays.of(ELEMENTS, TEST + CALIBRATION * 7)
    found = promises(one, {"elements": {"elements"}})["early_stopping"]
    made = next(each for each in found if (each["kind"], each["limit"]) == ("max_error", 0.1))
    assert made["threshold"] == 0.8808
    assert made["seen"]["elements"] == {
        "queries": 3, "stopped": 1, "wrong": 0, "lost": 0, "avg_samples": 8 / 3,
    }  # fmt: skip


def test_giving_up_is_promised_beside(replays):
    """Eight samples, of which the first two differ where more of them do not help."""

    def agreed(role, number):
        return row("Bern", *[("Bern", 0.5)] * 8, role=role, number=number)

    def lost(role, number):
        answers = [(name, 0.5) for name in ("Basel", "Rome", *["Basel"] * 6)]
        return row("Bern", *answers, role=role, number=number)

    rows = [
        make(role, n)
        for role in ("calibration", "eval")
        for n in range(40)
        for make in (agreed, lost)
    ]
    rows = [one | {"query_id": f"{i:03}"} for i, one in enumerate(rows)]
    one = Replays.of(ELEMENTS, rows)
    (made,) = [
        each
        for each in promises(one, {"all": {"elements"}})["asc"]
        if each["kind"] == "max_loss_with_giving_up"
    ]
    assert made["give_up"] == {"after": 2, "below": 1.0}
    assert made["seen"]["all"] == {
        "queries": 80, "stopped": 80, "wrong": 40, "lost": 0, "avg_samples": 2.0,
    }  # fmt: skip


def test_fitted_parameters_come_with_the_threshold_and_no_promise():
    evaluate = CONFIG.evaluate.model_copy(update={"policies": ("cisc", "reasc", "cges")})
    config = ELEMENTS.model_copy(update={"evaluate": evaluate})
    one = Replays.of(config, TEST + CALIBRATION)
    chosen = report.calibration(config, {"calibrated": one})["model"]["calibrated"]
    assert chosen["cisc"]["threshold"] is None
    # Bern is surer than Basel, and stated twice: any temperature is as good.
    assert chosen["cisc"]["fitted"] == {"temperature": 10.0}
    c = [0.6, 0.95, 0.91]
    assert chosen["reasc"]["fitted"] == pytest.approx({"mean": np.mean(c), "deviation": np.std(c)})
    assert chosen["reasc"]["evidence"] is None
    assert chosen["cges"]["evidence"]["queries"] == 8
    assert one.final("cisc") is not None


def test_what_fallbacks_are_worth(measured):
    """Lima alone never stops at 0.9 but on the one without an answer, which does not count."""
    found = measured["fallback"]["elements"]["base"]
    assert set(found) == {"weighted", "vote", "best", "last"}
    assert len({one["avg_samples"] for one in found.values()}) == 1  # when it stops is the same
    # Rome: the majority is Milan, as the last one often is.
    assert found["weighted"]["accuracy"] == found["best"]["accuracy"] == 1
    assert found["vote"]["accuracy"] < 1
    assert found["last"]["accuracy"] < 1


def test_an_answer_is_judged_once_a_query(monkeypatch):
    """For a formula is compared by another process, in up to seconds."""
    asked = []
    monkeypatch.setattr(responses, "is_correct", lambda *one: asked.append(one) or one[0] == one[1])
    rows = [row("x", *[("x", 0.5)] * 8, ("y", 0.1), (None, 0.2), kind="math")] * 3
    recorded = Responses.of(rows).recorded
    assert len([one for one in asked if one[0] is not None]) == 6
    assert recorded.correct.sum(1).tolist() == [8] * 3
    assert (recorded.answers[0] == [0] * 8 + [1, -1]).all()


def test_what_a_query_spends():
    """The first sample computes a prompt of 20, two more ones 4 each; a score takes 12 tokens."""
    prices = Responses.of(TEST).prices
    samples = np.tile([1.0, 2.0, 3.0], (3, 1))
    assert prices.spent(samples, scores=False)[0] == pytest.approx([30, 44, 58])
    assert prices.spent(samples, scores=True)[0] == pytest.approx([42, 68, 94])


def test_what_signatures_of_failure_are_read_from():
    """Of four queries: all wrong together, all right, two in three right, and no answer at all."""
    rows = [
        row("Rome", ("Milan", 0.9), ("Milan", 0.8), ("Milan", 0.7)),
        row("Oslo", ("Oslo", 0.3), ("Oslo", 0.5), ("Oslo", 0.4)),
        row("Lima", ("Quito", 0.6), ("Lima", 0.2), ("Lima", 0.1)),
        row("Bern", (None, 0.95), (None, 0.1), (None, 0.1)),
    ]
    one = Replays.of(BEST, rows + CALIBRATION)
    found = health(BEST, {"base": one, "calibrated": one})
    assert found["calibration_queries"] == 8
    of = found["datasets"]["elements"]
    assert of["cut"] == {"base": 3, "calibrated": 3}
    assert of["consensus"] == {"queries": 2, "wrong": 1}
    c = [0.9, 0.8, 0.7, 0.3, 0.5, 0.4, 0.6, 0.2, 0.1, 0.95, 0.1, 0.1]
    assert of["spread"]["base"] == pytest.approx(np.quantile(c, 0.95) - np.quantile(c, 0.05))
    # Right and wrong ones by SSC; wrong are Milan, Quito with 0.6 of 0.9, and what has no answer.
    right, wrong = [1, 1, 1, 1 / 3, 1 / 3], [1, 1, 1, 2 / 3, -1, -1, -1]
    won = np.mean([(r > w) + (r == w) / 2 for r in right for w in wrong])
    assert of["ssc"]["auroc"] == pytest.approx(won)
    right, wrong = [0.3, 0.5, 0.4, 0.2, 0.1], [0.9, 0.8, 0.7, 0.6, -1, -1, -1]
    said = np.mean([r > w for r in right for w in wrong])
    assert of["ssc"]["p_true_auroc"] == pytest.approx(said)
    assert of["ssc"]["difference"]["value"] == pytest.approx(won - said)


def test_early_stopping_is_held_against_the_most_confident_under_small_budgets():
    """All samples are sure enough at 0.9, so the first is taken; of two the surest is right."""
    config = BEST.model_copy(
        update={"evaluate": BEST.evaluate.model_copy(update={"num_samples": 8})}
    )
    samples = [("Oslo", 0.99)] * 4 + [("Bergen", 0.95)] * 4
    learned = [row("Bern", *[("Bern", 0.95)] * 4, *[("Basel", 0.1)] * 4, role="calibration")]
    one = Replays.of(config, [row("Oslo", *samples, number=i) for i in range(3)] + learned)
    listed = health(config, {"base": one, "calibrated": one})["datasets"]["elements"]
    (found,) = listed["early_stopping_less_best_of_n"]
    assert found["budget"] == 2
    assert found["value"] == pytest.approx(-16 / 56)  # pairs in order of Bergen, then Oslo
    assert found["ci95"] == pytest.approx([-16 / 56] * 2)  # the queries are alike


def test_of_one_sample_a_query_no_small_budget_is_left():
    learned = [row("Bern", ("Bern", 0.95), role="calibration")]
    tests = [row("Oslo", ("Oslo", 0.9)), row("Rome", ("Milan", 0.4))]
    one = Replays.of(BEST, tests + learned)
    listed = health(BEST, {"base": one, "calibrated": one})["datasets"]["elements"]
    assert listed["early_stopping_less_best_of_n"] == []


def manifests():
    tokens = {"generated_tokens": 700, "prompt_tokens": 200, "scored_tokens": 100}
    metrics = {
        "label": tokens | {"cached_tokens": 10, "mass": 0.481},
        "train": {"steps": 2, "examples": 32, "tokens": 300},
        "evaluate": dict.fromkeys(
            ("base", "calibrated"), tokens | {"cached_tokens": 10, "mass": 0.481}
        ),
    }
    return {name: {"seconds": 3.0, "rows": 40, "metrics": one} for name, one in metrics.items()}


def test_what_calibration_costs_and_when_it_pays(replays):
    found = cost(manifests(), replays, {"elements"}, resamples=20, seed=0)
    # Labels, twice the trained tokens, and the responses to the eight calibration queries.
    assert found["tokens_spent"] == 1000 + 2 * 300 + 8 * (30 + 28 + 24)
    assert found["sc_tokens_a_query"] == pytest.approx(58)  # votes need no scores
    stopping = found["policies"]["early_stopping"]
    assert stopping["tokens"] > stopping["sc_tokens"], "scores, for nothing"
    assert stopping["break_even_queries"] is found["break_even_queries"] is None
    sc = found["policies"]["self_consistency"]
    assert sc["tokens"] == pytest.approx(sc["sc_tokens"])
    assert (sc["break_even_queries"], sc["ci95"]) == (None, [None, None])


def test_it_pays_where_one_sure_sample_does_what_three_votes_do():
    """SC needs two votes of three, and a right sample is always sure."""
    samples = ("Oslo", 0.95), ("Oslo", 0.95), ("Bern", 0.1)
    # All arrangements, over which any one order is all orders.
    sure = [row("Oslo", *each, number=i) for i, each in enumerate(permutations(samples))]
    learned = [
        row("Bern", ("Bern", 0.95), ("Bern", 0.95), ("Rome", 0.1), role="calibration", number=i)
        for i in range(8)
    ]
    one = Replays.of(ELEMENTS, sure + learned)
    found = cost(manifests(), {"base": one, "calibrated": one}, {"elements"}, 20, seed=0)
    stopping = found["policies"]["early_stopping"]
    assert stopping["accuracy"] == pytest.approx(1 - SLACK)
    # The first sample computes 20 tokens of the prompt and 10 of its own, the others 4 and 10, and
    # a score 12. SC is right in 2/3 at one and two samples, and always at three.
    by_sc = 30 + 14 + 14 * (1 - 3 * SLACK)
    # At a budget of one in 2/3, at two always: a second sample after the one that is not sure.
    by_policy = 42 + 26 / 3 * (1 - 3 * SLACK)
    assert stopping["sc_tokens"] == pytest.approx(by_sc)
    assert stopping["tokens"] == pytest.approx(by_policy)
    saved = by_sc - by_policy
    assert saved > 0
    assert stopping["break_even_queries"] == np.ceil(found["tokens_spent"] / saved)
    low, high = stopping["ci95"]
    assert low <= stopping["break_even_queries"] <= high
    for name in ("tokens", "sc_tokens"):
        low, high = stopping[f"{name}_ci95"]
        assert low <= stopping[name] <= high


def recorded_rows(rng, role, dataset, queries, skill):
    """Responses whose confidence tells right from wrong the better, the larger the skill."""
    rows = []
    for number in range(queries):
        # Of most queries two in three are right, so that more samples are worth something.
        right = rng.permutation(3) < (2 if rng.uniform() < 0.8 else 0)
        c = np.clip(0.4 + skill * (right - 0.5) + rng.normal(0, 0.1, 3), 0, 1)
        samples = [("yes" if r else "no", float(p)) for r, p in zip(right, c, strict=True)]
        rows.append(row("yes", *samples, role=role, dataset=dataset, number=number))
    return rows


def write_evaluate(place, models):
    for model, skill in models.items():
        rng = np.random.default_rng(0)  # the same answers of both
        rows = recorded_rows(rng, "calibration", "<b>capitals", 12, skill)
        rows += recorded_rows(rng, "eval", "<b>capitals", 30, skill)
        rows += recorded_rows(rng, "eval", "elements", 10, skill)
        table = pa.Table.from_pylist(rows[::-1], schema=LABELS)
        pq.write_table(table, f"{place.path}/{model}-00000.parquet")
    (place / LIVE_FILE).write_json({model: {"runs": 4, "same_samples": 4} for model in models})


def write_label(place):
    """Labeled as evaluate's responses of the base model are distributed; one query has no label."""
    rows = recorded_rows(np.random.default_rng(1), "train", "<b>capitals", 40, 0.05)
    for number, each in enumerate(rows):
        samples = each["samples"]
        answers, c = zip(*((one["answer"], one["p_true"]) for one in samples), strict=True)
        targets = soft_self_consistency(answers, c) if number else [None] * len(samples)
        each["samples"] = [
            one | {"target": target} for one, target in zip(samples, targets, strict=True)
        ]
    for part in (rows[25:], rows[:25]):  # files stand in any order
        table = pa.Table.from_pylist(part, schema=LABELS)
        pq.write_table(table, f"{place.path}/{len(part)}.parquet")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Of the stage: the calibrated model is as often right, and knows better when."""
    root = Location.of(str(tmp_path_factory.mktemp("root")))
    names = "held_out", "label", "examples", "train", "evaluate", "evaluate_seed_7"
    inputs = {name: root / name for name in names}
    for name, place in inputs.items():
        place.make_dir()
        (place / MANIFEST).write_json(manifests().get(name, {"seconds": 1.0, "metrics": {}}))
    write_label(inputs["label"])
    write_evaluate(inputs["evaluate"], {"base": 0.05, "calibrated": 0.5})
    write_evaluate(inputs["evaluate_seed_7"], {"calibrated": 0.3})
    line = {"step": 1, "calibration": 0.2, "generation": None}
    (inputs["train"] / LOSSES_FILE).write_text(f"{json.dumps(line)}\n" * 2)
    return inputs


@pytest.fixture(scope="module")
def written(tmp_path_factory, inputs):
    """The artifact."""
    out = Location.of(str(tmp_path_factory.mktemp("report")))
    result = report.run(CONFIG, inputs, out)
    assert result.rows == 4  # two sets, in domain and out of domain
    return out


@pytest.fixture(scope="module")
def results(written):
    return (written / METRICS_FILE).read_json()


def test_differences_are_of_the_figures_and_paired(results):
    for title, changes in results["differences"].items():
        before, after = (results["datasets"][title][model] for model in ("base", "calibrated"))
        for name in ("accuracy", "auroc", "wqd", "brier", "ece", "ece_debiased", "ks"):
            assert changes[name]["value"] == pytest.approx(after[name] - before[name])
        assert changes["accuracy"] == {"value": 0, "ci95": [0, 0]}  # the same answers
        low, high = changes["auroc"]["ci95"]
        assert 0 < low <= changes["auroc"]["value"] <= high


def test_samples_are_saved_at_one_accuracy(results):
    for title, models in results["samples_saved"].items():
        for model, policies in models.items():
            assert set(policies) == {"early_stopping", "asc"}
            curves = results["datasets"][title][model]["policies"]
            sc = [(p["avg_samples"], p["accuracy"]) for p in curves["self_consistency"]]
            for name, one in policies.items():
                own = [(p["avg_samples"], p["accuracy"]) for p in curves[name]]
                best = max(accuracy for _, accuracy in own)
                assert one["accuracy"] == pytest.approx(min(sc[-1][1], best) - SLACK)
                for needed, curve in ((one["sc_samples"], sc), (one["samples"], own)):
                    x, y = zip(*curve, strict=True)
                    assert np.interp(needed, x, y) == pytest.approx(one["accuracy"])
                assert one["saved"] == pytest.approx(1 - one["samples"] / one["sc_samples"])
    one = results["samples_saved"]["<b>capitals"]["calibrated"]["early_stopping"]
    assert 0 < one["ci95"][0] <= one["saved"] <= one["ci95"][1] < 1
    for name in ("samples", "sc_samples"):
        low, high = one[f"{name}_ci95"]
        assert 1 <= low <= one[name] <= high <= 3
        assert low < high


def test_what_the_headline_says_is_spent_has_its_interval(results):
    changed, title = deepcopy(results), results["groups"][0]
    changed["samples_saved"][title]["calibrated"]["early_stopping"] |= {
        "samples": 2.06, "samples_ci95": [1.81, 2.29],
        "sc_samples": 14.6, "sc_samples_ci95": [9, 16],
    }  # fmt: skip
    changed["cost"]["policies"]["early_stopping"] |= {
        "tokens": 521.3, "tokens_ci95": [480, 560.4],
        "sc_tokens": 1443, "sc_tokens_ci95": [998, 1502],
    }  # fmt: skip
    samples, tokens, *_ = answers(changed)
    assert (
        "with 2.1 [1.8, 2.3] samples a query where self-consistency takes 14.6 [9.0, 16.0] (in"
        in samples.told
    )
    assert "computes 521 [480, 560] tokens a query, scores among them, where" in tokens.told
    assert "on the base model computes 1,443 [998, 1,502], both at accuracy" in tokens.told


def test_training_runs_are_measured_alike_and_spread(written, results):
    for title, runs in results["training_runs"].items():
        assert list(runs) == ["0", "7"]
        assert runs["0"]["differences"] == results["differences"][title]
        assert runs["0"]["samples_saved"] == results["samples_saved"][title]["calibrated"]
    runs = results["training_runs"]["in_domain"]
    more, less = (runs[seed]["differences"]["auroc"]["value"] for seed in ("0", "7"))
    assert 0 < less < more
    told = f"{(more + less) / 2:+.3f} ({less:+.3f} to {more:+.3f})"
    last, page = headline(results)[-1], (written / "index.html").read_text()
    assert last.startswith("Over 2 training runs (seeds 0, 7), mean (least to most): saved ")
    assert f"AUROC {told}" in last
    assert f"<td>{told}" in page
    assert "how far 2 training runs are apart" in page


def test_of_one_training_run_no_spread_is_told(measured):
    assert measured["training_runs"] == {title: {} for title in measured["groups"]}


def test_a_report_is_the_same_again_to_the_byte(tmp_path, inputs, written):
    again = Location.of(str(tmp_path))
    report.run(CONFIG, inputs, again)
    assert again.names() == written.names()
    for name in written.names():
        assert (again / name).read_text() == (written / name).read_text()


def test_serving_can_read_the_thresholds(written, results):
    chosen = (written / CALIBRATION_FILE).read_json()["model"]["calibrated"]
    shown = results["datasets"]["elements"]["calibrated"]["policies"]
    for name, one in chosen.items():
        assert {point["threshold"] for point in shown[name]} == {one["threshold"]}
        for point in one["curve"]:
            assert set(point) == {"threshold", "accuracy", "avg_samples"}


def test_the_page_holds_the_figures_and_escapes_names(written, results):
    page = (written / "index.html").read_text()
    for models in results["datasets"].values():
        for measured in models.values():
            assert f">{measured['auroc']:.3f}<" in page
    assert page.count("<td>0.481<") == 3
    assert "<b>capitals" not in page
    # In domain and out of domain are a data set each: two panels, reliability and confidence.
    assert len(re.findall("<svg", page)) == 4 * 2 + 1
    assert "out of domain: elements" in page
    assert "They hold fixed one training run" in page


def test_the_page_and_the_table_open_with_the_same_answers(written, results, capsys):
    print_table(written)
    printed, page = capsys.readouterr().out, unescape((written / "index.html").read_text())
    lines, told = headline(results), answers(results)
    assert printed.startswith("\n".join(lines) + "\n")
    assert [one.question for one in told] == [
        "Does it save samples?", "Does it pay in tokens?", "Are its confidences better?",
        "Did it take fine-tuning?",
    ]  # fmt: skip
    for one in told:
        assert one.told in page
    assert told[0].verdict == "yes"
    assert told[0].told.startswith("Early stopping on the calibrated model saves ")
    assert "Without confidences and fine-tuning, asc saves " in told[0].told
    assert told[2].told.startswith("Calibrated less base, paired: AUROC +")
    for one in results["signatures"]:
        assert one["says"] in printed
        assert one["says"] in page
    assert "…" not in printed  # nothing is cut off


@pytest.fixture(scope="module")
def with_sources(tmp_path_factory, inputs):
    """The same, recorded with the confidences of tokens."""
    evaluate = Location.of(str(tmp_path_factory.mktemp("evaluate")))
    for name in (MANIFEST, LIVE_FILE):
        (evaluate / name).write_json((inputs["evaluate"] / name).read_json())
    for model in ("base", "calibrated"):
        rows = inputs["evaluate"].read_table(f"{model}-").to_pylist()
        for each in rows:  # the entropy tells right from wrong wholly
            for one in each["samples"]:
                right = one["answer"] == each["reference"]
                one |= {"mean_logprob": -1.0, "tail_entropy": 1.0 - right, "lowest_group": 9.0}
        table = pa.Table.from_pylist(rows, schema=RESPONSES)
        pq.write_table(table, f"{evaluate.path}/{model}-00000.parquet")
    return inputs | {"evaluate": evaluate}


def test_policies_by_the_confidences_of_tokens_are_listed_as_others_are(
    tmp_path, with_sources, written, capsys
):
    """Beside those by P(True), of which all stays as it is."""
    out = Location.of(str(tmp_path))
    by_tokens = "early_stopping@tail_entropy"
    policies = (*CONFIG.evaluate.policies, by_tokens)
    evaluate = CONFIG.evaluate.model_copy(update={"policies": policies})
    once = CONFIG.train.model_copy(update={"seeds": ()})  # the other run has none recorded
    report.run(CONFIG.model_copy(update={"evaluate": evaluate, "train": once}), with_sources, out)
    results, before = ((place / METRICS_FILE).read_json() for place in (out, written))
    saved = results["samples_saved"]["in_domain"]["calibrated"]
    assert saved.pop(by_tokens)["saved"] > 0  # for it tells right from wrong wholly
    assert saved == before["samples_saved"]["in_domain"]["calibrated"]
    assert not results["cost"]["policies"][by_tokens]["scored"]
    assert set(results["promises"]["base"]) == {"early_stopping", "asc"}
    page = (out / "index.html").read_text()
    assert "early stopping@entropy" in page  # at its line
    assert "early stopping@tail entropy" in page
    print_table(out)
    assert "NaN" not in page + capsys.readouterr().out


def test_confidence_sources_are_told_where_they_are_asked_for(
    tmp_path, with_sources, written, capsys
):
    """The rest of the report stays as it is."""
    out = Location.of(str(tmp_path))
    wanted = {"confidences": ("lowest_group", "tail_entropy"), "group_size": 64}
    config = CONFIG.model_copy(update={"evaluate": CONFIG.evaluate.model_copy(update=wanted)})
    report.run(config, with_sources, out)
    results, before = ((place / METRICS_FILE).read_json() for place in (out, written))
    assert before["sources"] == {}
    assert results | {"sources": {}} == before
    of = results["sources"]["datasets"]["in_domain"]["calibrated"]
    assert set(of) == {"p_true", "lowest_group", "tail_entropy"}
    assert (of["lowest_group"]["auroc"], of["tail_entropy"]["auroc"]) == (0.5, 1)
    assert of["p_true"]["auroc"] == results["datasets"]["in_domain"]["calibrated"]["auroc"]
    assert of["tail_entropy"]["samples_saved"]["early_stopping"]["saved"] > 0
    told = answers(results)[3].told
    assert told.startswith(answers(before)[3].told)  # and the source beside
    best = (
        "Tail entropy of the base model's own tokens, the best of 2 such sources on the calibration"
    )
    assert f" {best} queries, " in told
    print_table(out)
    printed, page = capsys.readouterr().out, (out / "index.html").read_text()
    assert told in unescape(page)
    assert "Confidence sources on the same responses, in domain" in printed
    assert re.search(r"tail entropy +1.000 \[1.00, 1.00\] +1.000", printed)
    assert "…" not in printed
    assert page.count("calibrated, tail entropy<td>1.000<") == 2
    listed = re.findall(r"<td>(?:base|calibrated), ([^<]*)<", page)
    assert listed == ["P(True)", "tail entropy", "lowest group"] * 4  # models and groups
    assert "over 64 tokens in a row" in page
    assert "Confidence sources" not in (written / "index.html").read_text()
    del before["sources"]  # as of reports of before
    (out / METRICS_FILE).write_json(before)
    print_table(out)
    assert "Confidence sources" not in capsys.readouterr().out


def test_the_policy_without_confidences_is_the_cheapest_on_calibration_queries(written, results):
    """The one that saves most on the test queries would be told better than it is."""
    title = results["groups"][0]
    changed = deepcopy(results)
    base = changed["samples_saved"][title]["base"]
    asc = (written / CALIBRATION_FILE).read_json()["model"]["base"]["asc"]
    curve = {one["threshold"]: one["avg_samples"] for one in asc["curve"]}
    at = base["asc"]["calibration"]
    assert at["samples"] == curve[asc["threshold"]]
    better = {"saved": base["asc"]["saved"] + 0.1}
    for more, cheaper in ((1, "asc"), (-1, "esc")):
        base["asc"]["calibration"] = at | {"as_accurate": True}
        cost = {"calibration": base["asc"]["calibration"] | {"samples": at["samples"] + more}}
        base["esc"] = base["asc"] | better | cost
        assert f"Without confidences and fine-tuning, {cheaper} " in answers(changed)[0].told
    for one in base.values():
        one["calibration"] = None  # without such queries
    assert "Without confidences" not in answers(changed)[0].told


@pytest.mark.parametrize(
    ("good", "told"),
    [
        (("asc",), "asc saves 40% [30%, 50%] on the base model."),
        (("asc", "esc"), "esc saves 60% [50%, 70%] on the base model."),
        ((), "asc saves 40% [30%, 50%] on the base model, up to accuracy 0.370; self-consistency "
         "reaches 0.400."),
    ],
)  # fmt: skip
def test_a_cheap_policy_that_is_less_accurate_is_no_rival(results, good, told):
    """good: as accurate as SC on the calibration queries; where none is, the most accurate."""
    changed = deepcopy(results)
    found = {
        "asc": (0.37, 0.4, [0.3, 0.5], {"samples": 8.0, "accuracy": 0.38}),
        "esc": (0.30, 0.6, [0.5, 0.7], {"samples": 4.0, "accuracy": 0.29}),
    }
    changed["samples_saved"][results["groups"][0]]["base"] = {
        name: {"accuracy": accuracy, "sc_accuracy": 0.4, "saved": saved, "ci95": ci95}
        | {"calibration": at | {"as_accurate": name in good}}
        for name, (accuracy, saved, ci95, at) in found.items()
    }
    assert answers(changed)[0].told.endswith(f" Without confidences and fine-tuning, {told}")


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [([0.01, 0.2], "yes"), ([-0.2, -0.01], "no"), ([-0.1, 0.2], "not shown")],
)
def test_a_verdict_wants_a_whole_interval(results, ends, verdict):
    title = results["groups"][0]
    changed = deepcopy(results)
    changed["samples_saved"][title]["calibrated"]["early_stopping"]["ci95"] = ends
    assert answers(changed)[0].verdict == verdict


@pytest.mark.parametrize(
    ("ends", "verdict", "told"),
    [
        ([10, 20], "yes", "is repaid after 15 queries [10 to 20]."),
        ([10, None], "not shown", "is repaid after 15 queries [10 to never]."),
        ([None, None], "no", "is repaid after 15 queries [never]."),
    ],
)
def test_it_pays_in_tokens_where_the_latest_query_is_known(results, ends, verdict, told):
    changed = deepcopy(results)
    changed["cost"]["policies"]["early_stopping"] |= {"ci95": ends, "break_even_queries": 15}
    answer = answers(changed)[1]
    assert answer.verdict == verdict
    assert told in answer.told


@pytest.mark.parametrize(
    ("auroc", "brier", "others", "verdict", "told"),
    [
        ([0.1, 0.2], [-0.2, -0.1], [0.1, 0.2], "yes", ", is worse in AUROC, WQD, Brier, ECE and"),
        (
            [0.1, 0.2],
            [-0.1, 0.1],
            [-0.1, 0.1],
            "in part",
            "(intervals hold 0) and is worse in AUROC.",
        ),
        (
            [-0.1, 0.1],
            [-0.1, 0.1],
            [-0.1, 0.1],
            "not shown",
            "and samples saved (intervals hold 0).",
        ),
        (
            [0.1, 0.2],
            [0.1, 0.2],
            [-0.1, 0.1],
            "in part",
            "is worse in AUROC and is better in Brier.",
        ),
        ([-0.2, -0.1], [0.1, 0.2], [-0.1, 0.1], "no", "is better in AUROC and Brier."),
    ],
)
def test_whether_it_took_fine_tuning_is_told_by_the_paired_intervals(
    results, auroc, brier, others, verdict, told
):
    changed = deepcopy(results)
    best = changed["recalibrated"]["datasets"][results["groups"][0]]["platt"]
    changed["recalibrated"]["best"] = "platt"
    less = best["calibrated_less"]
    less |= {"auroc": {"value": 0.0, "ci95": auroc}, "brier": {"value": 0.0, "ci95": brier}}
    less["wqd"] = {"value": 0.0, "ci95": others}
    less["saved"]["early_stopping"] = {"value": 0.0, "ci95": others, "accuracy": 0.5}
    less["ece_debiased"] = {"value": 0.0, "ci95": [-one for one in reversed(others)]}
    answer = answers(changed)[3]
    assert answer.verdict == verdict
    assert answer.told.startswith("Platt scaling on the base model")
    assert " at accuracy 0.500 (" in answer.told
    assert told in answer.told


BETTER, WORSE, HOLDS = [0.1, 0.2], [-0.2, -0.1], [-0.1, 0.1]


def against(results, recalibration, sources, best):
    """Results by the interval of the calibrated model's difference to each: to a recalibration, or
    none, in all figures; to sources by name in AUROC, and in WQD it holds 0."""
    changed, title = deepcopy(results), results["groups"][0]
    if recalibration is None:
        changed["recalibrated"]["best"] = None
    else:
        best_map = changed["recalibrated"]["best"]
        less = changed["recalibrated"]["datasets"][title][best_map]["calibrated_less"]
        low, high = recalibration
        less |= {key: {"value": 0.0, "ci95": [low, high]} for key in ("auroc", "wqd")}
        less |= {key: {"value": 0.0, "ci95": [-high, -low]} for key in ("brier", "ece_debiased")}
        less["saved"] = {}
    of = {
        name: {
            "calibrated_less": {
                "auroc": {"value": 0.0, "ci95": ends},
                "wqd": {"value": 0.0, "ci95": HOLDS},
                "saved": {},
            },
            "samples_saved": {},
        }
        for name, ends in sources.items()
    }
    changed["sources"] = {"best": best, "datasets": {title: {"base": {"p_true": {}} | of}}}
    return changed


@pytest.mark.parametrize(
    ("recalibration", "source", "verdict", "told"),
    [
        (BETTER, BETTER, "in part", "and is worse in AUROC."),
        (BETTER, WORSE, "in part", "and is better in AUROC."),
        (HOLDS, BETTER, "not shown", "and is worse in AUROC."),  # the map does as well in all
        (HOLDS, WORSE, "no", "and is better in AUROC."),
        (WORSE, BETTER, "no", "and is worse in AUROC."),  # a weaker rival makes no other worse
        (None, BETTER, "in part", "and is worse in AUROC."),
        (None, WORSE, "no", "and is better in AUROC."),
        (None, None, "not shown", "Calibrated less this, paired: AUROC -, WQD"),  # undefined
    ],
)
def test_what_took_fine_tuning_no_source_does_as_well(
    results, recalibration, source, verdict, told
):
    changed = against(results, recalibration, {"mean_logprob": source}, "mean_logprob")
    answer = answers(changed)[3]
    assert answer.verdict == verdict
    one = "Mean log-probability of the base model's own tokens does as well in WQD"
    assert f"{one} (intervals hold 0)" in answer.told
    assert told in answer.told
    assert answer.told.startswith(one) == (recalibration is None)


def test_of_sources_the_best_is_told_and_where_none_could_be_chosen_each(results):
    sources = {"tail_entropy": BETTER, "mean_logprob": WORSE}
    chosen = answers(against(results, None, sources, "tail_entropy"))[3]
    assert chosen.verdict == "in part"
    assert chosen.told.startswith("Tail entropy of the base model's own tokens, the best of 2 such")
    assert "log-probability" not in chosen.told
    each = answers(against(results, None, sources, None))[3]
    assert each.verdict == "no"
    for name in ("Tail entropy", "Mean log-probability"):
        assert f"{name} of the base model's own tokens does as well in WQD" in each.told
    assert "the best of" not in each.told
    undefined = against(results, None, {"tail_entropy": None}, None)
    undefined["sources"]["datasets"][results["groups"][0]]["base"]["tail_entropy"][
        "calibrated_less"
    ]["wqd"] = {"value": None, "ci95": None}
    assert len(answers(undefined)) == 3


def test_how_far_a_source_gets_is_told_where_it_is_less_or_more_far(results):
    """Savings are read at one accuracy, the lower one."""
    changed = against(results, None, {"tail_entropy": BETTER}, "tail_entropy")
    title = results["groups"][0]
    source = changed["sources"]["datasets"][title]["base"]["tail_entropy"]
    source["calibrated_less"]["saved"] = {
        "early_stopping": {"value": -0.12, "ci95": [-0.36, -0.02], "accuracy": 0.546}
    }
    tuned = changed["samples_saved"][title]["calibrated"]["early_stopping"]
    tuned["accuracy"] = 0.622
    source["samples_saved"] = {"early_stopping": {"accuracy": 0.546}}
    answer = answers(changed)[3]
    assert answer.verdict == "in part"
    assert "is worse in AUROC and is better in samples saved." in answer.told
    assert answer.told.endswith(
        "saved by early stopping -12 points [-36, -2] at accuracy 0.546 (in domain, 30 queries). "
        "Early stopping by it reaches accuracy 0.546, on the calibrated model 0.622."
    )
    source["samples_saved"] = {"early_stopping": {"accuracy": 0.62}}
    assert answers(changed)[3].told.endswith("30 queries).")


def test_what_is_undefined_is_no_as_well_and_few_queries_show_nothing(results):
    changed = deepcopy(results)
    best = results["recalibrated"]["best"]
    title = results["groups"][0]
    less = changed["recalibrated"]["datasets"][title][best]["calibrated_less"]
    less["auroc"] = {"value": None, "ci95": None}  # all responses are wrong
    assert "AUROC -," in answers(changed)[3].told
    assert "AUROC" not in answers(changed)[3].told.partition("Calibrated less")[0]
    assert answers(results)[0].verdict == "yes"
    changed["datasets"][title]["calibrated"]["queries"] = 9
    assert {one.verdict for one in answers(changed)} == {"not shown"}


def test_maps_are_fitted_on_the_labels_of_training_queries(results):
    """On the 39 queries with labels; Platt's by the rule of method/recalibration.py."""
    found = results["recalibrated"]
    assert (found["queries"], found["responses"]) == (39, 39 * 3)
    assert set(found["maps"]) == {"temperature", "platt", "isotonic", "ridge"}
    rows = recorded_rows(np.random.default_rng(1), "train", "<b>capitals", 40, 0.05)[1:]
    c, ssc = np.empty((2, 0))
    for each in rows:
        own = np.array([one["p_true"] for one in each["samples"]], dtype=np.float32)
        names = [one["answer"] for one in each["samples"]]
        c, ssc = np.r_[c, own], np.r_[ssc, soft_self_consistency(names, own.tolist())]
    slope, offset = platt(c, ssc)
    told = found["maps"]["platt"]
    assert [told["slope"], told["offset"]] == pytest.approx([slope, offset], abs=1e-4)


def test_a_recalibrated_model_is_measured_as_the_others_are(results):
    """Platt's map keeps the order of confidences, so of the base model's figures what rests on it
    alone; and thresholds are chosen on its own confidences."""
    for title in results["groups"]:
        base = results["datasets"][title]["base"]
        calibrated = results["datasets"][title]["calibrated"]
        of = results["recalibrated"]["datasets"][title]
        assert of["platt"]["accuracy"] == base["accuracy"]
        assert of["platt"]["auroc"] == pytest.approx(base["auroc"])
        assert set(of["platt"]["samples_saved"]) == {"early_stopping"}  # asc needs no confidences
        for one in of.values():
            less = one["calibrated_less"]
            for name in ("accuracy", "auroc", "brier", "ece_debiased"):
                assert less[name]["value"] == pytest.approx(calibrated[name] - one[name])
            # Both at one accuracy: the lower one, of those at which each is read alone.
            alone = [one["samples_saved"], results["samples_saved"][title]["calibrated"]]
            read_at = min(saved["early_stopping"]["accuracy"] for saved in alone)
            assert less["saved"]["early_stopping"]["accuracy"] == pytest.approx(read_at)
    brier = results["recalibrated"]["calibration_brier"]
    assert results["recalibrated"]["best"] == min(brier, key=brier.get)


def test_nothing_is_promised_of_a_recalibrated_model(replays):
    assert replays["base"].evidence
    by = FITS["platt"](Seen.of(*np.full((5, 3), 0.5)), np.array([0.0, 1.0, 1.0]), np.arange(3))
    assert replays["base"].recalibrated(ELEMENTS, by).evidence == {}


def test_without_labels_nothing_is_recalibrated(tmp_path, replays):
    label = Location.of(str(tmp_path))
    (label / MANIFEST).write_json({"rows": 3})
    samples = [one | {"target": None} for one in TEST[0]["samples"]]
    rows = [each | {"role": "train", "samples": samples} for each in TEST]
    pq.write_table(pa.Table.from_pylist(rows, schema=LABELS), f"{label.path}/a.parquet")
    found = recalibrate(ELEMENTS, replays["base"], label)
    assert (found.replays, found.best) == ({}, None)


def test_of_many_labels_a_share_is_read_whatever_their_files(tmp_path, monkeypatch):
    monkeypatch.setattr(recalibrated, "_QUERIES", 20)
    found = []
    for way in (1, -1):
        label = Location.of(str(tmp_path / str(way)))
        label.make_dir()
        (label / MANIFEST).write_json({"rows": 80})
        rows = [
            each | {"samples": [one | {"target": number / 80} for one in each["samples"]]}
            for number, each in enumerate(TEST[0] | {"query_id": f"q{i}"} for i in range(80))
        ]
        pq.write_table(pa.Table.from_pylist(rows[::way], schema=LABELS), f"{label.path}/a.parquet")
        found.append(recalibrated.labels(label))
    (seen, target, query), again = found
    assert 10 < len(set(query)) < 30
    assert len(target) == 3 * len(set(query))
    assert (target == again[1]).all()
    assert (seen.features == again[0].features).all()


@pytest.mark.process
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_in_a_browser(written, width):
    """From disk: nothing is asked of a network, nothing hangs over the side, names do not lie over
    each other, and a line that is pointed at shows its interval while the others fade."""
    with browsing.browser() as browser:
        page = browser.new_page(viewport={"width": width, "height": 900})
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"file://{written.path}/index.html")
        assert asked == [f"file://{written.path}/index.html"]
        assert page.evaluate("document.documentElement.scrollWidth") == width
        for panel in page.locator("svg.curves").all():
            edge = panel.bounding_box()
            names = sorted(
                (one.bounding_box() for one in panel.locator(".name").all()),
                key=lambda box: box["y"],
            )
            assert len(names) == 3
            for box in names:
                assert box["x"] + box["width"] <= edge["x"] + edge["width"]
            for above, below in pairwise(names):
                assert above["y"] + 0.75 * above["height"] <= below["y"]
        panel = page.locator("svg.curves").first

        def opacity(policy, part):
            return panel.locator(f".policy:has-text('{policy}') {part}").evaluate(
                "one => +getComputedStyle(one).opacity"
            )

        assert opacity("early stopping", ".band") > 0
        assert opacity("self consistency", ".band") == 0
        panel.locator(".policy:has-text('self consistency') .name").hover()
        assert opacity("self consistency", ".band") > 0
        page.wait_for_function(
            "one => +getComputedStyle(one).opacity < 0.5",
            arg=panel.locator(".policy:has-text('early stopping')").element_handle(),
        )
