"""A row of a data set asks the service for what the row itself asks the model."""

import json

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pipelines.config import DatasetConfig
from pipelines.datasets import LOADERS
from pipelines.datasets.records import fail
from pipelines.serving.scaling import Scaling, choices_read

FORMS = {
    "texts": lambda labels, texts: texts,
    "arc": lambda labels, texts: {"text": texts, "label": labels},
    "pairs": lambda labels, texts: [
        {"label": label, "text": text} for label, text in zip(labels, texts, strict=True)
    ],
    "mapping": lambda labels, texts: dict(zip(labels, texts, strict=True)),
    "json": lambda labels, texts: json.dumps(texts),
    "lines": lambda labels, texts: "\n".join(
        f"{label}) {text}" for label, text in zip(labels, texts, strict=True)
    ),
}
STEMS = [
    "Which is cold?", "Read.\n1. Mix.\n2. Bake.\nWhat is it?", "Options: none", "(A) alone?",
]  # fmt: skip
# How the question lists them: not at all, at lines, on one line, or under a heading.
LISTS = ["{stem}", "{stem}\n{lines}", "{stem} {inline}", "{stem}\nOptions:\n{lines}"]
WORDS = st.text("abxyz .-?", min_size=1, max_size=8).map(lambda text: " ".join(text.split()))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(STEMS),
    st.sampled_from(LISTS),
    st.sampled_from([None, *FORMS]),
    st.sampled_from(["{text}", "{label}. {text}", "({label}) {text}", "A. {text}"]),
    st.sampled_from(["ABCD", "1234", "abcd"]),
    st.lists(WORDS.filter(bool), min_size=2, max_size=4, unique=True),
    st.booleans(),
)
def test_a_row_is_asked_for_as_it_was_made(
    tmp_path, stem, listing, form, written, labels, texts, with_choices
):
    labels = list(labels[: len(texts)])
    pairs = list(zip(labels, texts, strict=True))
    inline = [f"({label}) {text}" for label, text in pairs]
    row = {
        "question": listing.format(stem=stem, lines="\n".join(inline), inline=" ".join(inline)),
        "answer": labels[1],
    }
    if form is not None:
        own = [written.format(label=label, text=text) for label, text in pairs]
        row["choices"] = FORMS[form](labels, own)
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row))
    config = DatasetConfig(name="jsonl", path=str(file), kind="option", choices=form and "choices")
    try:
        (made,) = LOADERS["jsonl"](config, 0, fail)
    except ValueError:
        assume(False)
    # What a query of the artifact holds is enough to ask for it again; so is its question, where
    # that lists the choices with letters.
    choices = None if made.choices is None or not with_choices else list(made.choices)
    assume(choices is not None or made.choices is None or labels[0] != "1")
    asked = Scaling(kind="option", choices=choices)
    assert choices_read(asked, made.question) == made.choices


TRICKY = [
    ["1: 1", "2: 1", "3: 1"], ["(A) and (B)", "(B) alone"], ["A. ice", "B. fire"], ["B. x", "A. y"],
    ["Options: (A) x (B) y", "two"], ["(A) or (B)", "(B) or (C)", "not (C)"],
]  # fmt: skip


@pytest.mark.parametrize("texts", TRICKY)
@pytest.mark.parametrize("name", ["mmlu_pro", "arc_easy", "reclor", "sciq", "jsonl"])
def test_texts_that_begin_as_labels_do_are_as_they_are(tmp_path, name, texts):
    """By the question, as by the query's own choices."""
    labels = list("ABC"[: len(texts)])
    row = {
        "question": "Which?", "context": "c", "options": texts, "answers": texts, "label": 1,
        "answer_index": 1, "choices": {"text": texts, "label": labels}, "answerKey": "B",
        "answer": "B", "correct_answer": texts[1],
    }  # fmt: skip
    row |= {f"distractor{at}": f"{at}) not this" for at in (1, 2, 3)}
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row))
    own = {"kind": "option", "choices": "choices"} if name == "jsonl" else {"split": "test"}
    (made,) = LOADERS[name](DatasetConfig(name=name, path=str(file), **own), 0, fail)
    assert made.choices == tuple(texts) or name == "sciq"
    for choices in (None, list(made.choices)):
        asked = Scaling(kind="option", choices=choices)
        assert choices_read(asked, made.question) == made.choices
