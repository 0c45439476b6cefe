"""AIME of 2022 to 2024, 90 problems whose answers are whole numbers from 0 to 999."""

from pipelines.datasets.published.base import Asked, Published, sentences, text
from pipelines.datasets.records import Record


def ask(record: Record) -> Asked:
    """Of 2024 alone (HuggingFaceH4/aime_2024) has the same fields."""
    return Asked(sentences(text(record, "problem")), text(record, "answer"))


SETS = {
    "aime": Published(
        use="extra",
        hub="AI-MO/aimo-validation-aime",
        revision="1f8807dabb2265892a7c2cb5e73d95d25df4507b",
        files={"test": "data/train-00000-of-00001.parquet"},
        public_test="train",
        fields=("problem", "answer"),
        ask=ask,
        kind="number",
        licence="Apache-2.0",
    )
}
