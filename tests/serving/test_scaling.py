"""What a request's samples come to: its own choices over the preset's over the server's."""

import pytest
from pydantic import ValidationError

from pipelines.config import Config
from pipelines.engine.protocol import Drawing
from pipelines.method.policies import FALLBACKS, POLICIES
from pipelines.method.recalibration import Line
from pipelines.serving.calibration import Curve, for_fallbacks
from pipelines.serving.errors import RequestError
from pipelines.serving.scaling import PRESETS, Scaling, plan

POINTS = [
    {"threshold": 0.2, "accuracy": 0.60, "avg_samples": 2.0},
    {"threshold": 0.5, "accuracy": 0.70, "avg_samples": 3.0},
    {"threshold": 0.8, "accuracy": 0.70, "avg_samples": 5.0},
    {"threshold": 0.9, "accuracy": 0.75, "avg_samples": 9.0},
]
CURVES = {
    "early_stopping": Curve(threshold=0.5, curve=POINTS),
    "asc": Curve(threshold=None, curve=[]),
}


def config(evaluate=(), **serve):
    calibration = [{"name": "capitals", "split": "calibration"}]
    return Config.model_validate(
        {
            "root": "r",
            "model": {"source": "m"},
            "data": {"train": [{"name": "capitals"}], "calibration": calibration},
            "evaluate": dict(evaluate),
            "serve": serve,
        }
    )


def planned(
    asked=None, preset="", question="Why?", temperature=1.0, curves=CURVES, evaluate=(), **serve
):
    made = config(evaluate, **serve)
    drawing = Drawing(16, temperature, "fixed", 0.8, 1.0, "none")
    chosen = PRESETS.get(preset, Scaling())
    return plan(made, chosen, Scaling(**asked or {}), question, drawing, 7, curves)


def test_a_request_that_chooses_nothing():
    made = planned()
    assert (made.policy, made.threshold, made.budget) == ("early_stopping_best", 0.5, 16)
    assert (made.schedule, made.by_arrival, made.kind, made.seed) == ("waves", False, None, 7)


def test_each_layer_stands_over_the_one_before():
    server = {"scaling": {"budget": 8, "schedule": "all", "kind": "number"}}
    assert planned(**server).budget == 8
    assert planned(preset="fast", **server).budget == 4
    made = planned({"budget": 2, "kind": "text"}, preset="fast", **server)
    assert (made.budget, made.schedule, made.kind) == (2, "all", "text")
    assert planned(preset="single").policy == "self_consistency"
    assert planned(preset="single").budget == 1
    assert planned(preset="careful").threshold == 1.0


def test_a_threshold_goes_with_its_policy():
    server = {"scaling": {"policy": "esc", "threshold": 3, "kind": "text"}}
    assert planned(**server).threshold == 3
    assert planned({"policy": "early_stopping"}, **server).threshold == 0.5  # not a window of 3
    assert planned({"threshold": 0.7}).threshold == 0.7
    with pytest.raises(RequestError, match="a window, a whole number") as told:
        planned({"threshold": 0.7}, **server)
    assert (told.value.status, told.value.param) == (400, "scaling.threshold")
    server = {"scaling": {"threshold": 0.9, "fallback": "vote"}}
    named = planned({"policy": "early_stopping"}, **server)  # which is the server's, too
    assert (named.policy, named.threshold) == ("early_stopping_vote", 0.9)


def test_what_early_stopping_falls_back_on():
    assert planned({"fallback": "vote"}).policy == "early_stopping_vote"
    assert (
        planned({"fallback": "vote"}).threshold == 0.5
    )  # of the policy, whatever it falls back on
    assert planned().policy == "early_stopping_best"  # no answer to vote for, so the surest text
    assert planned({"kind": "number"}).policy == "early_stopping"
    assert planned({"kind": "none", "fallback": "last"}).policy == "early_stopping_last"
    with pytest.raises(RequestError, match=r"scaling\.fallback: best_of_n has none") as told:
        planned({"fallback": "vote"}, scaling={"policy": "best_of_n"})
    assert told.value.param == "scaling.fallback"


@pytest.mark.parametrize(
    ("target", "threshold"),
    [
        ({"accuracy": 0.65}, 0.5),  # 0.8 is as accurate, and takes more
        ({"accuracy": 0.6}, 0.2),
        ({"accuracy": 0.75}, 0.9),
        ({"mean_samples": 2.5}, 0.2),
        ({"mean_samples": 5}, 0.5),
        ({"mean_samples": 64}, 0.9),
    ],
)
def test_a_target_is_reached_as_cheaply_as_was_measured(target, threshold):
    assert planned({"target": target}).threshold == threshold


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"target": {"accuracy": 0.8}}, "early_stopping reaches an accuracy of 0.750 at most"),
        ({"target": {"mean_samples": 1.5}}, "early_stopping takes 2.00 samples at least"),
        ({"target": {"accuracy": 0.1}, "policy": "cges"}, "nothing was measured for cges"),
        ({"target": {"accuracy": 0.1}, "policy": "esc"}, "nothing was measured for esc"),
        ({"policy": "esc"}, r"scaling.threshold: none was measured for esc; name one"),
        ({"policy": "asc"}, r"scaling.threshold: none was measured for asc; name one"),
    ],
)
def test_what_was_not_measured_cannot_be_had(asked, says):
    with pytest.raises(RequestError, match=says) as told:
        planned({"kind": "text", **asked})
    assert (told.value.status, told.value.code) == (409, "not_calibrated")


def test_a_budget_over_the_limit_is_refused_and_not_capped():
    assert planned({"budget": 5}, max_budget=5).budget == 5
    with pytest.raises(
        RequestError, match=r"scaling\.budget: 6 is over this server's limit, 5"
    ) as told:
        planned({"budget": 6}, max_budget=5)
    assert (told.value.status, told.value.param) == (400, "scaling.budget")


def test_what_a_client_did_not_name_stays_under_the_limit():
    assert planned(max_budget=5).budget == 5
    assert planned(preset="fast", max_budget=2).budget == 2


@pytest.mark.parametrize(
    ("serve", "says"),
    [
        ({"scaling": {"budget": 65}}, "over max_budget"),
        ({"scaling": {"policy": "best_of_n", "fallback": "vote"}}, "fallback: best_of_n has none"),
        ({"scaling": {"threshold": 80}}, "threshold: of early_stopping it is a confidence, 1 at"),
        ({"scaling": {"policy": "asc", "threshold": 1.1}}, "threshold: of asc it is a share, 1 at"),
    ],
)
def test_a_server_that_would_refuse_its_own_defaults(serve, says):
    with pytest.raises(ValidationError, match=says):
        config(**serve)


def test_adapters_have_names_that_a_preset_can_follow():
    with pytest.raises(ValidationError, match="'a:fast' has a colon"):
        config(adapters={"a:fast": "x"})


def test_greedy_samples_are_all_one():
    assert planned({"budget": 8}, temperature=0.0).budget == 1


@pytest.mark.parametrize("more", [{"temperature": 0.0}, {"scaling": {"budget": 1}}])
@pytest.mark.parametrize("curves", [CURVES, {}])
def test_of_one_sample_nothing_is_decided(more, curves):
    """So it wants no threshold, and no score but for a request that names a policy with one."""

    def planned_alone(asked=None, **server):
        server = {"scaling": {**more.get("scaling", {}), **server}}
        temperature = more.get("temperature", 1.0)
        made = planned(asked, temperature=temperature, curves=curves, **server)
        assert made.budget == 1
        return made.policy, made.threshold

    assert planned_alone() == ("self_consistency", None)
    assert planned_alone({"kind": "number"}) == ("self_consistency", None)
    assert planned_alone(policy="cisc") == ("self_consistency", None)
    assert planned_alone({"policy": "asc"}) == ("self_consistency", None)
    assert planned_alone({"policy": "early_stopping"}) == ("best_of_n", None)
    assert planned_alone({"policy": "reasc"}) == ("best_of_n", None)
    assert planned_alone(policy="best_of_n") == ("best_of_n", None)
    assert planned_alone({"threshold": 0.3}) == ("early_stopping_best", 0.3)
    assert planned_alone({"policy": "asc", "threshold": 0.9}) == ("asc", 0.9)
    assert planned_alone(threshold=0.3) == ("self_consistency", None)
    assert planned_alone({"policy": "early_stopping"}, threshold=0.3) == ("best_of_n", None)
    if curves:
        assert planned_alone({"target": {"accuracy": 0.6}}) == ("early_stopping_best", 0.2)


COMPARING = ["self_consistency", "sc_conf", "cges", "asc", "asc_beta", "asc_conf", "esc"]


@pytest.mark.parametrize("policy", COMPARING)
def test_without_a_kind_no_policy_compares_answers(policy):
    """One that a request names is refused; a server's own is of requests that name a kind."""
    with pytest.raises(RequestError, match=f"scaling.policy: {policy} compares answers") as told:
        planned({"policy": policy})
    assert (told.value.status, told.value.param) == (400, "scaling.policy")
    threshold = {"none": None, "window": 3.0}.get(POLICIES[policy].threshold, 0.9)
    server = {"scaling": {"policy": policy, "threshold": threshold}}
    made = planned(**server)
    assert (made.policy, made.threshold) == ("best_of_n", None)
    made = planned({"kind": "text"}, **server)
    assert (made.policy, made.threshold) == (policy, threshold)
    if threshold is not None:
        with pytest.raises(RequestError, match=f"{policy} compares answers"):
            planned({"threshold": threshold}, **server)


def test_a_name_of_early_stopping_and_what_it_falls_back_on_is_a_policy():
    """With the thresholds of early stopping: what a response tells can be asked for."""
    curves = for_fallbacks(CURVES)
    for name in FALLBACKS.values():
        made = planned({"policy": name, "kind": "text"}, curves=curves)
        assert (made.policy, made.threshold) == (name, 0.5)
        asked = {"policy": name, "target": {"accuracy": 0.75}}
        assert planned(asked, curves=curves).threshold == 0.9
    assert for_fallbacks({"asc": CURVES["asc"]}) == {"asc": CURVES["asc"]}
    own = Curve(threshold=0.1, curve=[])
    assert for_fallbacks(CURVES | {"early_stopping_vote": own})["early_stopping_vote"] is own


BY_TOKENS = Curve(threshold=0.4, curve=POINTS, line=Line(2.0, -1.0))


def test_a_policy_by_the_confidences_of_tokens_has_its_own_threshold_and_map():
    """The sampler tells of each token for it, and for no other."""
    curves = for_fallbacks(CURVES | {"early_stopping@mean_logprob": BY_TOKENS})
    asked = {"policy": "early_stopping@mean_logprob", "kind": "text"}
    made = planned(asked, curves=curves)
    assert (made.policy, made.threshold) == ("early_stopping@mean_logprob", 0.4)
    assert made.line == BY_TOKENS.line
    assert made.drawing.tells
    usual = planned({"policy": "early_stopping", "kind": "text"}, curves=curves)
    assert (usual.threshold, usual.line, usual.drawing.tells) == (0.5, None, False)
    voting = planned(asked | {"fallback": "vote", "threshold": 0.9}, curves=curves)
    assert (voting.policy, voting.threshold) == ("early_stopping_vote@mean_logprob", 0.9)
    alone = planned({"policy": "early_stopping@mean_logprob"}, curves=curves)
    assert (alone.policy, alone.kind) == ("early_stopping_best@mean_logprob", None)
    assert planned(asked | {"target": {"accuracy": 0.75}}, curves=curves).threshold == 0.9
    one = planned(asked | {"budget": 1}, curves=curves)  # nothing is decided
    assert (one.policy, one.drawing.tells) == ("best_of_n@mean_logprob", True)
    assert planned({"budget": 1}, curves=curves).policy == "self_consistency"
    # A map is the source's, whatever policies were measured by it.
    other = planned({"policy": "sc_conf@mean_logprob", "kind": "text"}, curves=curves)
    assert other.line == BY_TOKENS.line
    server = {"scaling": {"policy": "asc_conf@mean_logprob", "threshold": 0.9}}
    evaluate = {"policies": ["early_stopping@mean_logprob"]}
    texts = planned(curves=curves, evaluate=evaluate, **server)  # nothing votes without a kind
    assert (texts.policy, texts.line) == ("best_of_n@mean_logprob", BY_TOKENS.line)


def test_a_policy_by_tokens_that_no_run_measured_is_refused_though_a_threshold_be_named():
    asked = {"policy": "sc_conf@tail_entropy", "kind": "text"}
    stopping = {"policy": "early_stopping@tail_entropy"}
    for more in ({}, stopping | {"threshold": 0.5}, {"budget": 1}, stopping | {"budget": 1}):
        with pytest.raises(RequestError, match=r"^scaling.policy: .*evaluate.policies") as told:
            planned(asked | more)
        assert (told.value.status, told.value.code) == (409, "not_calibrated")
    curves = CURVES | {"early_stopping@mean_logprob": BY_TOKENS}
    promised = {"policy": "early_stopping@mean_logprob", "target": {"max_loss": 0.1}}
    with pytest.raises(RequestError, match="parameters that were fitted, and nothing is promised"):
        planned(promised | {"kind": "text"}, curves=curves)


def test_choices_are_of_an_option():
    assert planned({"choices": ["ice", "fire"]}).kind == "option"
    assert planned({"choices": ["A) ice", "B) fire"]}).choices == ("A) ice", "B) fire")
    listed = "Which is cold?\n(A) ice\n(B) fire"
    assert planned({"kind": "option"}, question=listed).choices == ("ice", "fire")
    long = "It is. " * 100_000
    assert planned({"kind": "option"}, question=long + listed).choices == ("ice", "fire")
    assert planned({"kind": "option"}, question=listed + long).choices is None
    with pytest.raises(RequestError, match=r"scaling\.choices: choices: expected from 2 to 26"):
        planned({"choices": ["one"]})
    with pytest.raises(RequestError, match=r"scaling\.choices: choices: expected from 2 to 26"):
        planned({"choices": []})


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"policy": "magic"}, "'magic' is no policy"),
        ({"policy": "best_of_n", "threshold": 0.5}, "best_of_n has none"),
        ({"policy": "esc", "threshold": 0}, "a window"),
        ({"target": {}}, "expected either"),
        ({"target": {"accuracy": 0.5, "mean_samples": 2}}, "expected either"),
        ({"target": {"accuracy": 0.5}, "threshold": 0.5}, "leave one of both out"),
        ({"kind": "number", "choices": ["a", "b"]}, "of kind option"),
        ({"budgte": 1}, "Extra inputs"),
        ({"budget": True}, "valid integer"),
        ({"budget": 0}, "greater than"),
        ({"schedule": "some"}, "Input should be"),
        ({"schedule": []}, "expected one or more"),
        ({"schedule": [0]}, "greater than"),
        ({"threshold": float("nan")}, "finite"),
        ({"threshold": float("inf")}, "finite"),
        ({"threshold": -0.1}, "greater than"),
        ({"policy": "asc", "threshold": 2.0}, "1 at most"),
        ({"policy": "best_of_n", "fallback": "vote"}, "fallback: best_of_n has none"),
        ({"query_id": "\ud800"}, "lone surrogates"),
    ],
)
def test_what_is_no_choice(asked, says):
    with pytest.raises(ValidationError, match=says):
        Scaling(**asked)
