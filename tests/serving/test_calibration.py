"""What the report's file has of each policy, and a file that is none."""

import json

import pytest

from pipelines.serving.calibration import measured
from pipelines.storage.location import Location

CURVE = [{"threshold": 0.3, "accuracy": 0.5, "avg_samples": 4.0}]
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
