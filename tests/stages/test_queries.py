"""Data sets into queries: splits, ids, one's own files, and what is said of bad ones."""

import json
import shutil
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from processes import ROOT
from tokenizing import byte_level, template, write

from pipelines.config import Config
from pipelines.datasets.entries import query_id
from pipelines.datasets.found import Found
from pipelines.datasets.published import SETS
from pipelines.method.answers import canonical, is_correct
from pipelines.method.prompts import Prompts
from pipelines.running.dag import canonical_json
from pipelines.stages import queries
from pipelines.storage.location import Location
from pipelines.storage.schemas import QUERIES

DATA = ROOT / "tests" / "data"
BUILT_IN = ("capitals", "arithmetic", "elements")


def config(train, evals=(), calibration=(), **more):
    return Config.model_validate(
        {
            "root": "r",
            "model": {"source": "builtin:smollm2-135m"},
            "data": {
                "train": list(train),
                "eval": list(evals),
                "calibration": list(calibration),
            },
            **more,
        }
    )


def rows(*entries):
    return list(queries.read(config(entries)))


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_splits_share_no_question(name):
    splits = [
        {row["question"] for row in rows({"name": name, "split": split})}
        for split in ("train", "calibration", "test")
    ]
    assert all(splits)
    assert len(set.union(*splits)) == sum(map(len, splits))


def test_a_sum_is_in_one_split_whichever_way_it_is_written():
    places = {}
    for split in ("train", "calibration", "test"):
        for row in rows({"name": "arithmetic", "split": split}):
            a, operation, b = row["question"].removeprefix("What is ").partition("?")[0].split()
            operands = frozenset((a, b)) if operation in "+*" else (a, b)
            places.setdefault((operation, operands), []).append(split)
    assert len(places) > 4_500
    assert max(len(each) for each in places.values()) == 1


@pytest.mark.parametrize("name", BUILT_IN)
def test_references_are_right_by_their_own_rules(name):
    for row in rows({"name": name, "split": "train"}):
        for spelling in row["reference"].split("|"):
            answer = canonical(spelling, row["kind"])
            assert is_correct(answer, row["reference"], row["kind"]), row


def test_arithmetic_is_right():
    for row in rows({"name": "arithmetic", "split": "train"}):
        expression = row["question"].removeprefix("What is ").partition("?")[0]
        a, operation, b = expression.split()
        assert operation in "+-*/"
        assert int(row["reference"]) == eval(f"{int(a)} {operation} {int(b)}")


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_limit_of_a_built_in_set_draws_from_the_whole_split_by_seed(name):
    whole, once, again, other = (
        [row["question"] for row in queries.read(config([{"name": name, **more}], seed=seed))]
        for more, seed in (({}, 0), ({"limit": 20}, 0), ({"limit": 20}, 0), ({"limit": 20}, 1))
    )
    assert once == again
    assert set(once) != set(other)
    assert set(once) | set(other) <= set(whole)


def test_limits_keep_the_head_and_the_mixture():
    few = rows({"name": "arithmetic", "limit": 30})
    more = rows({"name": "arithmetic", "limit": 60})
    assert [row["query_id"] for row in more[:30]] == [row["query_id"] for row in few]
    operations = {row["question"].split()[3] for row in few}
    assert operations == {"+", "-", "*", "/"}


def test_ids_are_unique_and_depend_on_the_question_alone():
    everything = rows({"name": "capitals"}, {"name": "arithmetic", "limit": 50})
    ids = [row["query_id"] for row in everything]
    assert len(set(ids)) == len(ids)
    alone = rows({"name": "arithmetic", "limit": 50})
    assert {row["query_id"] for row in alone} <= set(ids)


def test_published_sets_in_their_publishers_fields():
    gsm8k = rows({"name": "gsm8k", "path": str(DATA / "gsm8k.jsonl")})
    assert gsm8k[0]["reference"] == "72"
    assert gsm8k[0]["question"].startswith("Natalia sold clips to 48 of her friends")
    svamp = rows({"name": "svamp", "path": str(DATA / "svamp.jsonl")})
    assert svamp[0]["question"].startswith(
        "Each pack of dvds costs 76 dollars. If there is a discount of 25 dollars on each pack. How"
    )
    assert is_correct("51", svamp[0]["reference"], "number")
    counting = rows({"name": "object_counting", "path": str(DATA / "object_counting.jsonl")})
    assert counting[0]["reference"] == "8"


def test_ones_own_file(tmp_path):
    lines = [{"q": "Best letter?", "a": "A"}, {"q": "On two\u2028lines?", "a": "B"}]
    own = {"name": "jsonl", "question": "q", "answer": "a", "kind": "option", "label": "mine"}
    text = tmp_path / "own.jsonl"
    text.write_text("\r\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines))
    table = tmp_path / "own.parquet"
    pq.write_table(pa.Table.from_pylist(lines), table)
    for path in (str(text), f"file://{text}", str(table)):
        found = rows({**own, "path": path})
        assert [(row["question"], row["reference"]) for row in found] == [
            ("Best letter?", "A"),
            ("On two\u2028lines?", "B"),
        ]
        assert {row["dataset"] for row in found} == {"mine"}


def test_a_limit_draws_from_the_whole_file_by_seed(tmp_path):
    file = tmp_path / "own.jsonl"
    file.write_text("\n".join(json.dumps({"question": f"q{i}", "answer": "x"}) for i in range(50)))
    entry = {"name": "jsonl", "path": str(file), "limit": 10}
    first = [row["question"] for row in rows(entry)]
    assert first == [row["question"] for row in rows(entry)]
    assert first != [f"q{i}" for i in range(10)]
    other = queries.read(config([entry], seed=1))
    assert first != [row["question"] for row in other]


@pytest.mark.parametrize(
    ("entry", "text", "says"),
    [
        ({"name": "capitls"}, None, "data.train.0.name: 'capitls' is none of capitals"),
        ({"name": "capitals", "split": "dev"}, None, "capitals: split 'dev' is none of"),
        ({"name": "jsonl"}, None, "data.train.0.path is missing"),
        ({"name": "jsonl", "path": "nowhere.jsonl"}, None, "nowhere.jsonl: there is no such file"),
        ({}, "", "it has no rows"),
        ({}, '{"question": "q"}', "row 1: there is no field 'answer' (fields: question)"),
        ({"question": "ask"}, '{"question": "q", "answer": 1}', "row 1: there is no field 'ask'"),
        ({}, '{"question": "q", "answer": "a"}\n{broken', "row 2: not JSON"),
        ({}, '["q", "a"]', "row 1: expected an object"),
        ({"kind": "number"}, '{"question": "q", "answer": "soon"}', "row 1: answer 'soon' is not"),
        (
            {"kind": "math"},
            '{"question": "q", "answer": "{1"}',
            "row 1: answer '{1' is not of kind math",
        ),
        ({}, '{"question": "q", "answer": "a"}\n' * 2, "question 'q' is there twice"),
    ],
)
def test_bad_data_is_one_line(tmp_path, entry, text, says):
    if text is not None:
        file = tmp_path / "own.jsonl"
        file.write_text(text)
        entry = {"name": "jsonl", "path": str(file), **entry}
    with pytest.raises(ValueError, match=r".") as caught:
        rows(entry)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_question_has_one_role():
    with pytest.raises(ValueError, match=r"data.eval.0 \(capitals, train\).*there twice"):
        list(queries.read(config([{"name": "capitals"}], [{"name": "capitals", "split": "train"}])))


def test_the_artifact(tmp_path, smollm):
    made = config(
        [{"name": "capitals", "limit": 3}], [{"name": "elements", "split": "test", "limit": 2}]
    )
    result = queries.run(made, {}, Location.of(str(tmp_path)), queries.ROLES)
    assert result.rows == 5
    train = pq.read_table(tmp_path / "train.parquet")
    assert train.schema.equals(QUERIES)
    assert set(train["role"].to_pylist()) == {"train"}
    assert pq.read_table(tmp_path / "calibration.parquet").num_rows == 0
    prompts = Prompts.load(smollm)
    for row in train.to_pylist():
        assert row["prompt_ids"] == prompts.sampling_ids(row["question"])
        assert row["question"] in row["prompt"]


@pytest.mark.parametrize(
    ("name", "changed", "has"),
    [
        ("switch_open", {"template": {"enable_thinking": False}}, "<think></think>"),
        ("dated", {"system": "Be brief."}, "Be brief."),
        ("dated", {"date": "2031-01-02"}, "02 Jan 2031"),
    ],
)
def test_what_prompts_are_rendered_with_is_a_part_of_them(tmp_path, name, changed, has):
    """Prompts rendered otherwise are other queries; today's date is in none."""
    made = byte_level(special=("<|im_start|>", "<|im_end|>"))
    source = write(tmp_path, made, template(name))
    (source / "model.safetensors").touch()
    plain, other = (
        config([{"name": "capitals", "limit": 1}], model={"source": str(source), **more})
        for more in ({}, changed)
    )
    assert queries.spec(plain, queries.ROLES) != queries.spec(other, queries.ROLES)
    canonical_json(queries.spec(other, queries.ROLES))
    prompts = []
    for made in (plain, other):
        queries.run(made, {}, Location.of(str(tmp_path)), ("train",))
        (row,) = pq.read_table(tmp_path / "train.parquet").to_pylist()
        prompts.append(row["prompt"])
    assert ("Today is 26 Jul 2024." in prompts[0]) == (name == "dated")
    assert [has in one for one in prompts] == [False, True]


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "config.json"]
)
def test_a_models_files_that_are_edited_in_place_make_other_queries(tmp_path, name):
    source = write(tmp_path, byte_level(), template("mentions"))
    made = config([{"name": "capitals"}], model={"source": str(source)})
    before = queries.spec(made, ("train",))
    assert queries.spec(made, ("train",)) == before
    (source / name).write_text((source / name).read_text() + " ")
    assert queries.spec(made, ("train",)) != before
    canonical_json(before)
    builtin = queries.spec(config([{"name": "capitals"}]), ("train",))
    assert builtin["model_files"] is None, "known by its name, wherever it lies"


def test_data_that_are_edited_in_place_make_other_queries(tmp_path, monkeypatch):
    """At their own path or copied to another machine's, a file's bytes are what counts."""
    monkeypatch.chdir(tmp_path)
    made = config([{"name": "jsonl", "path": "rows"}])
    (tmp_path / "rows").mkdir()
    for number in range(2):
        (tmp_path / "rows" / f"{number}.jsonl").write_text('{"question": "q", "answer": "a"}\n')
    before = queries.spec(made, ("train",))
    (tmp_path / "rows" / "1.jsonl").touch()
    assert queries.spec(made, ("train",)) == before
    (tmp_path / "rows" / "1.jsonl").write_text('{"question": "q", "answer": "b"}\n')
    assert queries.spec(made, ("train",)) != before
    canonical_json(before)
    with pytest.raises(ValueError, match=r"^data.train.0: nowhere.jsonl: there is no such file"):
        queries.spec(config([{"name": "jsonl", "path": "nowhere.jsonl"}]), ("train",))


def test_another_revision_or_prompt_of_a_published_set_makes_other_queries(monkeypatch):
    made = config([{"name": "gsm8k"}], [{"name": "capitals"}])
    specs = [queries.spec(made, ("train",))]
    for changed in ({"revision": "main"}, {"kind": "math"}, {"files": {"train": "other"}}):
        monkeypatch.setitem(SETS, "gsm8k", replace(SETS["gsm8k"], **changed))
        specs.append(queries.spec(made, ("train",)))
    assert len({canonical_json(one) for one in specs}) == 4
    assert queries.spec(made, ("eval",))["data"]["eval"][0].keys() == {
        "name", "split", "limit", "path", "question", "answer", "choices", "kind", "label",
    }  # fmt: skip


def test_what_is_left_out_and_shared_is_told_in_lines_and_in_the_manifest(tmp_path, smollm, capsys):
    file = tmp_path / "rows.jsonl"
    solved = [{"question": f"What is {n} + 4?", "answer": f"#### {n + 4}"} for n in range(30)]
    again = [{"question": "what is 4 + 5", "answer": "9"}, {"question": "Bad?", "answer": "soon"}]
    file.write_text("\n".join(map(json.dumps, solved)))
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, [*again, again[0]])))
    gsm8k = {"name": "gsm8k", "path": str(file), "limit": 25}
    made = config([gsm8k], [{**gsm8k, "split": "test", "path": str(tmp_path / "test.jsonl")}])
    place = Location.of(str(tmp_path))
    kept = {role: queries.run(made, {}, place, (role,)) for role in ("train", "eval")}
    lengths = [len(one) for one in pq.read_table(tmp_path / "train.parquet")["prompt_ids"]]
    assert kept["train"].metrics == {
        "queries": {"train": 25}, "longest_prompt": {"train": max(lengths)}, "told": {},
    }  # fmt: skip
    assert kept["eval"].rows == pq.read_table(tmp_path / "eval.parquet").num_rows == 1
    refused, twice, shared = kept["eval"].metrics["told"]["data.eval.0"]
    assert refused.startswith("1 rows of its files are refused: ")
    assert "row 2: answer 'soon' is not of kind number" in refused
    assert twice == "1 rows of its files ask what was asked before: left out"
    assert shared.startswith("1 of 1 questions are in data.train too, 0 word for word")
    told = capsys.readouterr().out.splitlines()
    assert told == [f"data.eval.0 (gsm8k, test): {one}" for one in (refused, twice, shared)]


def test_refused_rows_and_repeated_questions_are_of_the_files_whatever_the_limit():
    found = Found(rows=5, refused=500, reasons=["row 1: bad"], twice=2)
    assert queries.notes(found) == [
        "500 rows of its files are refused: row 1: bad",
        "2 rows of its files ask what was asked before: left out",
    ]


def test_a_system_prompt_of_a_rows_own_takes_the_place_of_the_configs(tmp_path, smollm):
    file = tmp_path / "own.jsonl"
    file.write_text(json.dumps({"question": "q", "answer": "x", "who": "a judge"}))
    own = {"name": "jsonl", "path": str(file)}
    model = {"source": str(smollm), "system": "Be brief."}
    prompts = Prompts.load(smollm, None, config([own], model=model).model.chat)
    for entry, says in ((own, "Be brief."), ({**own, "system": "Be {who}."}, "Be a judge.")):
        queries.run(config([entry], model=model), {}, Location.of(str(tmp_path)), ("train",))
        (row,) = pq.read_table(tmp_path / "train.parquet").to_pylist()
        sent = [{"role": "system", "content": says}, {"role": "user", "content": "q"}]
        assert row["prompt_ids"] == prompts.chat_ids(sent), "as a service is sent it"
        assert says in row["prompt"]


def test_formulas_of_a_published_set_that_cannot_be_read_are_left_out(tmp_path, smollm):
    file = tmp_path / "rows.jsonl"
    rows = [{"problem": f"p{i}", "answer": a} for i, a in enumerate(["x^2", "1/0", "\\frac12"])]
    file.write_text("\n".join(map(json.dumps, rows)))
    made = config([{"name": "capitals"}], [{"name": "math500", "split": "test", "path": str(file)}])
    result = queries.run(made, {}, Location.of(str(tmp_path)), ("calibration", "eval"))
    assert result.metrics["queries"] == {"calibration": 0, "eval": 2}
    (told,) = result.metrics["told"]["data.eval.0"]
    assert told.startswith("1 rows of its files are refused: the reference of math500-")


def test_prompts_longer_than_the_context_are_named(tmp_path, smollm):
    file = tmp_path / "own.jsonl"
    file.write_text(
        json.dumps({"question": "short?", "answer": "x"})
        + "\n"
        + json.dumps({"question": "long " * 300, "answer": "x"})
    )
    made = config(
        [{"name": "jsonl", "path": str(file)}],
        engine={"max_model_len": 256},
        sampling={"max_tokens": 16},
    )
    for stage in (
        queries.check,
        lambda c: queries.run(c, {}, Location.of(str(tmp_path)), ("train",)),
    ):
        with pytest.raises(ValueError, match=r"1 prompts? .* engine.max_model_len") as caught:
            stage(made)
        assert query_id("jsonl", "long " * 299 + "long") in str(caught.value)


def test_a_length_of_training_that_no_prompt_fits_is_told_before_labels(tmp_path, smollm):
    whole = config([{"name": "capitals", "limit": 3}])
    changed = whole.model_copy(update={"train": whole.train.model_copy(update={"max_length": 10})})
    out = Location.of(str(tmp_path))
    with pytest.raises(ValueError, match=r"train.max_length \(10\): .* has \d+ tokens; raise it"):
        queries.run(changed, {}, out, ("train",))
    queries.run(changed, {}, out, ("calibration", "eval"))  # which are not trained on


def test_a_prompt_is_held_to_the_responses_of_its_role(tmp_path, smollm):
    """What is evaluated may answer at another length than what is labeled."""
    file = tmp_path / "own.jsonl"
    file.write_text(json.dumps({"question": "long " * 200, "answer": "x"}))
    own = [{"name": "jsonl", "path": str(file)}]
    room = {"engine": {"max_model_len": 256}, "evaluate": {"sampling": {"max_tokens": 100}}}
    few = {"sampling": {"max_tokens": 2}}
    queries.check(config(own, **room, **few))
    with pytest.raises(ValueError, match=r"the 156 tokens .* after evaluate.sampling.max_tokens"):
        queries.check(config([{"name": "capitals"}], own, **room, **few))
    follows = {"engine": {"max_model_len": 256}, "sampling": {"max_tokens": 100}}
    for entries in ([own], [[{"name": "capitals"}], own]):
        with pytest.raises(ValueError, match="the 156 tokens"):
            queries.check(config(*entries, **follows))


def test_references_that_are_no_formulas_are_named(tmp_path, smollm):
    file = tmp_path / "own.jsonl"
    lines = [{"question": f"q{i}", "answer": a} for i, a in enumerate(["|x|", "$1/2$", "1/0"])]
    file.write_text("\n".join(json.dumps(line) for line in lines))
    made = config([{"name": "jsonl", "path": str(file), "kind": "math"}])
    queries.check(made)  # takes no process
    said = rf"^1 references of kind math .*{query_id('jsonl', 'q2')} \('1/0'\); leave"
    with pytest.raises(ValueError, match=said):
        queries.run(made, {}, Location.of(str(tmp_path)), ("train",))


def test_remote_code_and_pickles_are_not_read(tmp_path, smollm):
    from pipelines.storage import models

    shutil.copytree(smollm, tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").rename(tmp_path / "m" / "pytorch_model.bin")
    with pytest.raises(ValueError, match="pickled weights are not read"):
        models.check(str(tmp_path / "m"))
