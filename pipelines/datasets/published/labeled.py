"""Sets whose choices have labels, `choices` {text, label} and `answerKey`.

ARC (Clark et al. 2018, arXiv 1803.05457), whose labels are A to E or 1 to 4; OpenBookQA (Mihaylov
et al. 2018, arXiv 1809.02789) and CommonsenseQA (Talmor et al. 2019, arXiv 1811.00937), whose test
split has no answers, with A to E.
"""

from functools import partial

from pipelines.datasets.choices import of_field
from pipelines.datasets.published.base import Asked, Published, option, text
from pipelines.datasets.records import Record
from pipelines.datasets.values import field


def ask(record: Record, question: str = "question") -> Asked:
    """A label names its choice by its place in the list: of 1 to 4, 2 is B."""
    place, _ = record
    try:
        choices = of_field(field(record, "choices"))
    except ValueError as error:
        raise ValueError(str(error) if place in str(error) else f"{place}: {error}") from None
    return option(record, text(record, question), choices, text(record, "answerKey"))


def _arc(name: str) -> Published:
    return Published(
        use="seed" if name == "ARC-Easy" else "evaluation",
        hub="allenai/ai2_arc",
        revision="210d026faf9955653af8916fad021475a3f00453",
        files={
            "train": f"{name}/train-00000-of-00001.parquet",
            "test": f"{name}/test-00000-of-00001.parquet",
        },
        public_test="test",
        fields=("question", "choices", "answerKey"),
        ask=ask,
        kind="option",
        licence="CC BY-SA 4.0",
    )


SETS = {
    "commonsense_qa": Published(
        use="seed",
        hub="tau/commonsense_qa",
        revision="94630fe30dad47192a8546eb75f094926d47e155",
        files={
            "train": "data/train-00000-of-00001.parquet",
            "test": "data/validation-00000-of-00001.parquet",
        },
        public_test="validation",
        fields=("question", "choices", "answerKey"),
        ask=ask,
        kind="option",
        licence="MIT",
    ),
    "openbookqa": Published(
        use="seed",
        hub="allenai/openbookqa",
        revision="388097ea7776314e93a529163e0fea805b8a6454",
        files={
            "train": "main/train-00000-of-00001.parquet",
            "test": "main/test-00000-of-00001.parquet",
        },
        public_test="test",
        fields=("question_stem", "choices", "answerKey"),
        ask=partial(ask, question="question_stem"),
        kind="option",
        licence="unknown",  # as its page on the hub has it
    ),
    "arc_easy": _arc("ARC-Easy"),
    "arc_challenge": _arc("ARC-Challenge"),
}
