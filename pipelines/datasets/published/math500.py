"""MATH-500: 500 test problems of MATH (Hendrycks et al. 2021, arXiv 2103.03874)."""

from pipelines.datasets.published.base import Asked, Published, sentences, text
from pipelines.datasets.records import Record


def ask(record: Record) -> Asked:
    return Asked(sentences(text(record, "problem")), text(record, "answer"))


SETS = {
    "math500": Published(
        use="extra",
        hub="HuggingFaceH4/MATH-500",
        revision="ff5b20257d8185524591543f8ff5993951537bb8",
        files={"test": "test.jsonl"},
        public_test="test",
        fields=("problem", "answer"),
        ask=ask,
        kind="math",
        licence="not stated",  # MATH's is MIT
    )
}
