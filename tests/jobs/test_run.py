"""The command line: one clear line and a nonzero exit, before Ray or torch start."""

import json
import shutil
import subprocess
import sys

import pytest
import yaml
from processes import ROOT

import jobs.run

pytestmark = pytest.mark.process

QUICKSTART = ROOT / "jobs" / "configs" / "quickstart.yaml"

# Runs the job and says on the last line whether anything heavy was imported on the way.
WATCHED = (
    "import sys\nfrom jobs.run import main\n"
    "try:\n    code = main(sys.argv[1:])\nexcept SystemExit as error:\n    code = error.code\n"
    "print('HEAVY', sorted({'ray', 'torch', 'vllm', 'transformers'} & set(sys.modules)))\n"
    "sys.exit(code)"
)


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-c", WATCHED, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def config(tmp_path, **changes):
    base = {
        "root": str(tmp_path / "root"),
        "model": {"source": "builtin:smollm2-135m"},
        "data": {"train": [{"name": "capitals"}], "eval": [{"name": "elements", "split": "test"}]},
    }
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(base | changes))
    return file


def fails_with(tmp_path, says, *arguments, **changes):
    done = run("--config", config(tmp_path, **changes), *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout.strip() == "HEAVY []"
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--set", "sampling.num_sample=3"], "did you mean num_samples?"),
        (["--set", "train.omega=-1"], "train.omega"),
        (["--until", "lable"], "--until: 'lable' is none of queries, held_out, label"),
        (["--set", "data.train.0.name=jsonl"], "path is missing"),
        (["--set", "model.source=/nowhere/model"], "there is no directory /nowhere/model"),
        (["--set", "model.source=builtin:gpt"], "is not built in; there is builtin:smollm2-135m"),
        (["--set", "root=nope://x"], "nope://x"),
        (["--set", "data.eval=[]"], "data.eval is empty"),
    ],
)
def test_bad_input_is_one_line(tmp_path, arguments, says):
    fails_with(tmp_path, says, *arguments)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ("data.train.0.name=capitls", "data.train.0.name: 'capitls' is none of"),
        ("data.train.0.name=jsonl", "data.train.0.path is missing"),
        ("data.train.0.path=x.jsonl", "data.train.0.path: capitals is built in"),
        ("data.train=[{name: jsonl, path: nowhere.jsonl}]", "there is no such file"),
        ("data.eval=[{name: capitals, split: train}]", "is there twice"),
        ("model.source=/nowhere/model", "there is no directory /nowhere/model"),
        ("train.lora.targets=[nope]", "train.lora.targets: the model has no matrix 'nope'"),
    ],
)
def test_a_plan_of_what_no_run_could_take_says_so(tmp_path, capsys, changed, says):
    assert jobs.run.main(["--config", str(config(tmp_path)), "--plan", "--set", changed]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda d: (d / "chat_template.jinja").unlink(), "has no chat template"),
        (lambda d: (d / "tokenizer.json").unlink(), "has no tokenizer.json"),
        (lambda d: (d / "model.safetensors").unlink(), "no *.safetensors"),
    ],
)
def test_bad_models(tmp_path, tiny, spoil, says):
    shutil.copytree(tiny, tmp_path / "model")
    spoil(tmp_path / "model")
    fails_with(tmp_path, says, model={"source": str(tmp_path / "model")})


def test_no_yes_token(tmp_path, tiny):
    """Neither "Yes" nor " Yes"; of which of them it takes, the template tells later."""
    shutil.copytree(tiny, tmp_path / "model")
    file = tmp_path / "model" / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    model = tokenizer["model"]
    for word in ("Yes", "ĠYes"):
        model["vocab"][f"Nope{word}"] = model["vocab"].pop(word)
    model["merges"] = [merge for merge in model["merges"] if not "".join(merge).endswith("Yes")]
    file.write_text(json.dumps(tokenizer))
    fails_with(tmp_path, "no single token for 'Yes'", model={"source": str(tmp_path / "model")})


def test_help_and_plan_run_nothing(tmp_path):
    done = run("--help")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "HEAVY []" in done.stdout
    done = run("--config", config(tmp_path), "--plan")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()[:8]  # what it will take follows
    assert [line.split()[2] for line in lines] == [
        "queries", "held_out", "label", "examples", "train", "export", "evaluate", "report",
    ]  # fmt: skip
    assert not [line for line in lines if not line.startswith("to do")]
    assert lines[0].split()[3].startswith(f"{tmp_path}/root/queries-")
    assert not (tmp_path / "root").exists()


def test_a_missing_option():
    done = run()
    assert done.returncode == 2, done.stdout + done.stderr
    assert "--config" in done.stderr


def test_the_queries_stage_needs_no_ray(tmp_path):
    done = run("--config", config(tmp_path), "--until", "queries")
    assert done.returncode == 0, done.stderr
    assert "'ray'" not in done.stdout
    again = run("--config", config(tmp_path), "--until", "queries")
    assert "Nothing to do" in again.stdout
    (artifact,) = (tmp_path / "root").glob("queries-*")
    manifest = json.loads((artifact / "_MANIFEST.json").read_text())
    assert manifest["rows"] == 105
