"""Bad configs are one clear line that names the key."""

import re
from datetime import date
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from pipelines.config import Config, DatasetConfig, load
from pipelines.method.policies import POLICIES
from pipelines.method.template import PLAIN, Chat
from pipelines.method.token_confidences import SOURCES

README = Path(__file__).parents[2] / "jobs/configs/README.md"

GOOD = {
    "root": "runs",
    "model": {"source": "builtin:smollm2-135m"},
    "data": {"train": [{"name": "capitals"}], "eval": [{"name": "capitals", "split": "test"}]},
}


@pytest.fixture
def write(tmp_path):
    def write(value, text=None):
        file = tmp_path / "config.yaml"
        file.write_text(text if text is not None else yaml.safe_dump(value))
        return str(file)

    return write


def problem(file, *overrides):
    with pytest.raises(ValueError, match=r".") as caught:
        load(file, list(overrides))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_defaults_are_the_papers(write):
    config = load(write(GOOD))
    assert (config.sampling.num_samples, config.sampling.max_tokens) == (32, 1024)
    assert (config.sampling.temperature, config.sampling.edt_base) == (0.8, 0.8)
    assert (config.train.learning_rate, config.train.batch_size, config.train.epochs) == (
        5e-5,
        64,
        1,
    )
    assert (config.train.omega, config.train.beta, config.examples.eta) == (0.1, 0.25, 0.75)
    lora = config.train.lora
    assert (lora.r, lora.alpha, lora.dropout, lora.targets) == (32, 16, 0.05, ("q_proj", "v_proj"))
    assert (config.examples.total, config.examples.generation_ratio) == (100_000, 0.7)


def test_overrides_are_yaml(write):
    overrides = ["sampling.num_samples=4", "train.lora.targets=[q_proj]", "data.eval.0.limit=7"]
    config = load(write(GOOD), overrides)
    assert config.sampling.num_samples == 4
    assert config.train.lora.targets == ("q_proj",)
    assert config.data.eval[0].limit == 7


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("sampling.num_sample=4", "config: sampling.num_sample is not a key; did you mean num_s"),
        ("samplng.num_samples=4", "config: samplng is not a key; did you mean sampling?"),
        ("train.lora.rank=4", "train.lora.rank is not a key; valid: r, alpha, dropout, targets"),
        ("sampling.num_samples=0", "sampling.num_samples: Input should be greater than or equal"),
        ("sampling.num_samples=many", "sampling.num_samples: Input should be a valid integer"),
        ("confidence.kind=no", "confidence.kind: "),
        ("evaluate.policies=[ascc]", "'ascc' is no policy; did you mean asc?"),
        ("evaluate.confidences=[tail_entrpy]", "no such source; did you mean tail_entropy?"),
        ("evaluate.confidences=[lowest_group, lowest_group]", "'lowest_group' is there twice"),
        ("sampling.max_tokens=5000", "config: sampling.max_tokens (5000) leaves no room for a pro"),
        ("evaluate.sampling.max_tokens=5000", "config: evaluate.sampling.max_tokens (5000) leaves"),
        ("evaluate.sampling.num_samples=8", "evaluate.sampling.num_samples is not a key"),
        ("train.seeds=[1, 1]", "train.seeds: 1 is there twice"),
        ("train.seeds=[0]", "train.seeds: 0 is `seed`, the first training run's"),
        ("seed=-1", "seed: Input should be greater than or equal to 0"),
        ("seed=18446744073709551616", "seed: Input should be less than 9223372036854775808"),
        ("engine={count: 4, max_count: 2}", "engine.max_count (2) is less than what it grows from"),
        ("serve.adapters={x: a}", "serve.adapters: needs engine.adapter: lora"),
        ("engine.gpus=1.5", "engine.gpus (1.5) is neither a share of one GPU nor whole ones"),
        ("engine={gpus: 0.5, tensor_parallel_size: 2}", "each part has a GPU of its own"),
        ("train={workers: 4, max_workers: 2}", "train.max_workers (2) is less than what it grows"),
        ("train.max_workers=65", "train.batch_size (64) has no row for each of 65 workers"),
        ("train.zero_stage=4", "train.zero_stage: Input should be less than or equal to 3"),
        ("data.train=[]", "data.train: "),
        ("data.eval.0.splt=test", "data.eval.0.splt is not a key; did you mean split?"),
        ("data.eval.5.limit=1", "--set data.eval.5.limit: 5 is no index into 1 entries"),
        ("data.eval.x.limit=1", "--set data.eval.x.limit: x is no index into 1 entries"),
        ("root.x=1", "--set root.x: above x stands a value, not keys"),
        ("model.source=", "model.source: "),
        ("model.date=today", "model.date: Input should be a valid date"),
        ("model.date=5", "model.date: Input should be a valid date"),
        ("model.date='5'", "model.date: Input should be a valid date"),
        ("model.date=1785000000", "model.date: Input should be a valid date"),
        ("model.date=true", "model.date: Input should be a valid date"),
        ("model.template=[1]", "model.template: Input should be a valid dictionary"),
        ("model.template.tokenize=true", "config: model.template: tokenize: a rendering sets this"),
        ("root", "expected dotted.key=value"),
    ],
)
def test_one_line_that_names_the_key(write, override, says):
    assert says in problem(write(GOOD), override)


def test_a_policy_by_the_confidences_of_tokens(write):
    """Named with its source; it has responses recorded with them, and wants calibration queries."""
    by_tokens = "evaluate.policies=[asc, early_stopping@mean_logprob]"
    said = problem(write(GOOD), by_tokens)
    assert "evaluate.policies: early_stopping@mean_logprob needs data.calibration" in said
    calibration = "data.calibration=[{name: capitals, split: calibration}]"
    assert load(write(GOOD), [by_tokens, calibration]).evaluate.records_tokens
    assert load(write(GOOD), ["evaluate.confidences=[tail_entropy]"]).evaluate.records_tokens
    assert not load(write(GOOD)).evaluate.records_tokens
    for wrong in ("asc@mean_logprob", "early_stopping@warmth", "early_stopping@", "cisc@p_true"):
        said = problem(write(GOOD), f"evaluate.policies=['{wrong}']")
        assert f"'{wrong}' is no policy; did you mean " in said
    served = "serve.scaling.policy=asc_conf@mean_logprob"
    said = problem(write(GOOD), served)
    assert "serve.scaling.policy: asc_conf@mean_logprob wants evaluate.policies to name" in said
    assert load(write(GOOD), [by_tokens, calibration, served]).serve.scaling.policy
    kind = "confidence.kind=yes_top20"
    said = problem(write(GOOD), "evaluate.confidences=[tail_entropy]", kind)
    assert "confidence.kind: yes_top20 goes without the confidences of tokens" in said
    assert load(write(GOOD), [kind]).confidence.kind == "yes_top20"


def test_answers_are_drawn_as_the_paper_evaluates_unless_a_config_says_otherwise(write):
    """Evaluation and the service, at plain T = 1.0; what is trained on is drawn by EDT."""
    answering = load(write(GOOD), ["sampling.max_tokens=77"]).answering
    assert (answering.method, answering.temperature, answering.max_tokens) == ("fixed", 1.0, 77)
    given = ["evaluate.sampling={method: edt, temperature: 0.8, max_tokens: 9, edt_theta: 0.5}"]
    answering = load(write(GOOD), given).answering
    assert (answering.method, answering.temperature, answering.max_tokens) == ("edt", 0.8, 9)
    assert answering.edt_theta == 0.5
    assert load(write(GOOD), given).sampling == load(write(GOOD)).sampling


def test_files_of_one_set_share_a_label(write):
    entries = [{"name": "jsonl", "path": f"{one}.jsonl", "label": "mine"} for one in "ab"]
    data = load(write(GOOD | {"data": {"train": entries[:1], "eval": entries[1:]}})).data
    assert data.train[0].title == data.eval[0].title == "mine"
    same = {"name": "jsonl", "path": "a.jsonl"}
    assert load(write(GOOD | {"data": {"train": [same]}})).data.train[0].title == "jsonl"


def test_missing_keys_and_files(write, tmp_path):
    assert "root is missing" in problem(write({k: GOOD[k] for k in ("model", "data")}))
    assert "there is no file" in problem(str(tmp_path / "nowhere.yaml"))


def test_what_a_chat_has_beside_questions(write):
    given = ["template.enable_thinking=false", "system=Be brief.", "date=2031-01-02"]
    chat = load(write(GOOD), [f"model.{one}" for one in given]).model.chat
    assert chat == Chat({"enable_thinking": False}, "Be brief.", date(2031, 1, 2))
    assert load(write(GOOD)).model.chat == PLAIN
    assert load(write(GOOD), ["model.date='2031-01-02'"]).model.date == date(2031, 1, 2)
    dumped = load(write(GOOD), ["model.date=2031-01-02"]).model_dump(mode="json")
    assert Config.model_validate(dumped).model.date == date(2031, 1, 2)


def test_a_config_is_frozen(write):
    config = load(write(GOOD))
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3


def keys_and_defaults(model=Config, prefix=""):
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys_and_defaults(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


@pytest.mark.parametrize(
    ("key", "field"), [*keys_and_defaults(), *keys_and_defaults(DatasetConfig)]
)
def test_the_readme_names_every_key_and_its_default(key, field):
    (line,) = re.findall(rf"^\| `{re.escape(key)}` \| (.*?) \|", README.read_text(), re.MULTILINE)
    if field.is_required():
        assert line == ""
        return
    default = field.default
    given = yaml.safe_load(line) if line != "none" else None
    assert given == (list(default) if isinstance(default, tuple) else default) or line == default


@pytest.mark.parametrize(
    ("key", "known"), [("evaluate.policies", POLICIES), ("evaluate.confidences", SOURCES)]
)
def test_the_readme_names_all_that_may_be_listed(key, known):
    (line,) = re.findall(rf"^\| `{re.escape(key)}` \| .*$", README.read_text(), re.MULTILINE)
    assert set(known) <= set(re.findall(r"\w+", line))
