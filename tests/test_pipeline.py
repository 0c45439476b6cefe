"""The whole workflow by its command line, on a tiny model: artifacts, reruns, and kills."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
import yaml
from ports import free_port
from processes import ROOT, amid, kill, started

# One fixture holds a whole run and its deaths: minutes, and more where others run beside it.
pytestmark = [pytest.mark.process, pytest.mark.timeout(3000)]
STAGES = [
    "queries", "held_out", "label", "examples", "train", "export", "evaluate",
    "train_seed_1", "export_seed_1", "evaluate_seed_1", "report",
]  # fmt: skip


def job(config, *arguments):
    done = subprocess.run(
        command(config, *arguments), capture_output=True, text=True, cwd=ROOT, timeout=800
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def command(config, *arguments):
    return [sys.executable, "-m", "jobs.run", "--config", str(config), *arguments]


@pytest.fixture(scope="module")
def config(tiny, tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    settings = yaml.safe_load((ROOT / "jobs/configs/quickstart.yaml").read_text())
    settings |= {
        "root": str(directory / "root"),
        "model": {"source": str(tiny)},
        "data": {
            "train": [{"name": "capitals", "split": "train", "limit": 40}],
            "calibration": [{"name": "capitals", "split": "calibration", "limit": 4}],
            "eval": [
                {"name": "capitals", "split": "test", "limit": 6},
                {"name": "elements", "split": "test", "limit": 6},
            ],
        },
        "examples": {"total": 60, "bin_width": 0.25, "generation_ratio": 0.2},
        "evaluate": {
            "num_samples": 4,
            "live_queries": 4,
            "bootstrap": 50,
            "confidences": ["mean_logprob", "tail_entropy", "lowest_group"],
            "group_size": 5,
            "policies": ["self_consistency", "early_stopping", "early_stopping@mean_logprob"],
        },
        "serve": {"port": free_port()},
    }
    settings["engine"] |= {"kv_cache_gib": 0.1}
    settings["sampling"] |= {"num_samples": 4}
    settings["train"] |= {"checkpoint_every": 1, "seeds": [1]}
    file = directory / "config.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file


def kill_once(look, config):
    """Starts the run, kills its driver (kill -9) when look() is true, and waits for the rest."""
    with started(command(config)) as process:
        amid(process, look, every=0.05)
        process.send_signal(signal.SIGSTOP)  # it ends no stage while its children are looked up
        # Ray's agents wait a minute for the head that left with the driver.
        children = psutil.Process(process.pid).children(recursive=True)
        family = [one for one in children if "Agent" not in one.name()]
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(family, timeout=300)
    for one in alive:
        kill(one)
    assert not alive, "engines and workers leave with their driver"


@pytest.fixture(scope="module")
def finished(config):
    """The root of a run whose driver was killed amid training and evaluation, and done."""
    root = config.parent / "root"
    signs = {
        "train": lambda: list(root.glob("train-*/_checkpoints/checkpoint*")),
        "evaluate": lambda: list(root.glob("evaluate-*/base-*.parquet")),
    }
    for stage, sign in signs.items():
        before = modified(root)
        kill_once(sign, config)
        after = modified(root)
        assert {file: after[file] for file in before if file in after} == {
            file: at for file, at in before.items() if file in after
        }, "what was finished is left alone"
        plan = job(config, "--plan")
        assert re.search(rf"unfinished +{stage}", plan), plan
        assert not list(root.glob(f"{stage}-*/_MANIFEST.json"))
    return root, job(config)


def artifact(root, stage):
    return Path(json.loads((root / "latest.json").read_text())[stage])


def test_a_killed_run_goes_on_to_the_end(finished):
    root, printed = finished
    assert printed.count("done before") == STAGES.index("evaluate")
    assert "evaluate: resuming" in printed
    assert sorted(json.loads((root / "latest.json").read_text())) == sorted(STAGES)
    rows = pq.read_table(artifact(root, "label")).to_pylist()
    assert len(rows) == len({row["query_id"] for row in rows}) == 40


def test_the_label_artifact_keeps_the_contract(finished):
    rows = pq.read_table(artifact(finished[0], "label")).to_pylist()
    wanted = {"query_id", "dataset", "split", "question", "reference", "prompt", "samples"}
    assert wanted <= set(rows[0])
    for row in rows:
        assert [one["index"] for one in row["samples"]] == [0, 1, 2, 3]
        assert set(row["samples"][0]) == {
            "index", "text", "answer", "p_true", "mass", "target", "num_tokens", "finish_reason",
        }  # fmt: skip
        voted = {one["answer"]: one["target"] for one in row["samples"] if one["answer"]}
        assert not voted or sum(voted.values()) == pytest.approx(1, abs=1e-5)


def test_metrics_keep_the_contract(finished):
    results = json.loads((artifact(finished[0], "report") / "metrics.json").read_text())
    assert set(results["datasets"]) == {"capitals", "elements", "in_domain", "out_of_domain"}
    assert set(results["cost"]["seconds"]) >= {"label", "train", "evaluate"}
    for models in results["datasets"].values():
        for measured in models.values():
            assert {"queries", "responses", "accuracy", "ece", "auroc", "brier", "unparsed"} <= set(
                measured
            )
            assert measured["queries"] == 6
            assert measured["responses"] == 24
            assert "early_stopping@mean_logprob" in measured["policies"]
            for points in measured["policies"].values():
                budgets = {point["budget"] for point in points}
                assert budgets == {1, 2, 3, 4}
                for point in points:
                    assert set(point) >= {"budget", "threshold", "avg_samples", "accuracy", "ci95"}
                    assert point["avg_samples"] <= point["budget"]
    for counts in results["live"].values():
        assert counts["runs"] == 8
        assert counts["same_samples"] == 8


def test_the_page_needs_no_network(finished):
    page = (artifact(finished[0], "report") / "index.html").read_text()
    assert "<svg" in page
    assert not re.search(r"<(script|link|img|iframe)\b", page)
    assert not re.findall(r"(?:src|href)=\"(?!#)[^\"]*\"", page)
    assert "url(http" not in page


def test_the_export_loads_in_transformers_as_adapter_and_merged(finished, tiny):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    export = artifact(finished[0], "export")
    assert not [file for file in export.rglob("*") if file.suffix in (".bin", ".pt", ".pkl")]
    base = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    ids = torch.tensor([[5, 17, 200, 31]])
    with torch.no_grad():
        before = base(ids).logits
        adapted = PeftModel.from_pretrained(base, export / "adapter")(ids).logits
        merged = AutoModelForCausalLM.from_pretrained(export / "model", dtype=torch.float32)
        torch.testing.assert_close(merged(ids).logits, adapted, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(before, adapted)  # vLLM ran the merged one in evaluate


def test_confidences_are_those_of_the_recorded_responses(finished, tiny):
    """By full forwards of transformers: of each model's own, at a temperature of 1."""
    import torch
    from transformers import AutoModelForCausalLM

    sources = {"base": tiny, "calibrated": artifact(finished[0], "export") / "model"}
    for name, source in sources.items():
        model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
        (file,) = artifact(finished[0], "evaluate").glob(f"{name}-*.parquet")
        lengths = []
        for row in pq.read_table(file).to_pylist():
            for sample, ids in zip(row["samples"], row["response_ids"], strict=True):
                found = [sample[key] for key in ("mean_logprob", "tail_entropy", "lowest_group")]
                if not ids:
                    assert found == [None] * 3
                    continue
                with torch.no_grad():
                    logits = model(torch.tensor([row["prompt_ids"] + ids])).logits[0].double()
                logs = logits[len(row["prompt_ids"]) - 1 : -1].log_softmax(-1)
                top = logs.topk(20).values
                groups = top.mean(1).neg().unfold(0, min(5, len(ids)), 1)
                expected = [
                    float(logs.gather(1, torch.tensor(ids)[:, None]).mean()),
                    float(torch.distributions.Categorical(logits=top[-5:]).entropy().mean()),
                    float(groups.mean(1).min()),
                ]
                assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)
                lengths.append(len(ids))
        assert min(lengths) < 5 < max(lengths)


def modified(root):
    return {
        file: file.stat().st_mtime_ns
        for file in root.glob("*-*/**/*")
        if file.name != "latest.json"
    }


def test_a_second_run_does_nothing_and_says_so(finished, config):
    root, _ = finished
    before = modified(root)
    assert "Nothing to do" in job(config)
    assert modified(root) == before
    assert job(config, "--plan").count("done ") == len(STAGES)


def test_another_seed_trains_again_and_the_report_tells_how_far_both_are_apart(finished):
    """The base model is not asked again."""
    root, printed = finished
    assert "Over 2 training runs (seeds 0, 1)" in printed
    adapters = [artifact(root, name) / "adapter" for name in ("train", "train_seed_1")]
    first, other = [(one / "adapter_model.safetensors").read_bytes() for one in adapters]
    assert first != other
    responses = artifact(root, "evaluate_seed_1")
    assert {file.name.partition("-")[0] for file in responses.glob("*.parquet")} == {"calibrated"}
    results = json.loads((artifact(root, "report") / "metrics.json").read_text())
    for runs in results["training_runs"].values():
        assert list(runs) == ["0", "1"]
        assert runs["0"]["differences"] != runs["1"]["differences"]


def test_one_key_reruns_only_what_depends_on_it(finished, config):
    before = modified(finished[0])
    printed = job(config, "--set", "evaluate.thresholds=[0.5]")
    assert printed.count("done before") == len(STAGES) - 1
    assert "report: running" in printed
    after = modified(finished[0])
    assert {file: after[file] for file in before} == before
    assert {file.relative_to(finished[0]).parts[0][:7] for file in set(after) - set(before)} == {
        "report-"
    }
