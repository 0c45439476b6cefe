"""A row of a data set asks the service for what the row itself asks the model."""

import json

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pipelines.config import DatasetConfig
from pipelines.datasets import LOADERS
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
        (made,) = LOADERS["jsonl"](config, 0)
    except ValueError:
        assume(False)
    # What a query of the artifact holds is enough to ask for it again; so is its question, where
    # that lists the choices with letters.
    choices = None if made.choices is None or not with_choices else list(made.choices)
    assume(choices is not None or made.choices is None or labels[0] != "1")
    asked = Scaling(kind="option", choices=choices)
    assert choices_read(asked, made.question) == made.choices


def test_choices_with_their_labels():
    for choices in (["ice", "fire"], ["A. ice", "B. fire"]):
        asked = Scaling(kind="option", choices=choices)
        assert choices_read(asked, "Which is cold?") == ("ice", "fire")
