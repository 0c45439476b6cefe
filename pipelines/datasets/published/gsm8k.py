"""GSM8K (Cobbe et al. 2021, arXiv 2110.14168): word problems of grade school."""

from pipelines.datasets.published.base import Asked, Published, sentences, text
from pipelines.datasets.records import Record


def ask(record: Record) -> Asked:
    """A worked solution ends with "#### 72"."""
    answer = text(record, "answer").rpartition("####")[2].strip()
    return Asked(sentences(text(record, "question")), answer)


SETS = {
    "gsm8k": Published(
        use="seed",
        hub="openai/gsm8k",
        revision="740312add88f781978c0658806c59bc2815b9866",
        files={
            "train": "main/train-00000-of-00001.parquet",
            "test": "main/test-00000-of-00001.parquet",
        },
        public_test="test",
        fields=("question", "answer"),
        ask=ask,
        kind="number",
        licence="MIT",
    )
}
