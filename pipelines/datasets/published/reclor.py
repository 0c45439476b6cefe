"""ReClor (Yu et al. 2020, arXiv 2002.04326): reading with logical reasoning; `label` counts from 0.

The publisher's files are arrays of JSON, as here; the test split has no answers.
"""

from dataclasses import replace

from pipelines.datasets.published.base import Asked, Published, at_index, text, texts
from pipelines.datasets.records import Record


def ask(record: Record) -> Asked:
    context = text(record, "context")
    question = f"{context}\n{text(record, 'question')}"
    asked = at_index(record, question, texts(record, "answers"), text(record, "label"))
    return replace(asked, group=context)  # which several questions may share


SETS = {
    "reclor": Published(
        use="seed",
        hub="tasksource/reclor",  # what metaeval/reclor of the paper's code is called now
        # As github sileod/reasoning_core pins it, whose author publishes the repository.
        revision="0414b39bfc39b2d555b48fa245fc198744c46215",
        files={"train": "train.json", "test": "val.json"},
        public_test="validation",
        fields=("context", "question", "answers", "label"),
        ask=ask,
        kind="option",
        licence="non-commercial research",
    )
}
