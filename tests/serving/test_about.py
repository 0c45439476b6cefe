"""What a client can choose from, and what was measured: as the config and the report have it."""

import json

import pytest

from pipelines.config import Config
from pipelines.method.policies import POLICIES
from pipelines.serving.about import about
from pipelines.serving.calibration import Curve
from pipelines.serving.reliability import reliability
from pipelines.serving.served import Served
from pipelines.storage.location import Location

MEASURED = {
    "queries": 5, "responses": 40, "accuracy": 0.5, "ece": None,
    "reliability": [[0.25, 0.2, 30], [0.75, 0.9, 10]],
}  # fmt: skip


def config(**serve):
    made = {"root": "r", "model": {"source": "m"}, "data": {"train": [{"name": "capitals"}]}}
    return Config.model_validate(made | {"serve": serve, "evaluate": {"num_samples": 12}})


def report(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    return Location.of(str(tmp_path))


def test_it_tells_the_defaults_and_what_was_measured(tmp_path):
    datasets = {"datasets": {"capitals": {"base": {**MEASURED, "queries": 4}, "other": MEASURED}}}
    found = reliability(report(tmp_path, json.dumps(datasets)), "base")
    curve = Curve.model_validate({"threshold": 0.4, "curve": []})
    served = Served("base", "m", {"other": "a"}, {"base": {"asc": curve}}, {"base": found})
    made = about(config(max_budget=9, scaling={"kind": "number"}), served)
    told = json.loads(made.model_dump_json(by_alias=True))
    assert (told["default_model"], told["max_budget"]) == ("base", 9)
    assert told["defaults"]["budget"] == 9  # evaluate.num_samples is over the limit
    assert (told["defaults"]["policy"], told["defaults"]["kind"]) == ("early_stopping", "number")
    assert told["models"]["other"] == {"curves": {}, "reliability": {}}
    base = told["models"]["base"]
    assert base["curves"] == {"asc": {"threshold": 0.4, "curve": []}}
    assert base["reliability"] == {"capitals": {**MEASURED, "queries": 4}}
    assert set(told["policies"]) == set(POLICIES)
    assert told["presets"]["fast"]["budget"] == 4
    assert told["presets"]["promised"]["target"]["max_loss"] == 0.1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "EOF while parsing"),
        ("{}", "datasets: Field required"),
        ('{"datasets": {"capitals": {}}}', "'base'"),
        (json.dumps({"datasets": {"a": {"base": {"queries": 1}}}}), "a.base.responses"),
    ],
)
def test_a_file_that_is_none_is_one_line_that_names_it(tmp_path, text, says):
    with pytest.raises(ValueError, match=r"metrics\.json: no reliability can be read") as told:
        reliability(report(tmp_path, text), "base")
    assert says in str(told.value)
    assert "\n" not in str(told.value)
