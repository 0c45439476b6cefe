"""A first look at data: prompts, how answers are read, lengths, and what would stop a run."""

import pytest
from own_files import lines, row
from tokenizing import byte_level, template, write

from pipelines.config import Config
from pipelines.datasets.look import Look
from pipelines.method.prompts import Prompts


@pytest.fixture
def look(tmp_path):
    """The lines that are told of entries, and what would stop a run; of a model without weights."""
    special = ("<|im_start|>", "<|im_end|>")
    source = write(tmp_path / "model", byte_level(special=special), template("dated"))

    def look(content, *, model=source, more=None, **entry):
        (tmp_path / "own.jsonl").write_text(content)
        own = {"name": "jsonl", "path": str(tmp_path / "own.jsonl"), **entry}
        made = Look(
            Config.model_validate(
                {
                    "root": "r",
                    "model": {"source": str(model)},
                    "data": {"train": [own], **(more or {})},
                    "engine": {"max_model_len": 300},
                    "sampling": {"max_tokens": 100},
                }
            )
        )
        return list(made.lines()), made.stops

    look.prompts = Prompts.load(source)
    return look


def test_three_rows_are_shown_as_the_model_is_asked_them(look):
    told, stops = look(lines(*(row(f"q{n}", "Kyiv|Kiev") for n in range(5))))
    assert stops == []
    assert told[0] == "data.train.0 (jsonl, train)"
    prompt = look.prompts.sampling_text("q2")
    shown = [f"    | {line}" for line in prompt.rstrip("\n").split("\n")]
    at = next(i for i, line in enumerate(told) if "q2" in line) - len(shown)
    assert "\n".join(shown) in "\n".join(told[at:])
    assert sum(line.startswith("  row jsonl-") for line in told) == 3
    assert told.count("    answer 'Kyiv|Kiev' is read as 'kyiv' or 'kiev', kind text") == 3
    assert "  rows: 5; 0 refused, 0 there before" in told


def test_answers_are_shown_as_they_are_read(look):
    told, _ = look(lines(row(answer="1,234.50")), kind="number")
    assert "    answer '1,234.50' is read as '1234.5', kind number" in told
    choices = row(answer="two", A="one", B="two")
    told, _ = look(lines(choices), kind="option", choices=["A", "B"])
    assert "    answer 'B' is read as 'B' (two), kind option" in told


def test_all_that_is_refused_is_counted_and_the_first_are_told(look):
    rows = [row(f"q{n}", answer) for n, answer in enumerate(["1", "x", "y", "z", "u", "2"])]
    told, stops = look(lines(*rows, "{", row("q0", "1")), kind="number")
    assert "  rows: 2; 5 refused, 1 there before" in told
    refused = [line for line in told if line.startswith("  refused: ")]
    assert [line.partition("row ")[2][:1] for line in refused] == ["2", "3", "4", ""]
    assert refused[3] == "  refused: 2 more"
    assert stops == ["data.train.0: 5 refused rows", "data.train.0: 1 repeated questions"]


def test_lengths_are_told_against_the_context(look):
    told, stops = look(lines(row("short"), row("long " * 300)))
    of = [len(look.prompts.sampling_ids(text)) for text in ("short", ("long " * 300).strip())]
    (line,) = (line for line in told if line.startswith("  prompts: "))
    room = look.prompts.room(300, 100)
    assert f"{of[0]:,} to {of[1]:,} tokens" in line
    assert f"room for {room}: engine.max_model_len (300) less sampling.max_tokens (100)" in line
    assert stops == ["data.train.0: 1 prompts are too long"]


def test_entries_after_one_that_cannot_be_read_are_looked_at(look):
    more = {"eval": [{"name": "capitals", "split": "dev"}, {"name": "elements", "split": "test"}]}
    told, stops = look(lines(row()), more=more)
    assert told[-1].startswith("  prompts: ")
    assert len(stops) == 1
    assert stops[0].startswith("data.eval.0: capitals: split 'dev' is none of train")


def test_questions_that_roles_share_are_told(look, tmp_path):
    (tmp_path / "test.jsonl").write_text(lines(row("What is 4 + 3?", "7")))
    more = {"eval": [{"name": "jsonl", "path": str(tmp_path / "test.jsonl"), "label": "own"}]}
    told, _ = look(lines(row("what is 3+4", "7")), more=more, label="own")
    assert any(line.startswith("  shared: 1 of 1 questions are in data.train too") for line in told)


def test_a_question_of_ones_own_that_is_trained_on_and_tested_would_stop_a_run(look, tmp_path):
    (tmp_path / "test.jsonl").write_text(lines(row(), row("r")))
    more = {"eval": [{"name": "jsonl", "path": str(tmp_path / "test.jsonl"), "label": "own"}]}
    told, stops = look(lines(row()), more=more, label="own")
    assert stops == ["data.eval.0: 1 repeated questions"]
    assert "  rows: 1; 0 refused, 1 there before" in told


def test_a_file_that_is_trained_on_and_tested_would_stop_a_run(look, tmp_path):
    more = {"eval": [{"name": "jsonl", "path": str(tmp_path / "own.jsonl"), "label": "own"}]}
    _, stops = look(lines(row(), row("r")), more=more, label="own")
    (line,) = stops
    assert line == "data.eval.0: jsonl (train) has no rows; all 2 were there before"


def test_references_that_are_no_formulas_would_stop_a_run(look):
    rows = row(answer="x^2"), row("r", "1/0"), row("s", ["1/2", "0.5"]), row("t", ["1/2", "1/0"])
    told, stops = look(lines(*rows), kind="math")
    assert stops == ["data.train.0: 2 references that cannot be read as formulas"]
    assert "    answer '1/2␟0.5' is read as '1/2' or '0.5', kind math" in told
    assert "    answer '1/0' cannot be read as a formula, kind math" in told


def test_without_a_tokenizer_the_rest_is_told(look, tmp_path):
    told, stops = look(lines(row()), model=tmp_path / "nowhere")
    assert told[0].startswith("no prompts and lengths, for the model's tokenizer cannot be had: ")
    assert "there is no directory" in told[0]
    assert "    | q" in told
    assert stops == []
