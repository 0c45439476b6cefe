"""The rules of the tree: who may import whom, and what stays light.

A room is a folder or a file of pipelines/; the rooms stand here from the top of the house down, and
imports point down. A new file in a room seldom needs a change here.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from processes import ROOT

ROOMS = [
    "pipeline", "stages", "serving", "engine", "training", "datasets", "running", "config",
    "storage", "method",
]  # fmt: skip
PIPELINES = sorted((ROOT / "pipelines").rglob("*.py"))
MODULES = PIPELINES + sorted((ROOT / "jobs").rglob("*.py"))
# Where a package may be imported: by one room, or by one file of it.
OWNERS = {
    "vllm": "pipelines.engine",
    "triton": "pipelines.engine.edt_kernels",
    "deepspeed": "pipelines.training",
    "peft": "pipelines.training.lora",
    "matplotlib": "pipelines.stages.report",
    "fastapi": "pipelines.serving",
    "math_verify": "pipelines.method.formulas.algebra",
    "sympy": "pipelines.method.formulas.algebra",
}
MAY_IMPORT_RAY = {
    "pipelines.stages",
    "pipelines.serving",
    "pipelines.training",
    "pipelines.running",
}
MAY_IMPORT_RAY |= {"pipelines.engine.metrics", "pipelines.engine.ray_executor"}
# prompts.py loads a tokenizer, and formulas are compared by math-verify.
METHOD_IMPORTS = {"numpy", "torch", "transformers", "pipelines", *sys.stdlib_module_names}
METHOD_IMPORTS |= {"math_verify", "sympy"}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> set[str]:
    """All names that a file imports, anywhere in it: of modules, and of what is in them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path} imports by dots"
            assert node.level == 0, f"{path} imports by dots"
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own_imports(path: Path) -> set[str]:
    return (imports(path) & {name_of(module) for module in PIPELINES}) - {"pipelines"}


def is_in(module: str, places: set[str]) -> bool:
    return any(f"{module}.".startswith(f"{place}.") for place in places)


def test_every_room_has_its_place():
    there = {path.stem for path in (ROOT / "pipelines").iterdir() if path.suffix == ".py"}
    there |= {path.parent.name for path in (ROOT / "pipelines").glob("*/__init__.py")}
    assert there - {"__init__"} == set(ROOMS)


@pytest.mark.parametrize("path", PIPELINES, ids=name_of)
def test_imports_point_down(path):
    if room := room_of(name_of(path)):
        for other in own_imports(path):
            assert ROOMS.index(room_of(other)) >= ROOMS.index(room), f"it imports {other}"


def stage_of(module: str) -> str:
    return module.split(".")[2] if module.startswith("pipelines.stages.") else ""


def test_stages_never_import_each_other():
    for path in (ROOT / "pipelines" / "stages").rglob("*.py"):
        others = {stage_of(other) for other in own_imports(path)}
        assert others <= {"", stage_of(name_of(path))}, name_of(path)


@pytest.mark.parametrize(("package", "owner"), OWNERS.items())
def test_a_heavy_package_has_one_owner(package, owner):
    users = {
        name_of(path)
        for path in PIPELINES
        if any(one.split(".")[0] == package for one in imports(path))
    }
    assert users, "nothing imports it"
    assert all(is_in(user, {owner}) for user in users), users


def test_ray_stays_in_its_rooms():
    for path in PIPELINES:
        if any(one.split(".")[0] == "ray" for one in imports(path)):
            assert is_in(name_of(path), MAY_IMPORT_RAY), f"{name_of(path)} imports ray"


def test_the_dag_and_the_lease_know_no_ray():
    for name in ("dag", "lease"):
        path = ROOT / "pipelines" / "running" / f"{name}.py"
        assert not any(one.split(".")[0] == "ray" for one in imports(path))


def test_the_method_is_pure():
    """Numbers and text in, numbers and text out."""
    for path in (ROOT / "pipelines" / "method").rglob("*.py"):
        roots = {one.split(".")[0] for one in imports(path)}
        assert roots <= METHOD_IMPORTS, f"{name_of(path)} imports {roots - METHOD_IMPORTS}"


def test_the_jobs_import_nothing_of_vllm_or_ray_where_they_only_plan():
    code = (
        "import sys, importlib, jobs.run, jobs.experiment, pipelines.pipeline\n"
        "for name in jobs.experiment.NAMES: importlib.import_module(f'jobs.experiments.{name}')\n"
        "heavy = {'ray', 'torch', 'vllm', 'transformers', 'fastapi', 'matplotlib', 'deepspeed'}\n"
        "heavy |= {'pandas', 'sympy', 'math_verify'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_files_stay_small():
    long = {name_of(p): n for p in MODULES if (n := len(p.read_text().splitlines())) > 300}
    assert not long


def test_top_level():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    top = {name.split("/")[0] for name in listed if not name.startswith(".")}
    allowed = {"pyproject.toml", "pipelines", "jobs", "cluster", "tests", "README.md"}
    assert top <= allowed | {"Makefile", "LICENSE"}
