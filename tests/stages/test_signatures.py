"""Each signature of failure: where its rule holds, and where it just does not."""

import pytest

from pipelines.method.guarantees import Evidence, Tried
from pipelines.stages.report.promises import KINDS
from pipelines.stages.report.signatures import signatures

NOTHING = {"value": 0.0, "ci95": [-0.1, 0.1]}


def promise(kind, limit, threshold, queries):
    why = f"too many of them at {limit}"
    return {
        "kind": kind, "limit": limit, "threshold": threshold, "queries": queries, "why": why,
    }  # fmt: skip


def results():
    """Figures of a run in which nothing is wrong."""
    model = {
        "queries": 20, "responses": 100, "unparsed": 5, "ece_debiased": 0.04,
        "ci95": {"ece_debiased": [0.01, 0.08]},
    }  # fmt: skip
    titles = ["in_domain", "out_of_domain", "sums", "riddles", "rhymes"]
    better = {"value": -0.05, "ci95": [-0.08, -0.02]}
    well = {
        "cut": {"base": 2, "calibrated": 2},
        "spread": {"base": 0.4, "calibrated": 0.6},
        "consensus": {"queries": 40, "wrong": 4},
        "ssc": {
            "auroc": 0.9,
            "p_true_auroc": 0.7,
            "difference": {"value": 0.2, "ci95": [0.1, 0.3]},
        },
        "early_stopping_less_best_of_n": [{"budget": 2, **NOTHING}],
    }
    return {
        "groups": titles,
        "members": {
            "in_domain": ["sums"],
            "out_of_domain": ["riddles", "rhymes"],
            **{title: [title] for title in titles[2:]},
        },
        "datasets": {t: {"base": {**model}, "calibrated": {**model}} for t in titles},
        "differences": {
            t: {"accuracy": NOTHING, "brier": better, "ece_debiased": NOTHING} for t in titles
        },
        "promises": {
            "calibrated": {
                "early_stopping": [promise("max_loss", 0.05, None, 60)],
                "asc": [promise("max_error", 0.1, 0.8, None), promise("max_loss", 0.05, None, 45)],
            }
        },
        "health": {"calibration_queries": 200, "datasets": {t: {**well} for t in titles}},
    }


def names(found):
    return [one.name for one in signatures(found)]


def test_a_run_in_which_nothing_is_wrong_has_no_signature():
    assert names(results()) == []


@pytest.mark.parametrize(
    ("accuracy", "brier", "holds"),
    [
        ([-0.09, -0.01], [-0.08, -0.02], True),
        ([-0.09, 0.01], [-0.08, -0.02], False),  # the answers may be as good
        ([-0.09, -0.01], [-0.08, 0.02], False),  # nothing got better: no such trade
    ],
)
def test_accuracy_falls_while_calibration_improves(accuracy, brier, holds):
    found = results()
    found["differences"]["sums"] = {
        "accuracy": {"value": -0.05, "ci95": accuracy},
        "brier": {"value": -0.05, "ci95": brier},
        "ece_debiased": NOTHING,
    }
    assert names(found) == ["accuracy falls"] * holds
    if holds:
        (one,) = signatures(found)
        assert one.says.startswith("sums: ")
        assert "accuracy -0.050 [-0.09, -0.01]" in one.says
        assert one.figures == {"accuracy": -0.05, "brier": -0.05}


def test_what_data_sets_show_together_alone_is_told_of_their_group():
    """Of few queries each, or with wide intervals each."""
    surely = {"value": -0.06, "ci95": [-0.10, -0.02]}
    found = results()
    found["differences"]["out_of_domain"]["accuracy"] = surely
    (one,) = signatures(found)
    assert one.says.startswith("out of domain: the calibrated model answers worse, accuracy -0.060")
    found["differences"]["rhymes"]["accuracy"] = surely
    (one,) = signatures(found)  # told of the set, not once more of its group
    assert one.says.startswith("rhymes: ")
    found = results()
    for title, queries in (("riddles", 6), ("rhymes", 6), ("out_of_domain", 12)):
        of = found["health"]["datasets"][title]
        of["consensus"] = {"queries": queries, "wrong": queries}
        of["spread"] = {"base": 0.01, "calibrated": 0.6}
        found["datasets"][title]["calibrated"]["queries"] = queries
    assert [(one.name, one.says.partition(":")[0]) for one in signatures(found)] == [
        ("consensus is wrong", "out of domain"), ("confidence collapsed", "out of domain"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ece", "low", "holds"), [(0.12, 0.06, True), (0.12, 0.03, False), (0.09, 0.06, False)]
)
def test_ece_stays_high_out_of_domain(ece, low, holds):
    found = results()
    high = {"ece_debiased": ece, "ci95": {"ece_debiased": [low, 0.2]}}
    found["datasets"]["in_domain"]["calibrated"] |= high
    found["datasets"]["out_of_domain"]["base"] |= high
    assert names(found) == []
    found["datasets"]["out_of_domain"]["calibrated"] |= high
    assert names(found) == ["ECE out of domain"] * holds
    del found["datasets"]["out_of_domain"]  # of a run without such data sets
    assert names(found) == []


@pytest.mark.parametrize(("high", "holds"), [(-0.006, True), (-0.004, False), (0.01, False)])
def test_early_stopping_is_worse_than_the_most_confident(high, holds):
    found = results()
    found["health"]["datasets"]["in_domain"]["early_stopping_less_best_of_n"] = [
        {"budget": 2, **NOTHING},
        {"budget": 3, "value": -0.02, "ci95": [-0.04, high]},
    ]
    assert names(found) == ["early stopping below best-of-N"] * holds
    if holds:
        assert signatures(found)[0].figures == {"budget": 3, "difference": -0.02}


def test_early_stopping_is_worse_on_a_data_set_of_a_group_that_is_not():
    found, of = results(), results()["health"]["datasets"]["rhymes"]
    worse = {"early_stopping_less_best_of_n": [{"budget": 3, "value": -0.2, "ci95": [-0.3, -0.1]}]}
    found["health"]["datasets"]["rhymes"] = of | worse
    (one,) = signatures(found)
    assert one.says.startswith("rhymes: under a budget of 3 samples early stopping answers worse")
    found["health"]["datasets"]["out_of_domain"] = of | worse  # not once more of its group
    assert [one.says.partition(":")[0] for one in signatures(found)] == ["rhymes"]


@pytest.mark.parametrize(
    ("queries", "wrong", "holds"), [(12, 3, True), (12, 2, False), (9, 9, False)]
)
def test_the_consensus_is_wrong(queries, wrong, holds):
    found = results()
    for title in ("riddles", "out_of_domain"):  # told of the data set, not once more of its group
        found["health"]["datasets"][title]["consensus"] = {"queries": queries, "wrong": wrong}
    assert names(found) == ["consensus is wrong"] * holds
    if holds:
        assert "on 3 of these (25%)" in signatures(found)[0].says


@pytest.mark.parametrize(("spread", "holds"), [(0.01, True), (0.03, False)])
def test_confidence_collapsed(spread, holds):
    """On a set of any domain, be others as sure in another way, and their spread together wide."""
    found = results()
    found["health"]["datasets"]["riddles"]["spread"] = {"base": 0.3, "calibrated": spread}
    assert names(found) == ["confidence collapsed"] * holds
    if holds:
        assert signatures(found)[0].says.startswith("riddles: nine in ten confidences of the calib")
    both = {"base": 0.0, "calibrated": 0.6}
    for title in ("riddles", "rhymes", "out_of_domain"):
        found["health"]["datasets"][title]["spread"] = both
    assert [one.says.partition(":")[0] for one in signatures(found)] == ["riddles", "rhymes"]


@pytest.mark.parametrize(
    ("unparsed", "cut", "told"),
    [
        (40, 0, "40% of the responses have no answer."),
        (40, 60, "40% of the responses have no answer and 60% of the responses were cut"),
        (0, 60, "60% of the responses were cut at max_tokens."),
        (30, 45, None),
    ],
)
def test_too_many_unparsed_or_cut(unparsed, cut, told):
    found = results()
    found["datasets"]["sums"]["base"]["unparsed"] = unparsed
    found["health"]["datasets"]["sums"]["cut"] = {"base": cut, "calibrated": 0}
    assert names(found) == ["unparsed or cut"] * bool(told)
    if told:
        assert f"sums, base model: {told}" in signatures(found)[0].says


@pytest.mark.parametrize(
    ("ends", "holds"), [([-0.1, 0.3], True), ([-0.3, -0.1], True), ([0.01, 0.3], False)]
)
def test_ssc_is_no_better_than_p_true(ends, holds):
    found = results()
    found["health"]["datasets"]["in_domain"]["ssc"]["difference"] = {"value": 0.1, "ci95": ends}
    assert names(found) == ["SSC no better than P(True)"] * holds
    # Where all responses are right, or wrong, nothing is known of it.
    found["health"]["datasets"]["in_domain"]["ssc"] |= {
        "auroc": None, "p_true_auroc": None, "difference": {"value": None, "ci95": None},
    }  # fmt: skip
    assert names(found) == []


@pytest.mark.parametrize(("queries", "holds"), [(10, True), (9, False)])
def test_of_few_queries_no_figure_is_evidence(queries, holds):
    """Their intervals know too little of the spread. What was cut is there to be seen."""
    found = results()
    for title in found["groups"]:
        for model in found["datasets"][title].values():
            model |= {"queries": queries, "ece_debiased": 0.3, "ci95": {"ece_debiased": [0.2, 0.4]}}
        found["differences"][title] |= {"accuracy": {"value": -0.05, "ci95": [-0.09, -0.01]}}
        found["health"]["datasets"][title] |= {
            "cut": {"base": 90, "calibrated": 0},
            "spread": {"base": 0.4, "calibrated": 0.01},
            "ssc": {**results()["health"]["datasets"][title]["ssc"], "difference": NOTHING},
            "early_stopping_less_best_of_n": [{"budget": 2, "value": -0.1, "ci95": [-0.2, -0.05]}],
        }
    evident = [
        *["accuracy falls"] * 3, "ECE out of domain", *["early stopping below best-of-N"] * 3,
        *["confidence collapsed"] * 3,
    ]  # fmt: skip
    seen = ["unparsed or cut"] * 3
    after = ["SSC no better than P(True)"]
    assert names(found) == (evident + seen + after if holds else seen)


def test_too_few_calibration_queries():
    """Where no threshold is promised; one promise of one policy is enough."""
    found = results()
    promised = found["promises"]["calibrated"]
    promised["asc"][0]["threshold"] = None
    (one,) = signatures(found)
    assert one.name == "few calibration queries"
    assert one.says == "With 200 calibration queries nothing can be promised of any threshold."
    assert "about 45 would do for asc with at most 5% lost by stopping" in one.advice
    assert one.figures == {"queries": 200}
    promised["asc"].append(promise("max_loss_with_giving_up", 0.1, None, 40))
    assert "asc with at most 10% lost by stopping or giving up" in signatures(found)[0].advice
    promised.clear()  # votes alone: nothing stops early
    assert names(found) == []
    found["health"]["calibration_queries"] = 0
    assert names(found) == ["few calibration queries"]


@pytest.mark.parametrize(("queries", "holds"), [(10, True), (9, False)])
def test_more_calibration_queries_would_not_help(queries, holds):
    """Where none of the shares is under its limit, if there are enough queries to know it."""
    found = results()
    found["health"]["calibration_queries"] = queries
    found["promises"]["calibrated"] = {
        "asc": [promise("max_loss", 0.05, None, None), promise("max_loss", 0.1, None, None)],
        "esc": [promise("max_error", 0.2, None, None), promise("max_error", 0.1, None, None)],
    }
    (one,) = signatures(found)
    if not holds:
        assert (one.name, one.advice) == (
            "few calibration queries", "More of them (data.calibration).",
        )  # fmt: skip
        return
    assert one.name == "nothing can be promised"
    assert one.says == (
        "With 10 calibration queries nothing can be promised of any threshold, nor with more if "
        "the shares stay as they are: for esc with at most 20% wrong where it stops, too many of "
        "them at 0.2."
    )
    assert "data.calibration" not in one.advice
    assert "larger limit" in one.advice
    found["promises"]["calibrated"]["asc"][0]["queries"] = 500  # of one it is known
    assert names(found) == ["few calibration queries"]


def test_equal_confidences_are_no_want_of_calibration_queries():
    """By the rules of guarantees.py: 45 in a hundred are wrong where any threshold stops."""
    shown = Evidence(
        2000, [Tried(one, 2000, 900, 400, 1.0) for one in (0.9, 0.5, 0.1)], 0, ()
    )  # fmt: skip
    found, made = results(), []
    for kind, of in KINDS.items():
        for limit in of.limits:
            (refused, *_) = of.rule(shown, limit, 0.9)
            made.append(promise(kind, limit, None, refused.queries) | {"why": refused.why})
    found["promises"]["calibrated"] = {"early_stopping": made}
    found["health"]["calibration_queries"] = 2000
    (one,) = signatures(found)
    assert one.name == "nothing can be promised"
    assert "With 2000 calibration queries nothing can be promised" in one.says
    assert "900 of the 2000 calibration queries that stop early are answered wrongly" in one.says
