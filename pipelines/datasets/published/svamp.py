"""SVAMP (Patel et al. 2021, arXiv 2103.07191): word problems told in a body and a question.

Its publisher (github arkilpatel/SVAMP) has it as arrays of JSON, with the same fields.
"""

from pipelines.datasets.published.base import Asked, Published, sentences, text
from pipelines.datasets.records import Record


def ask(record: Record) -> Asked:
    question = sentences(text(record, "Body"), text(record, "Question"))
    return Asked(question, text(record, "Answer"))


SETS = {
    "svamp": Published(
        use="seed",
        hub="ChilleD/SVAMP",
        revision="5e0bf1e5e7c0e9c4bc39180d224f41f3f801b7ef",
        files={
            "train": "data/train-00000-of-00001.parquet",
            "test": "data/test-00000-of-00001.parquet",
        },
        public_test="test",
        fields=("Body", "Question", "Answer"),
        ask=ask,
        kind="number",
        licence="MIT",
    )
}
