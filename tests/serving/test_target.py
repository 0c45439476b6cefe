"""What `scaling.target` promises: thresholds that calibration queries show to be good enough."""

import json
from dataclasses import replace

import pytest
from pydantic import ValidationError

from pipelines.config import Config, vary
from pipelines.engine.protocol import Drawing
from pipelines.method.guarantees import Evidence, GivenUp, Tried
from pipelines.serving.calibration import Curve
from pipelines.serving.errors import RequestError
from pipelines.serving.scaling import PRESETS, Scaling, plan
from pipelines.serving.target import Target

CONFIG = Config.model_validate(
    {"root": "r", "model": {"source": "m"}, "data": {"train": [{"name": "capitals"}]}}
)
USUAL = Drawing.of(CONFIG.answering)
POINT = {"threshold": 0.5, "accuracy": 0.7, "avg_samples": 3.0}
SHOWN = Evidence(
    200,
    [
        Tried(0.95, 100, 0, 0, 12.0),
        Tried(0.8, 120, 5, 2, 8.0),  # of 120, 5 are few enough for 0.1 (p = .020)
        Tried(0.6, 150, 15, 9, 5.0),  # and 15 of 150 are not (.55); of 200, 9 are for 0.08 (.046)
        Tried(0.3, 200, 90, 60, 2.0),
    ],
    4,
    [GivenUp(0.25, 0, 16.0), GivenUp(0.5, 1, 11.0), GivenUp(0.75, 9, 7.0)],
)
CURVES = {
    "early_stopping": Curve(threshold=0.5, curve=[POINT], evidence=SHOWN),
    "asc": Curve(
        threshold=0.7, curve=[POINT], evidence=Evidence(20, [Tried(0.95, 10, 0, 0, 9.0)], 0, [])
    ),
    "reasc": Curve(
        threshold=0.5, curve=[POINT], fitted={"mean": 0.4, "deviation": 0.2}, evidence=None
    ),
    "cges": Curve(threshold=0.9, curve=[POINT], evidence=None),
    "cisc": Curve(threshold=None, curve=[], fitted={"temperature": 0.1}),
}


def planned(asked, drawing=USUAL, preset="", curves=CURVES, config=CONFIG):
    asked = {"kind": "number"} | asked
    chosen = PRESETS.get(preset, Scaling())
    return plan(config, chosen, Scaling(**asked), "Why?", drawing, 7, curves)


@pytest.mark.parametrize(
    ("target", "threshold"),
    [
        ({"max_error": 0.1}, 0.8),
        ({"max_error": 0.1, "confidence": 0.99}, 0.95),
        ({"max_error": 0.2}, 0.6),
        ({"max_loss": 0.08}, 0.6),
        ({"max_loss": 0.08, "confidence": 0.99}, 0.8),
        ({"max_loss": 0.02}, 0.95),
    ],
)
def test_a_promise_is_kept_by_the_cheapest_threshold_that_is_good_enough(target, threshold):
    made = planned({"target": target})
    assert (made.threshold, made.give_up, made.promised) == (threshold, None, True)
    assert not planned({"target": {"accuracy": 0.5}}).promised


def test_the_preset_promises_that_a_tenth_is_lost_at_most():
    """What a request names stands over it."""
    made = planned({}, preset="promised")
    assert (made.policy, made.threshold, made.promised) == ("early_stopping", 0.6, True)
    own = planned({"target": {"max_loss": 0.02}}, preset="promised")
    assert (own.threshold, own.promised) == (0.95, True)
    named = planned({"threshold": 0.7}, preset="promised")
    assert (named.threshold, named.promised) == (0.7, False)
    with pytest.raises(RequestError, match="it was promised for answers of a kind; ask"):
        planned({"kind": "none"}, preset="promised")
    for policy in ("self_consistency", "best_of_n"):  # none to promise anything of
        made = planned({"policy": policy}, preset="promised")
        assert (made.policy, made.threshold, made.promised) == (policy, None, False)
    with pytest.raises(RequestError, match="asc cannot promise max_loss"):
        planned({"policy": "asc"}, preset="promised")
    with pytest.raises(RequestError, match="a budget of 16"):
        planned({}, replace(USUAL, temperature=0.0), preset="promised")


@pytest.mark.parametrize("server", [{"order": "arrival"}, {"fallback": "vote"}, {"budget": 4}])
def test_a_promise_is_kept_whatever_a_servers_defaults(server):
    own = vary(CONFIG, [f"serve.scaling={json.dumps(server)}"])
    promised = planned({}, preset="promised", config=own)
    assert promised == planned({}, preset="promised")
    assert planned({"target": {"max_loss": 0.1}}, config=own) == promised
    assert planned({}, config=own) != planned({})


def test_an_error_is_promised_of_a_servers_own_fallback():
    own = vary(CONFIG, ['serve.scaling={"fallback": "vote"}'])
    made = planned({"target": {"max_error": 0.1}}, config=own)
    assert (made.policy, made.threshold) == ("early_stopping_vote", 0.8)


def test_giving_up_takes_half_of_the_loss_and_of_what_may_go_wrong():
    """Of 200, 9 are few enough for 0.08 at 95% (p = .046), and not for 0.07 (.128)."""
    made = planned({"target": {"max_loss": 0.16, "give_up": True}})
    assert (made.threshold, made.give_up) == (0.6, (4, 0.75))
    made = planned({"target": {"max_loss": 0.14, "give_up": True}})
    assert (made.threshold, made.give_up) == (0.8, (4, 0.5))


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            {"target": {"max_loss": 0.01}},
            "early_stopping cannot promise max_loss of 0.01 with 90% confidence: 0 of 200 "
            "calibration queries lose a right answer at the most careful threshold; it takes about "
            "230",
        ),
        (
            {"target": {"max_error": 0.05}, "policy": "asc"},
            "0 of the 10 calibration queries that stop at 0.95 are answered wrongly, of 20 in "
            "all; it takes about 90",
        ),
        (
            {"target": {"max_loss": 0.5, "give_up": True}, "policy": "asc"},
            "a budget under 8 leaves nothing to give up",
        ),
        (
            {"target": {"max_error": 0.1}, "policy": "reasc"},
            "reasc has parameters that were fitted",
        ),
        # As a report has it of a policy of one's own.
        ({"target": {"max_error": 0.1}, "policy": "cges"}, "cges has no rule in method/replay"),
        ({"target": {"max_error": 0.1}, "policy": "esc"}, "nothing was measured for esc"),
        # What was promised of other samples than these.
        ({"target": {"max_error": 0.1}, "budget": 8}, "it was promised for a budget of 16; ask"),
        ({"target": {"max_error": 0.1}, "order": "arrival"}, "promised for order index"),
        ({"target": {"max_error": 0.1}, "kind": "none"}, "promised for answers of a kind"),
        ({"target": {"max_loss": 0.08}, "fallback": "best"}, "promised for the fallback weighted"),
    ],
)
def test_what_cannot_be_promised_is_refused_with_the_reason(asked, says):
    with pytest.raises(RequestError) as told:
        planned(asked)
    assert (told.value.status, told.value.code) == (409, "not_calibrated")
    assert told.value.param == "scaling.target"
    assert says in told.value.message
    assert "\n" not in told.value.message


def test_samples_that_are_drawn_otherwise_break_a_promise():
    for changed in ({"temperature": 0.5}, {"max_tokens": 3}, {"stop": ("x",)}):
        drawing = Drawing(**{**vars(USUAL), **changed})
        with pytest.raises(RequestError, match="drawn as in evaluation"):
            planned({"target": {"max_error": 0.1}}, drawing)
        assert planned({"target": {"accuracy": 0.5}}, drawing).threshold == 0.5
    with pytest.raises(RequestError, match="a budget of 16"):
        planned({"target": {"max_error": 0.1}}, preset="fast")


def test_an_error_where_it_stops_is_the_same_whatever_it_falls_back_on():
    made = planned({"target": {"max_error": 0.1}, "fallback": "vote"})
    assert (made.policy, made.threshold) == ("early_stopping_vote", 0.8)


def test_fitted_parameters_come_of_the_report():
    assert planned({"policy": "cisc"}).fitted == {"temperature": 0.1}
    made = planned({"policy": "reasc", "threshold": 0.9})
    assert (made.threshold, made.fitted) == (0.9, {"mean": 0.4, "deviation": 0.2})
    assert planned({"policy": "asc"}).fitted == {}
    for curves in ({}, {"cisc": Curve(threshold=None, curve=[])}):
        with pytest.raises(RequestError, match="the temperature of cisc come") as told:
            planned({"policy": "cisc"}, curves=curves)
        assert (told.value.status, told.value.code) == (409, "not_calibrated")


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ({"max_error": 0.1, "max_loss": 0.1}, "expected either"),
        ({"max_error": 0.0}, "greater than 0"),
        ({"max_loss": 1.0}, "less than 1"),
        ({"max_error": 0.1, "confidence": 1.0}, "less than 1"),
        ({"max_error": 0.1, "confidence": 0.3}, "greater than or equal to 0.5"),
        ({"accuracy": 0.7, "confidence": 0.9}, "confidence: it is of max_error and max_loss"),
        ({"max_error": 0.1, "give_up": True}, "give_up: it goes with max_loss alone"),
    ],
)
def test_what_is_no_target(target, says):
    with pytest.raises(ValidationError, match=says):
        Target(**target)
