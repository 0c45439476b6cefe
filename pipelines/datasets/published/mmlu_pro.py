"""MMLU-Pro (Wang et al. 2024, arXiv 2406.01574): up to ten choices, A to J.

Its validation split, 70 questions, is meant for examples in a prompt; it is not read.
"""

from pipelines.datasets.published.base import Asked, Published, at_index, text, texts
from pipelines.datasets.records import Record


def ask(record: Record) -> Asked:
    question, choices = text(record, "question"), texts(record, "options")
    return at_index(record, question, choices, text(record, "answer_index"))


SETS = {
    "mmlu_pro": Published(
        use="extra",
        hub="TIGER-Lab/MMLU-Pro",
        revision="b189ec765aa7ed75c8acfea42df31fdae71f97be",
        files={"test": "data/test-00000-of-00001.parquet"},
        public_test="test",
        fields=("question", "options", "answer_index"),
        ask=ask,
        kind="option",
        licence="MIT",
    )
}
