"""Confidence sources in the report: what each is worth on the same responses."""

import numpy as np
import pytest

from pipelines.config import Config
from pipelines.config.serving import DEFAULT, ScalingConfig
from pipelines.serving.calibration import for_fallbacks, measured
from pipelines.stages.report import calibration
from pipelines.stages.report.confidence_sources import figures
from pipelines.stages.report.replays import Replays
from pipelines.storage.location import Location
from pipelines.storage.schemas import CALIBRATION_FILE

CONFIG = Config.model_validate(
    {
        "root": "r",
        "model": {"source": "builtin:smollm2-135m"},
        "data": {
            "train": [{"name": "capitals"}],
            "calibration": [{"name": "capitals", "split": "calibration"}],
            "eval": [{"name": "capitals", "split": "test"}],
        },
        "evaluate": {
            "num_samples": 6,
            "policies": ["best_of_n", "early_stopping", "asc"],
            "bootstrap": 40,
            "confidences": ["tail_entropy", "mean_logprob"],
        },
    }
)
COUNTERS = {
    "generated_tokens": 30, "prompt_tokens": 28, "scored_tokens": 24, "cached_tokens": 0,
    "scored_responses": 2, "mass": 1.0, "began": 0.0, "ended": 1.0,
}  # fmt: skip


def rows(seed=0):
    """Two in five responses are right. P(True) tells little, the entropy much, and the
    log-probability the opposite. Every query has a response without a token."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(60):
        samples = []
        for place in range(6):
            right = rng.uniform() < 0.4
            samples.append(
                {
                    "answer": "rome" if right else f"milan {rng.integers(3)}",
                    "p_true": float(np.clip(0.3 + 0.1 * right + rng.normal(0, 0.2), 0.01, 0.99)),
                    "tail_entropy": float(2 - right + rng.normal(0, 0.3)),
                    "mean_logprob": float(-1 - right + rng.normal(0, 0.3)),
                    "lowest_group": float(rng.normal(10, 1)),
                    "mass": 0.5,
                    "num_tokens": 5,
                    "finish_reason": "stop",
                }
            )
            if not place:
                nothing = {"tail_entropy": None, "mean_logprob": None, "lowest_group": None}
                samples[0] |= nothing | {"answer": None}
        made.append(
            {
                "query_id": f"q{number}",
                "dataset": "capitals",
                "role": "calibration" if number % 3 == 0 else "eval",
                "reference": "Rome",
                "kind": "text",
                "prompt_ids": [1, 2, 3],
                "samples": samples,
                "counters": COUNTERS,
            }
        )
    return made


@pytest.fixture(scope="module")
def found():
    one = Replays.of(CONFIG, rows())
    return figures(CONFIG, {"base": one, "calibrated": one})


def test_ranks_are_those_of_the_source(found):
    """Pairs counted by hand; an entropy is the surer the less it is, and what has none is as
    unsure as the least sure."""
    tests = [row for row in rows() if row["role"] == "eval"]
    surer = {"p_true": 1, "tail_entropy": -1, "mean_logprob": 1}
    of = found["datasets"]["capitals"]["base"]
    assert list(of) == ["p_true", "tail_entropy", "mean_logprob"]  # those that are named, in order
    for name, sign in surer.items():
        known = [sign * s[name] for row in tests for s in row["samples"] if s[name] is not None]
        values = [
            [min(known) if s[name] is None else sign * s[name] for s in row["samples"]]
            for row in tests
        ]
        right = [[s["answer"] == "rome" for s in row["samples"]] for row in tests]
        pairs = [
            (a > b) + (a == b) / 2
            for a, yes in zip(np.ravel(values), np.ravel(right), strict=True)
            for b, no in zip(np.ravel(values), np.ravel(right), strict=True)
            if yes and not no
        ]
        assert of[name]["auroc"] == pytest.approx(np.mean(pairs)), name
        low, high = of[name]["ci95"]["auroc"]
        assert low <= of[name]["auroc"] <= high
        less = of[name]["less_p_true"]["auroc"]
        assert less["value"] == pytest.approx(of[name]["auroc"] - of["p_true"]["auroc"])
    assert of["tail_entropy"]["auroc"] > 0.9 > 0.5 > of["mean_logprob"]["auroc"]
    assert of["tail_entropy"]["less_p_true"]["wqd"]["ci95"][0] > 0
    assert of["p_true"]["less_p_true"]["wqd"] == {"value": 0, "ci95": [0, 0]}


def test_policies_get_a_probability_of_each_source(found):
    """By a map of the calibration queries' responses, which turns round what tells the opposite;
    and what tells right from wrong saves samples. A policy without confidences is not asked."""
    maps = found["maps"]["base"]
    assert list(maps) == ["p_true", "tail_entropy", "mean_logprob"]
    assert maps["tail_entropy"]["slope"] > 0 > maps["mean_logprob"]["slope"]
    of = found["datasets"]["in_domain"]["base"]
    for one in of.values():
        assert list(one["samples_saved"]) == ["best_of_n", "early_stopping"]
    saved = {name: one["samples_saved"]["early_stopping"]["saved"] for name, one in of.items()}
    assert saved["tail_entropy"] > 0.4
    assert saved["p_true"] < saved["tail_entropy"]
    assert saved["mean_logprob"] == pytest.approx(saved["tail_entropy"], abs=0.15)


def test_the_map_is_one_of_probabilities():
    """Of responses with an answer the mean is the share of right ones, but for Platt's two more."""
    one = Replays.of(CONFIG, rows())
    facts = figures(CONFIG, {"base": one, "calibrated": one})["maps"]["base"]["tail_entropy"]
    said = [
        sample
        for row in rows()
        if row["role"] == "calibration"
        for sample in row["samples"]
        if sample["answer"]
    ]
    z = [-facts["slope"] * sample["tail_entropy"] + facts["offset"] for sample in said]
    share = np.mean([sample["answer"] == "rome" for sample in said])
    assert np.mean(1 / (1 + np.exp(-np.array(z)))) == pytest.approx(share, abs=0.02)


def test_the_calibrated_model_is_held_against_each_source_of_the_base_model():
    """Paired: of the same responses P(True) less a source is what the source lacks to it."""
    base, other = Replays.of(CONFIG, rows()), Replays.of(CONFIG, rows(seed=1))
    same = figures(CONFIG, {"base": base, "calibrated": base})["datasets"]["capitals"]["base"]
    found = figures(CONFIG, {"base": base, "calibrated": other})["datasets"]["capitals"]
    assert "calibrated_less" not in same["p_true"]
    for name in ("tail_entropy", "mean_logprob"):
        for rank in ("auroc", "wqd"):
            own, lacks = same[name]["less_p_true"][rank], same[name]["calibrated_less"][rank]
            assert lacks["value"] == pytest.approx(-own["value"])
            assert lacks["ci95"] == pytest.approx([-end for end in own["ci95"][::-1]])
            less = found["base"][name]["calibrated_less"][rank]["value"]
            tuned = found["calibrated"]["p_true"][rank]
            assert less == pytest.approx(tuned - found["base"][name][rank])
        saved = same[name]["calibrated_less"]["saved"]
        assert list(saved) == ["best_of_n", "early_stopping"]
        low, high = saved["early_stopping"]["ci95"]
        assert low <= saved["early_stopping"]["value"] <= high


def test_the_best_source_is_chosen_on_calibration_queries():
    """There the log-probability is turned round, and tells all; on the test queries the entropy is
    better by far."""
    turned = rows()
    for row in turned:
        for sample in row["samples"]:
            if row["role"] == "calibration" and sample["answer"]:
                sample["mean_logprob"] = -1.0 - (sample["answer"] != "rome")
    one = Replays.of(CONFIG, turned)
    found = figures(CONFIG, {"base": one, "calibrated": one})
    of = found["datasets"]["capitals"]["base"]
    assert of["tail_entropy"]["auroc"] > of["mean_logprob"]["auroc"]
    assert found["best"] == "mean_logprob"
    for row in turned:
        if row["role"] == "calibration":  # of which no ranks are known
            row["samples"] = [sample | {"answer": "milan"} for sample in row["samples"]]
    one = Replays.of(CONFIG, turned)
    found = figures(CONFIG, {"base": one, "calibrated": one})
    assert (found["best"], found["calibration_auroc"]) == (None, {})


def test_without_calibration_queries_sources_are_ranked_alone():
    tests = [row for row in rows() if row["role"] == "eval"]
    one = Replays.of(CONFIG, tests)
    found = figures(CONFIG, {"base": one, "calibrated": one})
    assert found["maps"] == {"base": {}, "calibrated": {}}
    assert found["best"] is None
    for source in found["datasets"]["capitals"]["base"].values():
        assert source["auroc"] is not None
        assert source["samples_saved"] == {}
    less = found["datasets"]["capitals"]["base"]["tail_entropy"]["calibrated_less"]
    assert (less["auroc"]["value"] < 0, less["saved"]) == (True, {})


def test_a_source_that_was_not_recorded():
    bare = [
        row
        | {
            "samples": [
                {key: s[key] for key in s if key not in ("tail_entropy",)} for s in row["samples"]
            ]
        }
        for row in rows()
    ]
    one = Replays.of(CONFIG, bare)
    message = "evaluate.confidences: the base model's responses were recorded without tail_entropy"
    with pytest.raises(ValueError, match=message):
        figures(CONFIG, {"base": one, "calibrated": one})
    without = CONFIG.model_copy(
        update={"evaluate": CONFIG.evaluate.model_copy(update={"confidences": ()})}
    )
    assert figures(without, {"base": one, "calibrated": one}) == {}


BY_TOKENS = CONFIG.model_copy(
    update={
        "evaluate": CONFIG.evaluate.model_copy(
            update={
                "policies": ("early_stopping", "early_stopping@tail_entropy", "cisc@tail_entropy"),
                "confidences": (),
            }
        )
    }
)


@pytest.fixture(scope="module")
def by_tokens():
    return Replays.of(BY_TOKENS, rows())


def test_a_policy_by_a_source_is_that_policy_of_the_probabilities_that_its_map_makes(by_tokens):
    """Held against a run whose P(True) is that: thresholds, fitted parameters and figures."""
    line = by_tokens.line("early_stopping@tail_entropy")
    assert by_tokens.line("early_stopping") is None
    mapped = rows()
    for one in (sample for row in mapped for sample in row["samples"]):
        entropy = one["tail_entropy"]
        # What has no token has no answer, and takes no part.
        z = -line.slope * (9.0 if entropy is None else entropy) + line.offset
        one["p_true"] = float(np.float32(1 / (1 + np.exp(-z))))
    plain = {"policies": ("early_stopping", "cisc")}
    config = BY_TOKENS.model_copy(update={"evaluate": BY_TOKENS.evaluate.model_copy(update=plain)})
    other = Replays.of(config, mapped)
    every = np.arange(40)
    for name in plain["policies"]:
        by_source = f"{name}@tail_entropy"
        chosen, expected = by_tokens.chosen[by_source], other.chosen[name]
        assert chosen.threshold == expected.threshold
        assert chosen.fitted == expected.fitted
        assert list(chosen.curve) == list(expected.curve)
        one = by_tokens.curve(by_tokens.final(by_source), every)
        two = other.curve(other.final(name), every)
        assert (one.right == two.right).all()
        assert (one.spent == two.spent).all()
    by_p_true, by_entropy = (
        by_tokens.chosen[name].calibrated.avg_samples
        for name in ("early_stopping", "early_stopping@tail_entropy")
    )
    assert by_entropy < by_p_true, "it tells right from wrong, and P(True) hardly does"


def test_it_pays_for_no_score_and_promises_nothing(by_tokens):
    """Its map is of the queries that a promise would be made by."""
    replayed, every = by_tokens.final("early_stopping@tail_entropy"), np.arange(40)
    of_tokens = by_tokens.token_curve("early_stopping@tail_entropy", replayed, every)
    scored = by_tokens.token_curve("early_stopping", replayed, every)
    # As the counters have it: 24 tokens for two scores, of which each sample is billed one.
    assert scored.spent - of_tokens.spent == pytest.approx(12 * replayed.samples[every])
    assert set(by_tokens.evidence) == {"early_stopping"}


def test_serving_reads_how_a_source_becomes_a_probability(tmp_path, by_tokens):
    place = Location.of(str(tmp_path))
    told = calibration(BY_TOKENS, {"base": by_tokens, "calibrated": by_tokens})
    (place / CALIBRATION_FILE).write_json(told)
    curves = measured(place, "base")
    own = curves["early_stopping@tail_entropy"]
    assert own.line == by_tokens.line("early_stopping@tail_entropy")
    assert own.threshold == by_tokens.chosen["early_stopping@tail_entropy"].threshold
    assert curves["early_stopping"].line is None
    assert for_fallbacks(curves)["early_stopping_vote@tail_entropy"] is own
    asked = ScalingConfig(policy="early_stopping@tail_entropy", fallback="vote")
    assert asked.over(DEFAULT).threshold is None
