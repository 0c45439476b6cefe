"""Which model an engine loads, and by which names it answers."""

import pytest

from pipelines.config import Config
from pipelines.serving.served import Served, base_model, calibrated_model
from pipelines.storage.location import Location

EXPORT = Location.of("/runs/export-1")


def config(**sections):
    return Config.model_validate(
        {"root": "r", "model": {"source": "m"}, "data": {"train": [{"name": "capitals"}]}}
        | sections
    )


def test_merged_each_model_has_engines_of_its_own():
    assert base_model(config()) == Served("base", "m")
    assert base_model(config()).default == "base"
    assert calibrated_model(config(), EXPORT) == Served("calibrated", "/runs/export-1/model")


def test_with_lora_one_engine_answers_by_several_names():
    other = {"other": "s3://bucket/run/export-2/adapter"}
    made = config(engine={"adapter": "lora"}, serve={"adapters": other})
    served = calibrated_model(made, EXPORT)
    assert served == Served("base", "m", {"calibrated": "/runs/export-1/adapter", **other})
    assert served.names == ["base", "calibrated", "other"]
    assert served.default == "calibrated"


def test_a_runs_own_names_are_taken():
    with pytest.raises(ValueError, match=r"serve.adapters: calibrated is this run's own"):
        config(engine={"adapter": "lora"}, serve={"adapters": {"calibrated": "a"}})


@pytest.mark.parametrize("is_gone", [False, True])
def test_what_ended_a_service_is_told_though_its_application_cannot_be_removed(
    monkeypatch, is_gone
):
    from ray import serve

    from pipelines.serving.service import removed_on_failure

    removed = []

    def delete(name, _blocking):
        removed.append((name, _blocking))
        if is_gone:
            raise RuntimeError("there is no controller")

    monkeypatch.setattr(serve, "delete", delete)
    with pytest.raises(KeyboardInterrupt), removed_on_failure("answers"):
        raise KeyboardInterrupt
    assert removed == [("answers", False)]
