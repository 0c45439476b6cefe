"""BIG-Bench Hard (Suzgun et al. 2022, arXiv 2210.09261): of its tasks, counting objects."""

from pipelines.datasets.published.base import Asked, Published, sentences, text
from pipelines.datasets.records import Record


def ask(record: Record) -> Asked:
    return Asked(sentences(text(record, "input")), text(record, "target"))


SETS = {
    "object_counting": Published(
        use="evaluation",
        hub="lukaemon/bbh",
        revision="982bb89fd79532a8ac676a61fc42eb1aeec63f99",
        files={"test": "object_counting/test-00000-of-00001.parquet"},
        public_test="test",
        fields=("input", "target"),
        ask=ask,
        kind="number",
        licence="not stated",  # the paper's own repository is MIT
    )
}
