"""The rules of the tree: who may import whom, and what stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "pipelines").rglob("*.py")) + sorted((ROOT / "jobs").glob("*.py"))
STAGES = {"queries", "label", "examples", "train", "export", "evaluate", "report"}
# From what stands alone to what ties it together; imports inside the project point up this list.
LAYERS = [
    {"progress", "answers", "edt", "consistency", "policies", "metrics", "prompts"},
    {
        "config",
        "schemas",
        "storage",
        "storage_errors",
        "losses",
        "micro_batches",
        "engine_protocol",
        "edt_kernels",
    },
    {
        "models",
        "dag",
        "lease",
        "tracking",
        "sampling",
        "cluster",
        "placement",
        "engine_metrics",
        "datasets.base",
        "edt_plugin",
        "ray_executor",
    },
    {"datasets.arithmetic", "datasets.capitals", "datasets.elements", "datasets.files"},
    {"datasets", "engine", "lora", "page", "train_state"},
    {"train_loop", "service"},
    STAGES,
    {"pipeline"},
]
PURE = {
    "answers", "edt", "consistency", "policies", "losses", "micro_batches", "metrics", "prompts",
}  # fmt: skip
ONLY_IMPORT = {
    "vllm": {"engine", "edt_plugin", "ray_executor"},
    "deepspeed": {"train_loop", "train_state"},
    "peft": {"lora"},
    "triton": {"edt_kernels"},
}
NO_RAY = {
    "dag",
    "lease",
    "storage",
    "storage_errors",
    "config",
    "schemas",
    "models",
    "sampling",
    "engine",
    "examples",
}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[1:] if parts[0] == "pipelines" else parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own_imports(path: Path) -> set[str]:
    known = {name_of(module) for module in MODULES}
    found = {name.removeprefix("pipelines.") for name in imports(path)}
    return (found & known) - {name_of(path)}


LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_one_way(path):
    name = name_of(path)
    if path.parent.name == "jobs" or name in ("", "__init__"):
        return
    assert name in LEVEL, f"{name} has no place in LAYERS"
    same_allowed = name in PURE | {"engine_protocol", "losses"} or LEVEL[name] < 2
    for other in own_imports(path):
        if other == "__init__":
            continue
        limit = LEVEL[name] if same_allowed else LEVEL[name] - 1
        assert LEVEL[other] <= limit, f"{name} imports {other}"


def test_stages_never_import_each_other():
    for path in MODULES:
        if name_of(path) in STAGES:
            assert not own_imports(path) & STAGES, name_of(path)


@pytest.mark.parametrize(("package", "owners"), ONLY_IMPORT.items())
def test_heavy_packages_have_one_owner(package, owners):
    users = {
        name_of(path)
        for path in MODULES
        if any(one.split(".")[0] == package for one in imports(path))
    }
    assert users == owners


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_what_needs_no_ray_imports_none(path):
    if name_of(path) in PURE | NO_RAY:
        assert not any(one.split(".")[0] == "ray" for one in imports(path))


def test_files_stay_small():
    long = {name_of(p): n for p in MODULES if (n := len(p.read_text().splitlines())) > 300}
    assert not long


def test_planning_imports_nothing_heavy():
    code = (
        "import sys, jobs.run, pipelines.pipeline\n"
        "heavy = {'ray', 'torch', 'vllm', 'transformers', 'fastapi', 'matplotlib', 'deepspeed'}\n"
        "heavy |= {'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_top_level():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    top = {name.split("/")[0] for name in listed if not name.startswith(".")}
    allowed = {"pyproject.toml", "pipelines", "jobs", "cluster", "tests", "README.md"}
    assert top <= allowed | {"Makefile", "LICENSE"}
