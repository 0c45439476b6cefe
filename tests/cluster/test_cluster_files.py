"""The files in cluster/: valid by the published schemas, and naming only what exists."""

import importlib
import json
import re
import shlex

import jsonschema
import pytest
import yaml
from processes import ROOT

from pipelines.config import load

CLUSTER = ROOT / "cluster"
SCHEMAS = json.loads((ROOT / "tests" / "data" / "kuberay.json").read_text())
KUBERAY = ["raycluster.yaml", "rayjob.yaml", "rayservice.yaml"]


def read(name):
    return yaml.safe_load((CLUSTER / name).read_text())


@pytest.mark.parametrize("name", KUBERAY)
def test_kuberay_takes_it(name):
    made = read(name)
    assert made["apiVersion"] == "ray.io/v1"
    jsonschema.validate(made["spec"], {**SCHEMAS, "$ref": f"#/$defs/{made['kind']}"})


def test_the_schemas_refuse_what_they_do_not_know():
    spec = read("raycluster.yaml")["spec"]
    spec["workerGroupSpecs"][0]["maxReplica"] = 2
    with pytest.raises(jsonschema.ValidationError, match="maxReplica"):
        jsonschema.validate(spec, {**SCHEMAS, "$ref": "#/$defs/RayCluster"})


def test_ray_up_takes_it():
    from ray.autoscaler._private.util import fillout_defaults, validate_config

    validate_config(fillout_defaults(read("ray-up.yaml")))


@pytest.mark.parametrize("name", [*KUBERAY, "ray-up.yaml", "Dockerfile"])
def test_the_image_and_the_version_are_the_projects(name):
    text = (CLUSTER / name).read_text()
    images = set(re.findall(r"registry\.example\.com/\S+", text))
    assert images <= {"registry.example.com/selfcal:gpu", "registry.example.com/selfcal:cpu"}
    lock = (CLUSTER / "requirements-gpu.txt").read_text()
    for version in re.findall(r"rayVersion: (\S+)", text):
        assert re.search(rf"^ray(\[.*\])?=={version}$", lock, re.MULTILINE)


def config_at(path):
    assert path.startswith("/app/")  # where the image has the project
    return load(str(ROOT / path.removeprefix("/app/")), [])


@pytest.mark.parametrize("extra", ["cpu", "gpu"])
def test_the_lock_leaves_out_what_only_another_package_asks_for(extra):
    lines = (CLUSTER / f"requirements-{extra}.txt").read_text().splitlines()
    locked = {re.fullmatch(r"([\w.-]+)==\S+", line)[1] for line in lines if line}
    assert not {"llm", "llama-cpp-python", "torchvision", "torchaudio"} & locked


def test_the_job_is_a_module_with_a_config():
    python, option, module, *arguments = shlex.split(read("rayjob.yaml")["spec"]["entrypoint"])
    assert (python, option) == ("python", "-m")
    assert callable(importlib.import_module(module).main)
    assert arguments[0] == "--config"
    assert config_at(arguments[1]).engine.gpus == 1


def test_the_service_is_an_application_with_a_config():
    (app,) = yaml.safe_load(read("rayservice.yaml")["spec"]["serveConfigV2"])["applications"]
    module, _, name = app["import_path"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    config_at(app["args"]["config"])


def test_the_job_selects_the_cluster():
    selected = read("rayjob.yaml")["spec"]["clusterSelector"]["ray.io/cluster"]
    assert selected == read("raycluster.yaml")["metadata"]["name"]


def test_a_job_that_fails_leaves_the_cluster_where_it_is():
    """KubeRay deletes the selected cluster before it tries again, or refuses to try."""
    assert not read("rayjob.yaml")["spec"].get("backoffLimit")


def test_the_image_copies_what_is_there():
    for line in (CLUSTER / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            *sources, _ = line.split()[1:]
            assert all((ROOT / source).exists() for source in sources), line


def test_what_a_job_leaves_behind_is_no_code():
    excluded = yaml.safe_load((ROOT / "jobs" / "runtime_env.yaml").read_text())["excludes"]
    assert not {"jobs", "pipelines", "pyproject.toml"} & set(excluded)


def test_the_dashboard_draws_metrics_that_there_are():
    from pipelines.engine.metrics import COUNTERS, IN_FLIGHT

    board = json.loads((CLUSTER / "grafana-dashboard.json").read_text())
    drawn = set()
    for panel in board["panels"]:
        for target in panel["targets"]:
            drawn |= set(re.findall(r"ray_(\w+)", target["expr"]))
    assert drawn == {f"{name}_total" for name in COUNTERS} | {IN_FLIGHT}
