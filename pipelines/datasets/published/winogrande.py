"""WinoGrande (Sakaguchi et al. 2019, arXiv 1907.10641): which of two fills the blank, 1 or 2.

The test split has no answers.
"""

from dataclasses import replace

from pipelines.datasets.choices import Choices
from pipelines.datasets.published.base import Asked, Published, option, text
from pipelines.datasets.records import Record


def ask(record: Record) -> Asked:
    choices = Choices((text(record, "option1"), text(record, "option2")), ("1", "2"))
    question = f"What does the _ stand for? {text(record, 'sentence')}"
    asked = option(record, question, choices, text(record, "answer"))
    return replace(asked, group=" ".join(sorted(choices.texts)))  # which twins share


SETS = {
    "winogrande": Published(
        use="seed",
        hub="allenai/winogrande",
        revision="01e74176c63542e6b0bcb004dcdea22d94fb67b5",
        files={
            "train": "winogrande_xl/train-00000-of-00001.parquet",
            "test": "winogrande_xl/validation-00000-of-00001.parquet",
        },
        public_test="validation",
        fields=("sentence", "option1", "option2", "answer"),
        ask=ask,
        kind="option",
        licence="CC BY",
    )
}
