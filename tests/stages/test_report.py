"""What the report measures, against counting by hand; and the whole stage on recorded responses."""

import json
import re
from html import escape
from itertools import permutations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config import Config
from pipelines.method.answers import canonical
from pipelines.method.policies import POLICIES, in_order
from pipelines.method.savings import SLACK
from pipelines.stages import report
from pipelines.stages.report import responses
from pipelines.stages.report.cost import cost
from pipelines.stages.report.figures import figures
from pipelines.stages.report.headline import headline
from pipelines.stages.report.promises import promises
from pipelines.stages.report.replays import Replays
from pipelines.stages.report.responses import Responses
from pipelines.stages.report.table import print_table
from pipelines.storage.location import MANIFEST, Location
from pipelines.storage.schemas import CALIBRATION_FILE, LABELS, LIVE_FILE, LOSSES_FILE, METRICS_FILE

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
            {"answer": answer and canonical(answer, kind), "p_true": p} for answer, p in samples
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
    nothing = {"threshold": None, "curve": [], "fitted": {}, "evidence": None}
    assert chosen["early_stopping"] == nothing
    assert promises(one, {"elements": {"elements"}}) == {}
    assert "no policy of this run" in headline(found)[0]


def test_what_a_threshold_is_promised_by_is_of_runs_as_recorded(replays):
    """All eight queries sample Basel at 0.6, then Bern at 0.95: at 0.5 it stops at Basel."""
    shown = report.calibration(ELEMENTS, replays)["model"]["calibrated"]
    (high, low) = shown["early_stopping"]["evidence"]["tried"]
    assert high == {"threshold": 0.9, "stopped": 8, "wrong": 0, "lost": 0, "avg_samples": 2.0}
    assert low == {"threshold": 0.5, "stopped": 8, "wrong": 8, "lost": 8, "avg_samples": 1.0}
    assert shown["early_stopping"]["evidence"]["queries"] == 8
    assert shown["self_consistency"]["evidence"] is None
    found = promises(replays["base"], {"elements": {"elements"}})["early_stopping"]
    by_limit = {(one["kind"], one["limit"]): one for one in found}
    assert by_limit["max_loss", 0.05]["threshold"] is None
    assert by_limit["max_loss", 0.05]["queries"] == 45
    assert by_limit["max_error", 0.2]["queries"] == 11  # 0.8^11 = .086


def test_a_promise_is_held_against_the_test_queries():
    """Of thirty calibration queries one chooses 0.9; of three test queries Oslo stops there."""
    one = Replays.of(ELEMENTS, TEST + CALIBRATION * 4)
    found = promises(one, {"elements": {"elements"}})["early_stopping"]
    made = next(each for each in found if (each["kind"], each["limit"]) == ("max_error", 0.1))
    assert made["threshold"] == 0.9
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


def manifests():
    tokens = {"generated_tokens": 700, "prompt_tokens": 200, "scored_tokens": 100}
    metrics = {
        "label": tokens | {"cached_tokens": 10, "mass": 0.481},
        "train": {"steps": 2, "examples": 32, "tokens": 300},
        "evaluate": dict.fromkeys(
            ("base", "calibrated"), tokens | {"cached_tokens": 10, "mass": 0.481}
        ),
    }
    return {name: {"seconds": 3.0, "metrics": one} for name, one in metrics.items()}


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


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The artifact of the stage: the calibrated model is as often right, and knows better when."""
    root = Location.of(str(tmp_path_factory.mktemp("root")))
    names = "held_out", "label", "examples", "train", "evaluate", "evaluate_seed_7"
    inputs = {name: root / name for name in names}
    for name, place in inputs.items():
        place.make_dir()
        (place / MANIFEST).write_json(manifests().get(name, {"seconds": 1.0, "metrics": {}}))
    write_evaluate(inputs["evaluate"], {"base": 0.05, "calibrated": 0.5})
    write_evaluate(inputs["evaluate_seed_7"], {"calibrated": 0.3})
    line = {"step": 1, "calibration": 0.2, "generation": None}
    (inputs["train"] / LOSSES_FILE).write_text(f"{json.dumps(line)}\n" * 2)
    out = root / "report"
    out.make_dir()
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
    assert len(headline(measured)) == 2


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
    assert len(re.findall("<svg", page)) == 4 * 3 + 1
    assert "They hold fixed one training run" in page


def test_the_page_and_the_table_open_with_the_same_lines(written, results, capsys):
    print_table(written)
    printed, page = capsys.readouterr().out, (written / "index.html").read_text()
    first, second, third = headline(results)
    assert printed.startswith(f"{first}\n{second}\n{third}\n")
    assert escape(first) in page
    assert first.startswith("Early stopping on the calibrated model saves ")
    assert second.startswith("Calibrated less base, paired: AUROC +")
    assert "…" not in printed  # nothing is cut off
