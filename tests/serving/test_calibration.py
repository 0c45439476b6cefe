"""What the report's file has of each policy, and a file that is none."""

import json

import pytest

from pipelines.method.guarantees import Evidence, Tried
from pipelines.serving.calibration import measured
from pipelines.storage.location import Location

CURVE = [{"threshold": 0.3, "accuracy": 0.5, "avg_samples": 4.0}]
NONE = {"threshold": None, "curve": []}
CHOSEN = {
    "early_stopping": {"threshold": 0.3, "curve": CURVE},
    "asc": {"threshold": 0.75, "curve": []},
    "esc": {"threshold": 3, "curve": []},
    "best_of_n": {"threshold": None, "curve": []},
    "asc_conf": {"threshold": None, "curve": []},
}


def report(tmp_path, text):
    (tmp_path / "calibration.json").write_text(text)
    return Location.of(str(tmp_path))


def fitted(**parameters):
    return NONE | {"fitted": parameters}


def file(**calibrated):
    base = {"early_stopping": {"threshold": 0.6, "curve": []}}
    return {"model": {"base": base, "calibrated": calibrated}, "fallback": "weighted", "budget": 16}


def test_each_model_has_its_own(tmp_path):
    place = report(tmp_path, json.dumps(file(**CHOSEN)))
    assert {name: one.threshold for name, one in measured(place, "base").items()} == {
        "early_stopping": 0.6
    }
    found = measured(place, "calibrated")
    assert {name: one.threshold for name, one in found.items()} == {
        name: one["threshold"] for name, one in CHOSEN.items()
    }
    (point,) = found["early_stopping"].points
    assert (point.threshold, point.accuracy, point.avg_samples) == (0.3, 0.5, 4.0)


def test_what_was_fitted_and_what_is_promised_by(tmp_path):
    tried = {"threshold": 0.9, "stopped": 8, "wrong": 1, "lost": 0, "avg_samples": 2.0}
    shown = {"queries": 40, "tried": [tried], "after": 2, "given_up": []}
    stopping = {"threshold": 0.3, "curve": CURVE, "fitted": {}, "evidence": shown}
    cisc = {"threshold": None, "curve": [], "fitted": {"temperature": 0.1}, "evidence": None}
    place = report(tmp_path, json.dumps(file(early_stopping=stopping, cisc=cisc)))
    found = measured(place, "calibrated")
    assert found["cisc"].fitted == {"temperature": 0.1}
    assert found["early_stopping"].evidence == Evidence(40, [Tried(0.9, 8, 1, 0, 2.0)], 2, [])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "No such file"),
        ("", "EOF while parsing"),
        ("{", "EOF while parsing"),
        ("[]", "(Input should be an object)"),
        ('{"model": {"base": {}}}', "model.calibrated: Field required"),
        (json.dumps(file(asc={"curve": []})), "model.calibrated.asc.threshold: Field required"),
        (json.dumps(file(asc={"threshold": "0.5"})), "asc.threshold: Input should be a valid num"),
        (json.dumps(file(asc={"threshold": float("nan")})), "asc.threshold: Input should be"),
        (json.dumps(file(asc={"threshold": -1})), "asc.threshold: Input should be greater"),
        (json.dumps(file(esc={"threshold": 2.5, "curve": []})), "of esc it is a window"),
        (json.dumps(file(magic={"threshold": 0.5, "curve": []})), "'magic' is no policy"),
        (json.dumps(file(cisc=fitted(temperature=0.0))), "(temperature: 0.0 is not over 0)"),
        (json.dumps(file(cisc=fitted(temperature="1"))), "fitted.temperature: Input should be"),
        (json.dumps(file(cisc=fitted(heat=1.0))), "argument 'heat'"),
        (json.dumps(file(esc=NONE | {"evidence": {"queries": 4}})), "evidence.tried: Field requ"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_a_file_that_is_none_is_one_line_that_names_it(tmp_path, text, says):
    place = Location.of(str(tmp_path)) if text is None else report(tmp_path, text)
    with pytest.raises(ValueError, match=r"calibration\.json: no thresholds can be read") as told:
        measured(place, "calibrated")
    line = str(told.value)
    assert says in line
    assert "\n" not in line
    assert "delete" in line
