"""What `--plan` tells of memory, tokens and hours, and the recipes, which must fit by it."""

import os
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from object_store import plain_environment
from processes import ROOT
from s3fs import S3FileSystem

from jobs import estimate
from jobs.estimate import Left, Rates, engine_memory, lines, tokens, training_memory
from pipelines import pipeline
from pipelines.config import load, vary
from pipelines.datasets import LOADERS
from pipelines.running import dag
from pipelines.stages.train import count
from pipelines.storage.location import MANIFEST, Location
from pipelines.storage.schemas import EXAMPLES, EXAMPLES_FILE
from pipelines.storage.shape import Shape, shape_of

CONFIGS = ROOT / "jobs" / "configs"
RECIPES = sorted(path for path in CONFIGS.glob("*.yaml") if "# Needs: " in path.read_text())
GIB = 2**30


def planned(config):
    return dag.plan(pipeline.steps(config), config.root)


def recipe(name, tmp_path, *more):
    return load(str(CONFIGS / f"{name}.yaml"), [f"root={tmp_path}", *more])


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_parses_plans_and_names_known_sets(path, tmp_path):
    config = load(str(path), [f"root={tmp_path}"])
    steps = 8 + 3 * len(config.train.seeds)  # a seed trains, exports and evaluates
    assert [one.state for one in planned(config)] == ["to do"] * steps
    entries = (*config.data.train, *config.data.calibration, *config.data.eval)
    assert {entry.name for entry in entries} <= set(LOADERS)
    assert lines(config, planned(config), Rates())[0].startswith("memory, an estimate")


def test_the_papers_models_and_two_small_ones_have_recipes():
    assert {path.stem for path in RECIPES} == {
        "llama3.1-8b", "qwen2.5-7b", "r1-distill-qwen-1.5b", "qwen2.5-1.5b", "qwen2.5-0.5b",
    }  # fmt: skip


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_fits_what_it_says_that_it_needs(path, tmp_path):
    (count, size) = map(int, re.findall(r"# Needs: (\d+) GPUs? of (\d+) GiB", path.read_text())[0])
    config = load(str(path), [f"root={tmp_path}"])
    shape, _ = shape_of(config.model.source)
    assert all(shape.lora(1, [target]) for target in config.train.lora.targets)  # real modules
    assert max(config.engine.count, config.train.workers) == count
    assert training_memory(config, shape).total < 0.9 * size * GIB
    engine = engine_memory(config, shape)
    room = config.engine.gpu_memory_utilization * size * GIB - engine.least
    assert (
        room > 16 * config.engine.max_model_len * engine.kv_cache_a_token
    )  # sixteen, however long


@pytest.mark.parametrize(
    ("name", "ratio"), [("llama3.1-8b", 0.7), ("qwen2.5-7b", 0.8), ("r1-distill-qwen-1.5b", 0.8)]
)
def test_the_papers_recipes_have_the_papers_numbers(name, ratio, tmp_path):
    config = recipe(name, tmp_path)
    sampling, train, lora = config.sampling, config.train, config.train.lora
    assert (sampling.num_samples, sampling.max_tokens, sampling.method) == (32, 1024, "edt")
    assert (sampling.temperature, sampling.edt_base, sampling.edt_theta) == (0.8, 0.8, 1.0)
    assert (config.examples.total, config.examples.eta) == (100_000, 0.75)
    assert (config.examples.generation_ratio, config.examples.draw) == (ratio, "even")
    assert (train.learning_rate, train.batch_size, train.epochs) == (5e-5, 64, 1)
    assert (train.omega, train.beta) == (0.1, 0.25)
    assert (lora.r, lora.alpha, lora.dropout, lora.targets) == (32, 16, 0.05, ("q_proj", "v_proj"))
    assert (config.answering.method, config.answering.temperature) == ("fixed", 1.0)
    assert {entry.name for entry in config.data.train} == {
        "gsm8k", "svamp", "sciq", "commonsense_qa", "winogrande", "openbookqa", "reclor",
        "arc_easy", "logiqa",
    }  # fmt: skip
    assert {entry.name for entry in config.data.eval} == {
        "gsm8k", "svamp", "arc_easy", "arc_challenge", "object_counting", "math_qa",
    }  # fmt: skip


def test_memory_is_the_sum_of_what_is_kept(tmp_path):
    shape = Shape(64, 128, 2, 4, 2, 16, 1000)
    config = recipe(
        "quickstart", tmp_path, "train.micro_tokens=100", "train.max_length=90",
        "engine.max_num_seqs=10", "engine.max_num_batched_tokens=50", "sampling.max_tokens=20",
    )  # fmt: skip
    of = training_memory(config, shape)
    assert of.weights == 4 * shape.parameters
    assert of.adapter == 20 * shape.lora(32, ["q_proj", "v_proj"])
    assert of.logits == 3 * 4 * 100 * 1000
    assert of.activations == 100 * 2 * (16 * 64 + 4 * 2 * 6 * 16 + 4 * 3 * 128)
    longer = recipe("quickstart", tmp_path, "train.micro_tokens=100", "train.max_length=300")
    assert training_memory(longer, shape).logits == 3 * 4 * 300 * 1000
    engine = engine_memory(config, shape)
    assert engine.kv_cache_a_token == 2 * 2 * 2 * 16 * 4
    assert engine.sequences == engine.kv_cache_a_token * 10 * 20
    assert engine.least == 4 * shape.parameters + 16 * 10 * 1000 + 50 * (4 * 64 + 2 * 128) * 4


def test_what_one_card_took_is_near_what_is_estimated(tmp_path):
    """README.md, GPUs: 52 GiB with 1.5B parameters and 16,384 tokens, of which 70% had logits."""
    shape = Shape(1536, 8960, 28, 12, 2, 128, 151_936)
    more = ["train.micro_tokens=16384", "train.dtype=bfloat16"]
    total = training_memory(recipe("quickstart", tmp_path, *more), shape).total
    assert 52 * GIB < total < 1.4 * 52 * GIB


@pytest.mark.parametrize(
    ("few", "longest_prompt", "trained"),
    [
        (["examples.total=1000"], None, 160 * 512),  # each response twice, in the whole context
        (["examples.total=1000"], 30, 160 * (30 + 20 + 32)),
        (["examples.total=1000"], 500, 160 * 512),
        (["examples.total=100", "train.max_length=40"], None, 100 * 40),
        (["examples.total=100", "train.max_length=40"], 30, 100 * 40),  # longer rows are dropped
    ],
)
def test_tokens_are_bounds_by_what_each_stage_draws(tmp_path, few, longest_prompt, trained):
    """32 of the confidence turn, beside max_tokens; three training runs, and the base model."""
    config = recipe(
        "quickstart", tmp_path, "train.seeds=[1, 2]", "train.epochs=2", "sampling.num_samples=8",
        "sampling.max_tokens=20", "evaluate.num_samples=4", "evaluate.sampling.max_tokens=50", *few,
    )  # fmt: skip
    left = Left.of(config, [])
    most = tokens(config, left, queries=10, held_out=50, longest_prompt=longest_prompt)
    assert most.label == 10 * 8 * (20 + 32)
    assert most.train == 3 * 2 * trained
    assert most.evaluate == (3 + 1) * (50 + 2 * 16) * 4 * (50 + 32)  # 16 live ones by two policies
    own = vary(config, ["confidence.question='Ist es wahr?'", "evaluate.live_queries=0"])
    most = tokens(own, left, queries=10, held_out=50)
    assert (most.label, most.evaluate) == (10 * 8 * (20 + 32 + 12), 4 * 50 * 4 * (50 + 32 + 12))


def test_only_what_is_left_is_told(tmp_path):
    config = recipe("quickstart", tmp_path, "train.seeds=[1]")
    steps = planned(config)
    assert Left.of(config, steps) == Left(True, 2, 3) == Left.of(config, [])
    until = [one for one in steps if one.step.name in ("queries", "held_out", "label")]
    told = lines(config, until, Rates(100.0, 100.0))[-1]
    assert "label" in told
    assert "train" not in told
    assert "evaluate" not in told
    for one in steps:
        if "seed" not in one.step.name:
            (one.location / MANIFEST).write_json({"rows": 205, "metrics": {}})
    assert Left.of(config, planned(config)) == Left(False, 1, 1)
    for one in steps:
        (one.location / MANIFEST).write_json({"rows": 205, "metrics": {}})
    assert lines(config, planned(config), Rates(100.0))[-1] == "tokens: none, for no stage is left"


def test_training_takes_no_more_tokens_than_are_planned(tmp_path):
    """Of rows as long as they may be, prompts among them, which each row computes on its own."""
    config = recipe("quickstart", tmp_path, "sampling.num_samples=4", "sampling.max_tokens=20")
    row = {"task": "calibration", "response_ids": [1] * 20, "turn_ids": [2] * 21}
    rows = [
        row | {"example_id": f"{n}", "prompt_ids": [0] * prompt}
        for n, prompt in enumerate((60, 300, 471))
    ]
    place = Location.of(str(tmp_path / EXAMPLES_FILE))
    pq.write_table(pa.Table.from_pylist(rows, EXAMPLES), place.path)
    _, fitting, trained = count(place, config.train.max_length)
    assert (fitting, trained) == (3, 60 + 300 + 471 + 3 * 41)
    few = vary(config, ["examples.total=3"])
    for longest in (None, 471):
        assert trained <= tokens(few, Left(False, 1, 0), 1, 0, longest).train


def test_the_longest_prompt_is_that_of_the_queries_where_they_are_done(tmp_path):
    config = recipe("quickstart", tmp_path)
    told = lines(config, planned(config), Rates(100.0, 100.0))[-1]
    assert f"train {800 * 512:,}, {800 * 512 / 100 / 3600:.2g} h by 1 at 100/s, " in told
    steps = planned(config)
    place = steps[0].location / MANIFEST
    place.write_json({"rows": 205, "metrics": {"longest_prompt": {"train": 47}}})
    assert f"train {800 * (47 + 32 + 32):,}," in lines(config, planned(config), Rates())[-1]
    place.write_json({"rows": 205, "metrics": {}})  # one that an older version made
    assert f"train {800 * 512:,}," in lines(config, planned(config), Rates())[-1]


def test_hours_are_told_at_a_rate_and_rows_are_counted(tmp_path):
    config = recipe("quickstart", tmp_path)
    told = lines(config, planned(config), Rates())[-1]
    assert told.startswith("tokens, at most: label 209,920 (205 queries, but for prompts), train ")
    assert told.endswith(" (170 queries, but for prompts)")
    told = lines(config, planned(config), Rates(1000.0, 100.0))[-1]
    assert f"{209_920 / 1000 / 3600:.2g} h by 1 at 1,000/s" in told
    assert "h by 1 at 100/s" in told


def test_what_is_not_known_is_said_until_the_queries_are_there(tmp_path):
    config = recipe("quickstart", tmp_path, "data.train=[{name: gsm8k}]")
    told = lines(config, planned(config), Rates())[-1]
    assert told.startswith("tokens: not known, for gsm8k (train, 0) has no limit")
    steps = planned(config)
    (steps[0].location / MANIFEST).write_json({"rows": 7473})
    assert "(7,473 queries, but for prompts)" in lines(config, planned(config), Rates())[-1]
    told = lines(recipe("quickstart", tmp_path, "model.source=a/b"), steps, Rates())[0]
    assert told.startswith("memory: not known, for the config.json of a/b is not on this machine")


@pytest.mark.parametrize("option", ["--tokens-per-second", "--train-tokens-per-second"])
@pytest.mark.parametrize("rate", ["0", "-5", "nan", "inf", "1e-320"])
def test_a_rate_at_which_no_hours_are_is_refused(tmp_path, capsys, option, rate):
    from jobs import run

    arguments = ["--config", str(CONFIGS / "quickstart.yaml"), "--set", f"root={tmp_path}"]
    assert run.main([*arguments, "--plan", option, rate]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: {option}: must be a number of tokens above 0, not ")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("option", ["--tokens-per-second", "--train-tokens-per-second"])
def test_a_rate_without_a_plan_is_refused(tmp_path, capsys, option):
    from jobs import run

    arguments = ["--config", str(CONFIGS / "quickstart.yaml"), "--set", f"root={tmp_path}"]
    assert run.main([*arguments, option, "100"]) == 2
    assert capsys.readouterr().err == f"error: {option}: it is for --plan; name both or neither\n"
    assert not list(tmp_path.iterdir())


@pytest.fixture
def no_credentials(monkeypatch):
    """For S3, whatever this machine and other tests have."""
    for key in set(os.environ) - set(plain_environment()):
        monkeypatch.delenv(key)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    S3FileSystem.clear_instance_cache()  # s3fs keeps what it opened
    yield
    S3FileSystem.clear_instance_cache()


@pytest.mark.usefixtures("no_credentials")
@pytest.mark.parametrize("name", ["llama3.1-8b", "qwen2.5-7b", "r1-distill-qwen-1.5b", "cluster"])
def test_a_recipe_is_estimated_where_its_bucket_cannot_be_read(name, capsys):
    """As shipped: the bucket that it names is nobody's."""
    from jobs import run

    assert run.main(["--config", str(CONFIGS / f"{name}.yaml"), "--plan"]) == 0
    steps, *told = capsys.readouterr().out.splitlines()
    assert steps.startswith("steps: not known, for s3://my-bucket/")
    assert "there are no AWS credentials" in steps
    assert told[0].startswith("memory, an estimate for ")
    assert told[-1].startswith("tokens")


def test_the_estimate_is_what_the_plan_prints(tmp_path, capsys):
    from jobs import run

    file = str(CONFIGS / "qwen2.5-0.5b.yaml")
    arguments = ["--config", file, "--set", f"root={tmp_path}", "--plan"]
    assert run.main([*arguments, "--tokens-per-second", "1000"]) == 0
    out = capsys.readouterr().out.splitlines()
    config = recipe("qwen2.5-0.5b", tmp_path)
    assert out[8:] == estimate.lines(config, planned(config), Rates(1000.0))
