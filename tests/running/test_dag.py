"""Fingerprints, skipping, resuming, and what reruns when a key changes."""

import json

import pytest
import yaml
from processes import ROOT

from pipelines import pipeline
from pipelines.config import Config, load
from pipelines.running import dag
from pipelines.running.dag import Result, Step, reads
from pipelines.storage.location import Location


def steps(calls, fail=None, spec=1):
    def make(name, inputs):
        def run(artifacts, out):
            calls.append(name)
            assert all((place / "_MANIFEST.json").exists() for place in artifacts.values())
            (out / "data.txt").write_text(name)
            if fail == name:
                raise RuntimeError("died")
            return Result(3, "text", {"x": 1})

        return Step(name, run, {"key": spec if name == "b" else 0}, reads(*inputs))

    return [make("a", ()), make("b", ("a",)), make("c", ("a", "b")), make("d", ("a",))]


def run(root, made):
    return dag.run(dag.plan(made, root), root, lambda line: None)


def test_a_second_run_does_nothing(tmp_path):
    calls = []
    run(str(tmp_path), steps(calls))
    run(str(tmp_path), steps(calls))
    assert calls == ["a", "b", "c", "d"]
    assert {one.state for one in dag.plan(steps(calls), str(tmp_path))} == {"done"}


def test_a_changed_key_reruns_only_what_depends_on_it(tmp_path):
    run(str(tmp_path), steps([]))
    calls = []
    run(str(tmp_path), steps(calls, spec=2))
    assert calls == ["b", "c"]


def test_an_unfinished_step_is_never_read_and_runs_again(tmp_path):
    with pytest.raises(RuntimeError, match="died"):
        run(str(tmp_path), steps([], fail="b"))
    calls = []
    states = {one.step.name: one.state for one in dag.plan(steps(calls), str(tmp_path))}
    assert states == {"a": "done", "b": "unfinished", "c": "to do", "d": "to do"}
    run(str(tmp_path), steps(calls))
    assert calls == ["b", "c", "d"]


def test_what_a_step_goes_on_from_is_there_until_its_manifest_stands(tmp_path, monkeypatch):
    def work(artifacts, out):
        (out / "_parts").make_dir()
        (out / "_parts" / "one.txt").write_text("1")
        return Result(1, scratch="_parts")

    made = [Step("a", work, {})]

    def full(place, value):
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Location, "write_json", full)
        with pytest.raises(OSError, match="No space"):
            run(str(tmp_path), made)
    assert list(tmp_path.glob("a-*/_parts/one.txt"))
    artifact = run(str(tmp_path), made)["a"]
    assert artifact.names() == ["_MANIFEST.json"]


def test_the_manifest_tells_what_made_the_artifact(tmp_path):
    artifacts = run(str(tmp_path), steps([]))
    manifest = (artifacts["c"] / "_MANIFEST.json").read_json()
    prints = {one.step.name: one.fingerprint for one in dag.plan(steps([]), str(tmp_path))}
    assert manifest["fingerprint"] == prints["c"]
    assert manifest["inputs"] == {name: prints[name] for name in ("a", "b")}
    assert (manifest["rows"], manifest["schema"], manifest["metrics"]) == (3, "text", {"x": 1})
    assert manifest["spec"] == {"key": 0}
    assert manifest["versions"]["ray"]
    assert manifest["seconds"] >= 0
    assert artifacts["c"].path.endswith(f"c-{prints['c'][:8]}")


def test_latest_points_to_the_artifacts_of_the_last_run(tmp_path):
    artifacts = run(str(tmp_path), steps([]))
    latest = json.loads((tmp_path / "latest.json").read_text())
    assert latest == {name: place.uri for name, place in artifacts.items()}
    shorter = run(str(tmp_path), steps([], spec=2)[:2])
    latest = json.loads((tmp_path / "latest.json").read_text())
    assert latest["b"] == shorter["b"].uri
    assert latest["c"] == artifacts["c"].uri


def test_latest_names_what_is_done_of_a_run_that_goes_on(tmp_path):
    with pytest.raises(RuntimeError, match="died"):
        run(str(tmp_path), steps([], fail="c"))
    latest = json.loads((tmp_path / "latest.json").read_text())
    assert {name: uri.rpartition("/")[2][0] for name, uri in latest.items()} == {"a": "a", "b": "b"}


def test_latest_goes_on_naming_what_it_is_to_keep(tmp_path):
    root = str(tmp_path)
    before = run(root, steps([])[:2])
    after = dag.run(dag.plan(steps([], spec=2)[:3], root), root, str, keep=("a", "b", "c"))
    latest = json.loads((tmp_path / "latest.json").read_text())
    assert after["b"] != before["b"]
    assert latest == {"a": before["a"].uri, "b": before["b"].uri, "c": after["c"].uri}


@pytest.mark.parametrize("value", [{1, 2}, object(), float("nan"), {1: "x"}, b"bytes"])
def test_what_has_no_canonical_form_raises(value):
    with pytest.raises(TypeError, match="spec"):
        dag.fingerprint(Step("a", lambda i, o: Result(0), {"key": value}), [])


def test_equal_specs_have_equal_fingerprints():
    def of(spec):
        return dag.fingerprint(Step("a", lambda i, o: Result(0), spec), [])

    assert of({"x": 1, "y": (1, 2)}) == of({"y": [1, 2], "x": 1})
    assert of({"x": 1}) != of({"x": 2})


CONFIG = {
    "model": {"source": "builtin:smollm2-135m"},
    "data": {
        "train": [{"name": "capitals"}],
        "eval": [{"name": "capitals", "split": "test"}],
    },
}


@pytest.fixture
def changed(tmp_path):
    """The stages whose fingerprints an override changes."""
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"root": str(tmp_path), **CONFIG}))

    def prints(*overrides):
        planned = dag.plan(pipeline.steps(load(str(file), list(overrides))), str(tmp_path))
        return {one.step.name: one.fingerprint for one in planned}

    def changed(*overrides):
        before, after = prints(), prints(*overrides)
        return [name for name in before if before[name] != after[name]]

    return changed


FROM_LABEL = ["label", "examples", "train", "export", "evaluate", "report"]


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("root=elsewhere", []),
        ("engine.count=4", []),
        ("engine.max_num_seqs=8", []),
        ("train.workers=2", []),
        ("train.micro_tokens=64", []),
        ("serve.port=9000", []),
        ("seed=1", ["queries", "held_out", *FROM_LABEL]),
        ("sampling.num_samples=8", FROM_LABEL),
        ("sampling.max_tokens=8", FROM_LABEL),
        ("examples.target=vote", FROM_LABEL[1:]),
        ("examples.total=10", FROM_LABEL[1:]),
        ("train.learning_rate=0.1", FROM_LABEL[2:]),
        ("train.seeds=[7]", ["report"]),  # beside what stands
        ("evaluate.num_samples=4", ["evaluate", "report"]),
        ("engine.adapter=lora", ["evaluate", "report"]),
        ("evaluate.sampling.temperature=0.7", ["evaluate", "report"]),
        ("evaluate.sampling.max_tokens=8", ["evaluate", "report"]),
        ("evaluate.sampling.max_tokens=1024", []),  # what it is by default
        ("sampling.temperature=0.7", FROM_LABEL),
        ("evaluate.thresholds=[0.5]", ["report"]),
        ("evaluate.orders=50", ["report"]),
        ("evaluate.confidences=[mean_logprob]", ["evaluate", "report"]),
        ("evaluate.confidences=[]", []),  # what it is by default
        ("evaluate.group_size=8", []),  # where no confidence is named
    ],
)
def test_what_each_key_reruns(changed, override, stages):
    assert changed(override) == stages


def test_other_confidences_are_another_report(tmp_path):
    """All are recorded, whichever are named; but groups of another size are other confidences."""

    def prints(names, size):
        evaluate = {"confidences": names, "group_size": size}
        config = Config.model_validate({"root": "r", **CONFIG, "evaluate": evaluate})
        planned = dag.plan(pipeline.steps(config), str(tmp_path))
        return {one.step.name: one.fingerprint for one in planned}

    first = prints(["mean_logprob"], 8)
    other, longer = prints(["lowest_group", "mean_logprob"], 8), prints(["mean_logprob"], 9)
    assert [name for name in first if first[name] != other[name]] == ["report"]
    assert [name for name in first if first[name] != longer[name]] == ["evaluate", "report"]


def test_a_seed_is_a_training_run_of_its_own():
    config = Config.model_validate({"root": "r", **CONFIG, "train": {"seeds": [7, 8]}})
    steps = {one.name: one for one in pipeline.steps(config)}
    assert list(steps)[4:] == [
        "train", "export", "evaluate",
        "train_seed_7", "export_seed_7", "evaluate_seed_7",
        "train_seed_8", "export_seed_8", "evaluate_seed_8",
        "report",
    ]  # fmt: skip
    assert steps["evaluate_seed_7"].inputs == reads("held_out", export="export_seed_7")
    assert steps["export_seed_7"].inputs == reads("examples", train="train_seed_7")
    assert {"evaluate", "evaluate_seed_7", "evaluate_seed_8"} < set(steps["report"].inputs)
    assert [steps[name].spec["seed"] for name in ("train", "train_seed_7")] == [0, 7]
    # All models answer with the same draws; the base model's responses stand already.
    assert steps["evaluate_seed_7"].spec == steps["evaluate"].spec | {"models": ["calibrated"]}


def test_the_quickstarts_fingerprints_stay(tmp_path):
    """Old roots stay done: what changes one of these must mean to, and say so here."""
    config = load(str(ROOT / "jobs" / "configs" / "quickstart.yaml"), [f"root={tmp_path}"])
    planned = dag.plan(pipeline.steps(config), config.root)
    assert {one.step.name: one.fingerprint[:8] for one in planned} == {
        "queries": "abccde27",
        "held_out": "8efc1c14",
        "label": "acc2c182",
        "examples": "6ae1b2b4",
        "train": "231fbf80",
        "export": "ee3d828d",
        "evaluate": "879850df",
        "report": "e2726d2d",
    }
