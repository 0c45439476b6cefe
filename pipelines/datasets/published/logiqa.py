"""LogiQA (Liu et al. 2020, arXiv 2007.08124): civil servants' exams in logic.

It is public in two layouts: `query` and `correct_option`, which counts from 0, as in the repository
here; `question` and `label`, a letter from a to d, in EleutherAI/logiqa. The publisher's own text
files (github lgw863/LogiQA-dataset) are not read.
"""

from dataclasses import replace

from pipelines.datasets.choices import Choices
from pipelines.datasets.published.base import Asked, Published, at_index, option, text, texts
from pipelines.datasets.records import Record


def ask(record: Record) -> Asked:
    _, fields = record
    choices, context = texts(record, "options"), text(record, "context")
    if "query" in fields:
        question = f"{context}\n{text(record, 'query')}"
        asked = at_index(record, question, choices, text(record, "correct_option"))
    else:
        question = f"{context}\n{text(record, 'question')}"
        labeled = Choices(tuple(choices), tuple("abcdefgh"[: len(choices)]))
        asked = option(record, question, labeled, text(record, "label"))
    return replace(asked, group=context)  # which several questions may share


SETS = {
    "logiqa": Published(
        use="seed",
        hub="lucasmccabe/logiqa",
        # Of the hub's branch of Parquet files, for its own has a program alone; as the code of
        # github sohaibimran7/mcq-bias pins it.
        revision="fa9f9918fa81eca088805c1395d7f592f7755ae0",
        files={"train": "default/train/0000.parquet", "test": "default/test/0000.parquet"},
        public_test="test",
        fields=("context", "query", "options", "correct_option"),
        ask=ask,
        kind="option",
        licence="not stated",
    )
}
