"""A run's artifacts in a real MLflow store."""

import json

import pytest
import yaml
from ports import free_port

from pipelines.config import load, vary
from pipelines.running.dag import Result, Step, plan, reads, run
from pipelines.running.tracking import check, track


def steps(*labels):
    """A run whose test sets have these labels."""

    def label(inputs, out):
        return Result(20, "", {"generated_tokens": 900})

    def train(inputs, out):
        lines = [
            {"step": i, "loss": 1 / i, "calibration": 0.1, "generation": 2, "lr": 1e-3}
            for i in (1, 2)
        ]
        (out / "losses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return Result(2)

    def report(inputs, out):
        measured = {"accuracy": 0.5, "ece": 0.1, "auroc": None, "brier": 0.2}
        datasets = {label: {"base": measured} for label in labels or ["capitals"]}
        (out / "metrics.json").write_json({"datasets": datasets})
        return Result(1)

    return [
        Step("label", label, {}),
        Step("train", train, {}, reads("label")),
        Step("report", report, {}, reads("train")),
    ]


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # its server's stores need more packages
    file = tmp_path / "config.yaml"
    settings = {
        "root": str(tmp_path / "root"),
        "model": {"source": "builtin:smollm2-135m"},
        "data": {"train": [{"name": "capitals"}]},
        "tracking": {"mlflow": f"file://{tmp_path}/mlruns"},
    }
    file.write_text(yaml.safe_dump(settings))
    return load(str(file))


@pytest.fixture
def logged(config):
    """The runs that the store has, the last one first."""
    from mlflow.tracking import MlflowClient

    def logged():
        client = MlflowClient(config.tracking.mlflow)
        experiment = client.get_experiment_by_name("selfcal")
        return client, client.search_runs([experiment.experiment_id])

    return logged


def test_a_run_is_logged_once_with_its_config_losses_and_results(config, logged):
    artifacts = run(plan(steps(), config.root), config.root, lambda line: None)
    track(config, artifacts)
    track(config, artifacts)
    client, (logged,) = logged()
    assert logged.data.params["sampling.num_samples"] == "32"
    assert not [key for key in logged.data.params if key.startswith("tracking")]
    assert logged.data.metrics["label.generated_tokens"] == 900
    assert logged.data.metrics["capitals.base.ece"] == 0.1
    assert "capitals.base.auroc" not in logged.data.metrics
    losses = client.get_metric_history(logged.info.run_id, "train.loss")
    assert [(one.step, one.value) for one in losses] == [(1, 1.0), (2, 0.5)]
    assert logged.data.tags["selfcal.root"] == config.root
    assert logged.info.status == "FINISHED"


def test_names_are_written_in_mlflows_letters(config, logged):
    """Any that a person gives; two that would be one stay two."""
    labels = ["gsm8k (mine)", "../x", "a/b", "a_b", "a+b", ".", "café", "y" * 300]
    artifacts = run(plan(steps(*labels), config.root), config.root, lambda line: None)
    track(vary(config, ['model.template={"a b(c)": 1, "a b)c(": 2}']), artifacts)
    _, (made,) = logged()
    assert {name for name in made.data.metrics if ".base.ece" in name} == {
        "gsm8k _mine_.base.ece", "_._x.base.ece", "a_b.base.ece", "a_b.base.ece_",
        "a_b.base.ece__", "_.base.ece", "café.base.ece", "y" * 231 + ".base.ece",
    }  # fmt: skip
    template = {k: v for k, v in made.data.params.items() if k.startswith("model.template")}
    assert template == {"model.template.a b_c_": "1", "model.template.a b_c__": "2"}


def test_a_run_that_is_refused_has_failed_there_and_says_why(config, logged, monkeypatch):
    """Without the password of the store's URI; the same command logs it whole."""
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    artifacts = run(plan(steps(), config.root), config.root, lambda line: None)
    with monkeypatch.context() as patched:

        def refuse(*_, **__):
            raise MlflowException("at http://me:a/sec@ret@host:5000/api\nthe disk is full")

        patched.setattr(MlflowClient, "log_batch", refuse)
        with pytest.raises(ValueError, match=r"^tracking\.mlflow: .* the disk is full.*") as told:
            track(config, artifacts)
    assert "http://***@host:5000/api" in str(told.value)
    assert "sec" not in str(told.value)
    assert "\n" not in str(told.value)
    assert [one.info.status for one in logged()[1]] == ["FAILED"]
    track(config, artifacts)
    assert sorted(one.info.status for one in logged()[1]) == ["FAILED", "FINISHED"]


def test_a_store_that_mlflow_does_not_take_is_told_before_anything_runs(config, monkeypatch):
    check(config)
    check(vary(config, ["tracking.mlflow=http://127.0.0.1:1"]))  # a server is not asked
    with pytest.raises(ValueError, match=r"^tracking\.mlflow: .*unsupported URI 'foo://\*\*\*@h'"):
        check(vary(config, ["tracking.mlflow=foo://me:secret@h"]))
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")
    with pytest.raises(
        ValueError, match=r"^tracking\.mlflow: .*sqlite:///.*MLFLOW_ALLOW_FILE_STORE"
    ):
        check(vary(config, [f"tracking.mlflow={config.tracking.mlflow}/another"]))


def test_a_store_that_does_not_answer_is_one_line_without_its_password(config, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    artifacts = run(plan(steps(), config.root), config.root, lambda line: None)
    away = vary(config, [f"tracking.mlflow=http://me:secret@127.0.0.1:{free_port()}"])
    with pytest.raises(ValueError, match=r"^tracking\.mlflow: .* does not answer .*") as told:
        track(away, artifacts)
    assert str(told.value).endswith("the run is done, and the same command tries to log it again")
    assert "secret" not in str(told.value)


def test_without_mlflow_it_is_one_line_before_anything_runs(config, monkeypatch):
    monkeypatch.setattr("pipelines.running.tracking.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"tracking\.mlflow: MLflow is not installed; pip install"):
        check(config)
