"""What is served: a run's model with the thresholds that its report chose for it."""

from dataclasses import replace

import pytest
from finished import finish, finish_report

from jobs.serve import Arguments, app, served
from pipelines.config import Config
from pipelines.method.policies import FALLBACKS
from pipelines.serving.served import Served


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Of a model that need not be there."""
    monkeypatch.setattr("pipelines.storage.models.check", lambda source: None)

    def config(**changes):
        base = {
            "root": str(tmp_path / "root"),
            "model": {"source": "builtin:smollm2-135m"},
            "data": {"train": [{"name": "capitals"}], "eval": [{"name": "elements"}]},
        }
        return Config.model_validate(base | changes)

    return config


def thresholds(chosen):
    """By model and policy, of those that have one."""
    return {
        model: {name: one.threshold for name, one in curves.items() if one.threshold is not None}
        for model, curves in chosen.curves.items()
    }


def stopping(threshold):
    """Early stopping's, by each name that a response may tell."""
    return dict.fromkeys(FALLBACKS.values(), threshold)


def test_each_model_is_served_with_its_thresholds(config, capsys):
    made = config()
    export = finish(made, "export")["export"]
    finish_report(made, {"early_stopping": 0.6, "best_of_n": None}, {"early_stopping": 0.31})
    chosen = served(made, base=False)
    assert replace(chosen, curves={}, reliability={}) == Served("calibrated", f"{export.uri}/model")
    assert thresholds(chosen) == {"calibrated": stopping(0.31)}
    line = "Thresholds of the calibrated model, where a request names none: early_stopping 0.31\n"
    assert capsys.readouterr().out == line
    chosen = served(made, base=True)
    assert replace(chosen, curves={}, reliability={}) == Served("base", "builtin:smollm2-135m")
    assert thresholds(chosen) == {"base": stopping(0.6)}


def test_an_engine_with_adapters_has_the_thresholds_of_both_models(config):
    made = config(engine={"adapter": "lora"})
    export = finish(made, "export")["export"]
    finish_report(made, {"early_stopping": 0.6}, {"early_stopping": 0.31})
    chosen = served(made, base=False)
    adapters = {"calibrated": f"{export.uri}/adapter"}
    unmeasured = replace(chosen, curves={}, reliability={})
    assert unmeasured == Served("base", "builtin:smollm2-135m", adapters)
    assert thresholds(chosen) == {"base": stopping(0.6), "calibrated": stopping(0.31)}


def test_the_report_of_another_config_is_not_read(config):
    finish_report(config(seed=1), {"early_stopping": 0.6}, {})
    assert thresholds(served(config(), base=True)) == {"base": {}}


@pytest.mark.parametrize("base", [False, True])
def test_without_a_report_no_threshold_is_measured(config, capsys, base):
    made = config()
    finish(made, "export")
    assert not any(thresholds(served(made, base)).values())
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("No thresholds are measured (")
    assert "/report-" in line
    assert line.endswith(": to do): a request must name its own")


def test_a_run_without_test_sets_has_no_report(config, capsys):
    made = config(data={"train": [{"name": "capitals"}]})
    assert thresholds(served(made, base=True)) == {"base": {}}
    assert "(data.eval is empty, so the run has no report)" in capsys.readouterr().out


def test_a_report_without_calibration_queries_chose_none(config, capsys):
    finish_report(config(), {"early_stopping": None}, {})
    assert thresholds(served(config(), base=True)) == {"base": {}}
    assert "for data.calibration is empty" in capsys.readouterr().out


def test_the_calibrated_model_wants_its_export(config):
    made = config()
    finish_report(made, {}, {"early_stopping": 0.3})
    with pytest.raises(ValueError, match=r"export-\w+: to do; run .* or serve .* with --base"):
        served(made, base=False)


def test_an_application_wants_keys_or_to_be_told_that_it_needs_none(tmp_path, monkeypatch):
    """As `serve run` gives them, its arguments are texts."""
    monkeypatch.delenv("SELFCAL_API_KEYS", raising=False)
    file = tmp_path / "config.yaml"
    file.write_text("{root: r, model: {source: /none/there}, data: {train: [{name: capitals}]}}")
    given = {"config": str(file), "base": "true"}
    with pytest.raises(ValueError, match=r"^no API keys: set \$SELFCAL_API_KEYS"):
        app(Arguments(**given))
    with pytest.raises(ValueError, match="/none/there"):  # keys are no longer the fault
        app(Arguments(**given, without_keys="true"))
    with pytest.raises(ValueError, match="without_key\n"):
        Arguments(**given, without_key="true")
