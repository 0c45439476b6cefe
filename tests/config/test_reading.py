"""Configs as people bring them: each is read, or refused in one line that names the key."""

from itertools import count

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from own_files import BASE, is_refused, problem

from pipelines.config import load

TEXT = yaml.safe_dump(BASE)

# (the config's text, or what --set changes in a good one; the line told, or None)
CONFIGS = [
    ("\ufeff" + TEXT, None),
    (TEXT.replace("\n", "\r\n"), None),
    (TEXT + "sampling: &it {num_samples: 4}\nevaluate: *it\n", None),
    (TEXT + "train: {learning_rate: 5e-5, weight_decay: 1}\n", None),
    (TEXT + "train: {learning_rate: 1}\nconfidence: {kind: yes}\n", None),
    ("", r"config\.yaml: expected keys and values"),
    ("- root\n", r"config\.yaml: expected keys and values"),
    ("just text", r"config\.yaml: expected keys and values"),
    ("2024-01-01", "expected keys and values"),
    ("root: [unclosed", r"config\.yaml: not YAML"),
    ("root: a\n\tmodel: b\n", r"config\.yaml, line 2: not YAML \(found character '\\t'"),
    (TEXT + "seed: 1\nseed: 2\n", r"config\.yaml, line \d+: not YAML \(key 'seed' is there twice"),
    (TEXT + "engine: {count: 1, count: 2}\n", "key 'count' is there twice"),
    (TEXT + "---\nseed: 1\n", "another document"),
    (TEXT + "seed: *nothing\n", "undefined alias"),
    (TEXT + "seed: !!python/object/apply:os.getpid []\n", "not YAML"),
    (TEXT + "seed: !!bool maybe\n", "not YAML"),
    (TEXT + "seed: " + "1" * 5_000, "not YAML .a number is too long"),
    ("[" * 600, "nested too deeply"),
    (TEXT + "evaluate: &a {policies: [*a]}\n", "config: evaluate.policies.0: .*valid string, not"),
    (b"root: caf\xe9\n", r"config\.yaml, line 1: not UTF-8 \(byte 0xe9\)"),
    ("root: a\0b\n", "not YAML"),
    (TEXT + "1: 2\n", "config: 1: a key is a text"),
    (TEXT + "engine:\n", "config: engine: expected keys and values, not null"),
    (TEXT.replace("root: root", "root: 2024"), "config: root: .*valid string, not 2024"),
    (TEXT.replace("root: root", 'root: ""'), "config: root: expected some text"),
    (TEXT.replace("root: root", 'root: "a\\0b"'), "config: root: expected text without NUL"),
    (TEXT.replace("root: root", 'root: "\\ud800"'), "config: root: .* without lone surrogates"),
    (["sampling.num_samples=true"], "config: sampling.num_samples: .*valid integer, not true"),
    (["sampling.num_samples='32'"], "config: sampling.num_samples: .*valid integer, not '32'"),
    (["sampling.num_samples=32.0"], "config: sampling.num_samples: .*valid integer, not 32.0"),
    (["sampling.num_samples=1e400"], "config: sampling.num_samples: .*valid integer, not inf"),
    (["sampling.num_samples=99999999999"], "config: sampling.num_samples: .*less than or equal"),
    (["sampling.num_samples=0x10"], None),
    (["sampling.num_samples=010"], None),
    (["sampling.num_samples=1:30"], "config: sampling.num_samples: .*not '1:30'"),
    (["sampling.num_samples=[1]"], r"config: sampling.num_samples: .*valid integer, not a list"),
    (["sampling.temperature=.inf"], "config: sampling.temperature: .*finite number, not inf"),
    (["sampling.temperature=1e400"], "config: sampling.temperature: .*finite number, not inf"),
    (["sampling.temperature=.nan"], "config: sampling.temperature: .*finite number, not nan"),
    (["sampling.temperature=true"], "config: sampling.temperature: .*valid number, not true"),
    (["sampling.temperature='1'"], "config: sampling.temperature: .*valid number, not '1'"),
    (["sampling.temperature=1"], None),
    (["train.learning_rate=5e-5"], None),
    (["train.learning_rate=.inf"], "config: train.learning_rate: .*finite number"),
    (["train.weight_decay=.inf"], "config: train.weight_decay: .*finite number"),
    (["train.zero_stage=true"], "config: train.zero_stage: .*valid integer, not true"),
    (["train.lora.targets=q_proj"], "config: train.lora.targets: expected a list, not 'q_proj'"),
    (["train.lora.targets=[1]"], r"config: train.lora.targets.0: .*valid string, not 1"),
    (["train.lora.targets=[['" + "x" * 9_999 + "']]"], "config: train.lora.targets.0: .{,200}\n"),
    (["train.lora.targets=[]"], "config: train.lora.targets: expected one or more\n"),
    (["train.lora.targets=[v_proj, v_proj]"], "config: train.lora.targets: 'v_proj' is there twic"),
    (["evaluate.policies=[esx]"], "config: evaluate.policies: 'esx' is no policy; did you mean"),
    (["evaluate.policies=[esc, esc]"], "config: evaluate.policies: 'esc' is there twice\n"),
    (["evaluate.policies=[]"], "config: evaluate.policies: expected one or more\n"),
    (["evaluate.windows=[0]"], "config: evaluate.windows.0: .* or equal to 1, not 0\n"),
    (["evaluate.windows=[0, 0]"], r"config: evaluate.windows.0: .* not 0 \(and 1 more\)\n"),
    (["evaluate.thresholds=[0.5, 0.5]"], "config: evaluate.thresholds: 0.5 is there twice\n"),
    (["data.train=[]"], "config: data.train: expected one or more\n"),
    (["model.template={messages: []}"], "config: model.template: messages: a rendering sets this"),
    (["model.template={a: .nan}"], "config: model.template.a: .*finite number, not nan"),
    (["model.template={a: [{b: .inf}]}"], "config: model.template.a.0.b: .*finite number, not inf"),
    (["model.template={1: 2}"], "config: model.template.1: a key is a text"),
    ([".=1"], r"error: --set: expected dotted\.key=value\n"),
    (["=1"], r"error: --set: expected dotted\.key=value\n"),
    (["seed.=1"], r"error: --set: expected dotted\.key=value\n"),
    (["evaluate..windows=1"], r"error: --set: expected dotted\.key=value\n"),
    (["http://me:pass@host/x?y=1"], r"error: --set: expected dotted\.key=value\n"),
    (["seed=" + "9" * 5_000], "error: --set seed: its value is not YAML; put a text in quotes\n"),
    (["x" * 5_000 + "=1"], r"error: config: x{80}\.\.\. is not a key"),
    (["root=[http://me:pass@host]"], "config: root: Input should be a valid string, not a list\n"),
    (["tracking.mlflow=\"http://me:pass@host\\0\""], "tracking.mlflow: .* NUL characters\n"),
    (["engine.count=http://me:pass@host"], "config: engine.count: .*valid integer, not a text\n"),
    (["tracking=http://me:pass@host"], "config: tracking: expected keys and values, not a text\n"),
    (["tracking.mlflow=*pass"], "error: --set tracking.mlflow: its value is not YAML"),
    (["engine.enforce_eager=yes"], "config: engine.enforce_eager: .*valid boolean, not 'yes'"),
    (["engine.enforce_eager=1"], "config: engine.enforce_eager: .*valid boolean, not 1"),
    (["engine.gpus=.nan"], "config: engine.gpus: .*finite number"),
    (["evaluate.thresholds=[.nan]"], "config: evaluate.thresholds.0: .*finite number"),
    (["evaluate.thresholds=0.5"], "config: evaluate.thresholds: expected a list, not 0.5"),
    (["evaluate.windows=[true]"], "config: evaluate.windows.0: .*valid integer, not true"),
    (["seed=-1"], "config: seed: .*greater than or equal to 0, not -1"),
    (["seed=9223372036854775807"], None),
    (["seed=9223372036854775808"], "config: seed: .*less than 9223372036854775808"),
    (["seed=true"], "config: seed: .*valid integer, not true"),
    (["seed=null"], "config: seed: .*valid integer, not null"),
    (["seed=[1"], "error: --set seed: its value is not YAML; put a text in quotes\n"),
    (["seed.x=1"], "config: seed: .*valid integer, not keys and values"),
    (["data.train.²=1"], "--set data.train.²: ² is no index into 1 entries"),
    (["data.train=capitals"], "config: data.train: expected a list, not 'capitals'"),
    (["data.train=[capitals]"], "config: data.train.0: expected keys and values, not 'capitals'"),
    (["data.train.0.limit=true"], "config: data.train.0.limit: .*valid integer, not true"),
    (["data.train.0.limit=0"], "config: data.train.0.limit: .*greater than or equal to 1"),
    (["data.train.0.label=in_domain"], "config: data.train.0: label: in_domain is for the results"),
    (["serve.scaling.kind=list"], "expected 'number', 'option', 'text', 'math' or 'none', not"),
    (["serve.scaling.schedule=3"], "expected 'sequential', 'waves', 'all' or a list, not 3\n"),
    (["serve.scaling.schedule=[2, 0]"], "config: serve.scaling.schedule.1: .*greater than or"),
    (["seed=x", "serve.scaling.schedule=[2, 0]"], r"config: seed: .* \(and 1 more\)\n"),
    (["serve.scaling={kind: 3, schedule: fast}"], r"config: serve.*, not .* \(and 1 more\)\n"),
    (["serve.scaling.schedule=[]"], "config: serve.scaling.schedule: expected one or more\n"),
    (["data.train.0.choices=c"], "config: data.train.0: choices are of kind: option"),
    (["data.train=[{name: jsonl, path: a}, {name: jsonl, path: b}]"],
     "config: data: a and b would be listed as one data set, jsonl; give each a label"),
    (["data={train: [{name: jsonl, path: a}], eval: [{name: jsonl, path: b}]}"],
     "config: data: a and b would be listed as one data set, jsonl; give each a label"),
    (["data.train=[{name: jsonl, path: /dev/zero}]"], "/dev/zero: not a file"),
    (["data.train=[{name: jsonl, path: .}]"], r"data\.train\.0: \.: no file of this folder ends"),
    (["data.train=[{name: jsonl, path: none.csv}]"], r"none\.csv: there is no such file"),
    (["data.train=[{name: jsonl, path: config.yaml/x}]"], "there is no such file"),
    (["data.train=[{name: jsonl, path: " + "x" * 300 + "}]"], "it cannot be read .File name too"),
    (["data.train=[{name: jsonl, path: 'nope://x'}]"], "nope://x: not a path or URI"),
    (["data.train=[{name: jsonl, path: '~no.such.user/x'}]"], "there is no such user's home"),
    (["model.source=~no.such.user/x"], "config: model.source: ~no.such.user/x: there is no such"),
    (["root=$HOME/x"], r"config: root: \$HOME would stay as it is written"),
    (["model.source=a/${oc.env:NAME}"], r"config: model.source: \$\{oc.env:NAME\} would stay"),
    (["data.train=[{name: jsonl, path: $DATA}]"], r"config: data.train.0.path: \$DATA would"),
    (["tracking.mlflow=${MLFLOW}"], r"config: tracking.mlflow: \$\{MLFLOW\} would stay"),
    (["train.gpus=0.5"], r"config: train.gpus \(0.5\): a worker trains on one GPU of its own"),
    (["train.gpus=2"], r"config: train.gpus \(2\): a worker trains on one GPU"),
    (["examples.bin_width=1e-13"], "config: examples.bin_width: .* or equal to 0.001, not 1e-13"),
    (["engine.adapter=lora", "train.lora.r=513"], r"config: train.lora.r \(513\): with engine.ada"),
    (["lora={r: 8}"], r"config: lora is not a key; did you mean train.lora\?\n"),
    (["train.num_samples=4"], "did you mean sampling.num_samples or evaluate.num_samples?"),
    ("rot: a\nmodel: {source: b}\n", r"config: rot is not a key; did you mean root\? \(and 2"),
    (TEXT.replace("source:", "sorce:"), r"config: model.sorce is not a key; did you mean source\?"),
    (TEXT.replace("train:", "trian:"), r"config: data.trian is not a key; did you mean train\?"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "line"), CONFIGS, ids=count())
def test_a_config_is_read_or_refused(told, config, line):
    outcome = told(BASE, *config) if isinstance(config, list) else told(config)
    if line is None:
        assert outcome[:2] == (0, "")
    else:
        is_refused(outcome, line)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 200), st.text(st.characters(codec="utf-8"), max_size=8))
def test_a_config_with_a_hole_is_read_or_refused(tmp_path, at, other):
    (tmp_path / "c.yaml").write_text(TEXT[:at] + other + TEXT[at + len(other) :], "utf-8")
    problem(lambda: load(str(tmp_path / "c.yaml")))
