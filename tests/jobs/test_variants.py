"""Variants of a config: what each trains on, and how they are compared on one model's responses."""

import json
from functools import partial

import labeling
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from processes import ROOT
from ray import cloudpickle
from torch.nn.functional import mse_loss, smooth_l1_loss
from transformers import MistralConfig, MistralForCausalLM

from jobs.experiments import ablation, compared, scores, sweeps, trained, variants
from jobs.experiments.scores import STATISTICS, difference, score
from jobs.experiments.variants import Variant
from pipelines import pipeline
from pipelines.config import Config, load
from pipelines.method import metrics
from pipelines.method.consistency import soft_self_consistency
from pipelines.method.prompts import Prompts
from pipelines.running import dag
from pipelines.running.dag import reads
from pipelines.stages import label
from pipelines.storage.location import Location
from pipelines.storage.schemas import LABELS
from pipelines.training.lora import load_base

STUDY = str(ROOT / "jobs" / "configs" / "study.yaml")
QUICKSTART = str(ROOT / "jobs" / "configs" / "quickstart.yaml")


def config_of(tiny, root="unused"):
    return Config.model_validate(
        {
            "root": str(root),
            "model": {"source": str(tiny)},
            "data": {
                "train": [{"name": "capitals", "limit": 6}],
                "calibration": [{"name": "capitals", "split": "calibration", "limit": 4}],
                "eval": [{"name": "capitals", "split": "test", "limit": 2}],
            },
            "sampling": {"num_samples": 4, "max_tokens": 32},
            "examples": {"total": 16},
            "train": {"dtype": "float32", "batch_size": 8, "learning_rate": 0.01},
            "evaluate": {"num_samples": 4, "bootstrap": 50},
        }
    )


def prints(steps, root):
    return {one.step.name: one.fingerprint for one in dag.plan(steps, str(root))}


def test_the_study_has_the_quickstarts_labels(tmp_path):
    study, quickstart = (
        prints(pipeline.steps(load(file), "label"), tmp_path) for file in (STUDY, QUICKSTART)
    )
    assert {name: study[name] for name in ("queries", "label")} == {
        name: quickstart[name] for name in ("queries", "label")
    }


def test_a_variants_steps_are_its_own_and_share_what_they_can(tmp_path):
    config = load(STUDY, ["train.seeds=[1, 2]"])
    made = {one.name: one for one in sweeps.steps(config)}
    assert made["adapter_eta_0.5_2"].inputs == reads("label")
    assert made["adapter_eta_0.5_2"].spec["examples"]["examples"]["eta"] == 0.5
    assert made["adapter_eta_0.5_2"].spec["train"]["seed"] == 2
    assert made["adapter_samples_4_0"].inputs == reads(label="label_samples_4")
    assert made["label_samples_4"].inputs == made["label_samples_8"].inputs == reads("label")
    assert "label_eta_0.5" not in made  # the config's own
    assert made["scores_base"].inputs == reads("responses")
    assert list(made)[-1] == "experiment_sweeps"
    assert list(made["experiment_sweeps"].inputs) == [n for n in made if n.startswith("scores_")]
    more = {one.name: one for one in ablation.steps(config)}
    both = [prints(list(steps.values()), tmp_path) for steps in (made, more)]
    shared = set(both[0]) & set(both[1])
    assert {"adapter_as_configured_0", "scores_as_configured_2", "label"} <= shared
    assert "adapter_no_generation_loss_1" in shared  # omega of 0 is the sweep's, too
    drawn = more["label_fixed_temperature_0.8"]  # anew, not of the config's labels
    assert drawn.inputs == reads("queries")
    assert (drawn.spec["sampling"]["method"], drawn.spec["sampling"]["temperature"]) == (
        "fixed", 0.8,
    )  # fmt: skip
    assert more["adapter_fixed_temperature_0.8_1"].inputs == reads(label=drawn.name)
    assert all(both[0][name] == both[1][name] for name in shared)


def test_a_variant_that_changes_nothing_is_left_out():
    names = {one.name for one in ablation.steps(load(STUDY, ["examples.draw=even"]))}
    assert "adapter_draw_even_0" not in names
    assert {"adapter_as_configured_0", "adapter_draw_weighted_0"} <= names
    assert "adapter_draw_even_0" in {one.name for one in ablation.steps(load(STUDY))}
    own = load(STUDY, ["examples.eta=0.5", "train.omega=0"])
    names = {one.name for one in sweeps.steps(own)}
    assert not names & {"adapter_eta_0.5_0", "adapter_no_generation_loss_0"}


def test_a_fixed_temperature_is_compared_with_edt(tmp_path):
    """And EDT with a fixed one."""

    def drawn(*overrides):
        found = ablation.variants(load(STUDY, overrides))
        return {one.name: one.overrides for one in found if "sampling" in str(one.overrides)}

    fixed = ["sampling.method=fixed", "sampling.temperature=0.8333"]
    assert drawn(*fixed) == {"edt": ["sampling.method=edt"]}
    made = {one.name: one for one in ablation.steps(load(STUDY, fixed))}
    assert made["label_edt"].spec["sampling"]["method"] == "edt"
    assert made["label_edt"].spec["sampling"]["temperature"] == 0.8333
    assert made["adapter_edt_0"].inputs == reads(label="label_edt")
    assert list(drawn()) == ["fixed_temperature_0.8"]


def test_more_samples_than_there_are_labels_of_are_refused():
    with pytest.raises(ValueError, match=r"sampling.num_samples \(16\): labels of 32 samples"):
        trained.steps("x", load(STUDY), [Variant("more", ["sampling.num_samples=32"])])


def test_mse_is_smooth_l1_with_beta_one_and_half_the_omega():
    """The ablation's `mse`: half of squared error plus omega times cross entropy, everywhere."""
    draws = torch.Generator().manual_seed(0)
    c, target, entropy = (torch.rand(1000, generator=draws) for _ in range(3))
    config = load(STUDY)
    (mse,) = [one for one in ablation.variants(config) if one.name == "mse"]
    beta, omega, norm = (float(one.partition("=")[2]) for one in mse.overrides)
    assert norm == config.train.max_grad_norm / 2  # so that half the loss is clipped alike
    own = smooth_l1_loss(c, target, beta=beta) + omega * entropy.mean()
    whole = mse_loss(c, target) + config.train.omega * entropy.mean()
    assert float(2 * own) == pytest.approx(float(whole), rel=1e-6)


def test_first_samples_are_labeled_anew():
    samples = [
        {"answer": a, "p_true": c, "target": 9.0}
        for a, c in zip("aabc", (0.2, 0.4, 0.6, 1), strict=True)
    ]
    row = {"query_id": "q", "samples": samples, "response_ids": [[1], [2], [3], [4]]}
    kept = variants.first_samples(row, 3)
    wanted = soft_self_consistency(["a", "a", "b"], [0.2, 0.4, 0.6])
    assert [one["target"] for one in kept["samples"]] == wanted == pytest.approx([0.5, 0.5, 0.5])
    assert kept["response_ids"] == [[1], [2], [3]]
    assert samples[0]["target"] == 9.0  # the row that was given stays


def test_a_difference_is_paired_and_of_the_mean_over_seeds():
    """Two seeds .1 and .2 above base on every query: the interval has no width."""
    draws = np.random.default_rng(0)
    base = draws.uniform(0, 0.5, (20, 4))
    correct = (draws.uniform(size=(20, 4)) < 0.3).astype(float)
    trained = [(base + shift, correct) for shift in (0.1, 0.2)]
    weights = metrics.resample(20, 200, 0)
    mean, interval = difference(STATISTICS["mean c"], [(base, correct)], trained, weights)
    assert [mean, *interval] == pytest.approx([0.15, 0.15, 0.15])


def test_a_differences_interval_is_over_queries():
    """Queries differ by 0 or 1 and their samples are alike: the mean of 100 is within .5 +- .1."""
    base = np.zeros((100, 8))
    trained = np.repeat([[0.0], [1.0]], 50, axis=0) + base
    weights = metrics.resample(100, 1000, 0)
    of = STATISTICS["mean c"]
    mean, interval = difference(of, [(base, base)], [(trained, base)], weights)
    assert mean == 0.5
    assert interval == pytest.approx([0.402, 0.598], abs=0.015)


def test_a_table_has_means_over_runs_and_says_what_is_better():
    """A variant that knows is better by Brier, AUROC and WQD than one that guesses, in both
    runs."""
    draws = np.random.default_rng(1)
    correct = (draws.uniform(size=(60, 8)) < 0.4).astype(float)
    knows = [(0.8 * correct + 0.1 + shift, correct) for shift in (0.0, 0.02)]
    guesses = [(np.full_like(correct, 0.4), correct) for _ in range(2)]
    found = {"guesses": guesses, "knows": knows}
    weights = metrics.resample(60, 300, 0)
    table = compared.figures("title", found, STATISTICS, weights, {"knows": "a=1"})
    names = [name for name, _ in table.columns]
    assert names == ["", "changes", "mean c", "AUROC", "WQD", "Brier", "ECE"]
    assert [one.value for one in compared.column(table, "WQD").values()] == [0.5, 1.0]
    cell = compared.column(table, "mean c")["knows"]
    assert cell.value == pytest.approx(0.8 * correct.mean() + 0.11)
    assert np.diff(cell.seeds) == pytest.approx([0.02])
    assert cell.ci95[0] < cell.value < cell.ci95[1]
    assert [row[1] for row in table.rows] == ["", "a=1"]
    apart = compared.differences("title", found, STATISTICS, weights, "guesses")
    brier = [np.mean([((c - r) ** 2).mean() for c, r in runs]) for runs in (guesses, knows)]
    assert compared.column(apart, "WQD")["knows"].value == 0.5
    assert compared.column(apart, "Brier")["knows"].value == pytest.approx(brier[1] - brier[0])
    assert compared.sentence(apart, "Brier") == "Brier, less guesses: knows better."
    assert compared.sentence(apart, "AUROC", True) == "AUROC, less guesses: knows better."
    assert compared.sentence(apart, "AUROC") == "AUROC, less guesses: knows worse."


def windowed(tiny, window):
    """A model whose attention sees so many tokens."""
    settings = json.loads((tiny / "config.json").read_text())
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
             "num_key_value_heads", "head_dim", "vocab_size")  # fmt: skip
    own = {name: settings[name] for name in names}
    torch.manual_seed(0)
    config = MistralConfig(**own, sliding_window=window, initializer_range=0.2)
    return MistralForCausalLM(config).eval()


@pytest.mark.parametrize("window", [None, 16])
@pytest.mark.parametrize("at_once", [1, 4, 64])
def test_scores_are_those_of_each_response_alone(tiny, monkeypatch, at_once, window):
    """Whatever is scored with it: prompts and responses of other lengths."""
    monkeypatch.setattr(scores, "_AT_ONCE", at_once)
    config, prompts = config_of(tiny), Prompts.load(tiny)
    model = load_base(tiny, config) if window is None else windowed(tiny, window)
    names = ("Saint Vincent and the Grenadines", "Peru", "Chile")
    asked = [prompts.sampling_ids(f"What is the capital of {name}?") for name in names]
    responses = [[[9], [8], [9]], [[500, 600], [500, 600], [7]], [[500, 600, 8], [9, 10], [11]]]
    rows = [
        {
            "prompt_ids": ids, "response_ids": of, "reference": "Lima", "kind": "text",
            "samples": [{"answer": answer} for answer in ("lima", None, "quito")],
        }
        for ids, of in zip(asked, responses, strict=True)
    ]  # fmt: skip
    confidence, correct = score(config, model, rows)
    assert correct.tolist() == [[1, 0, 0]] * 3
    for ids, of, found in zip(asked, responses, confidence, strict=True):
        for response, c in zip(of, found, strict=True):
            with torch.no_grad():
                logits = model(torch.tensor([prompts.scoring_ids(ids, response)])).logits[0, -1]
            assert c == pytest.approx(float(logits.softmax(-1)[prompts.yes_id]), rel=1e-4)


@pytest.mark.process
@pytest.mark.long
def test_an_experiment_goes_on_where_it_was_cut_and_reads_the_same(tiny, tmp_path, monkeypatch):
    cloudpickle.register_pickle_by_value(labeling)  # Ray's workers do not find the tests' helpers
    monkeypatch.setattr(label, "run", partial(label.run, make_engine=labeling.engine))
    config = config_of(tiny, tmp_path)
    steps = trained.steps(
        "cut",
        config,
        [
            trained.AS_CONFIGURED,
            Variant("fewer", ["sampling.num_samples=2"]),
            Variant("fixed", ["sampling.method=fixed", "sampling.temperature=0.3"]),
        ],
    )
    said = []
    planned = dag.plan(steps, config.root)
    dag.run(planned[:-1], config.root, lambda line: None)
    first = dag.run(dag.plan(steps, config.root), config.root, said.append)["experiment_cut"]
    assert [line for line in said if "running" in line] == [said[-2]]
    tables = (first / "tables.json").read_json()
    names = [row[""] for row in tables[0]["rows"]]
    assert names == ["base", "as_configured", "fewer", "fixed"]
    assert all(len(row["Brier"]["seeds"]) == 1 for row in tables[0]["rows"])
    files = ("tables.json", "reading.md", "picture.svg")
    before = {name: (first / name).read_text() for name in files}
    assert before["reading.md"].endswith(f"{compared.NOTE} {trained.OF_CONFIDENCES}\n")
    first.delete()
    again = dag.run(dag.plan(steps, config.root), config.root, said.append)["experiment_cut"]
    assert {name: (again / name).read_text() for name in files} == before
    (manifest,) = tmp_path.glob("responses-*/_MANIFEST.json")
    assert json.loads(manifest.read_text())["rows"] == 4  # no test query is looked at
    cut = Location.of(str(next(tmp_path.glob("label_fewer-*")))).read_table()
    assert cut.schema == LABELS
    assert {len(samples) for samples in cut["samples"].to_pylist()} == {2}
    whole = {row["query_id"]: row for row in labeling.rows(tmp_path).to_pylist()}
    for row in cut.to_pylist():
        texts = [one["text"] for one in row["samples"]]
        assert texts == [one["text"] for one in whole[row["query_id"]]["samples"][:2]]
    assert pq.read_metadata(next(tmp_path.glob("label_fewer-*/labels.parquet"))).num_rows == 6
