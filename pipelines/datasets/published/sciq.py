"""SciQ (Welbl et al. 2017, arXiv 1707.06209): science questions, an answer and three distractors.

The passage that supports the answer is not shown, as in the paper's code.
"""

from pipelines.datasets.published.base import Asked, Published, shuffled, text
from pipelines.datasets.records import Record


def ask(record: Record) -> Asked:
    wrong = [text(record, f"distractor{number}") for number in (1, 2, 3)]
    return shuffled(text(record, "question"), text(record, "correct_answer"), wrong)


SETS = {
    "sciq": Published(
        use="seed",
        hub="allenai/sciq",
        revision="2c94ad3e1aafab77146f384e23536f97a4849815",
        files={
            "train": "data/train-00000-of-00001.parquet",
            "test": "data/test-00000-of-00001.parquet",
        },
        public_test="test",
        fields=("question", "distractor1", "distractor2", "distractor3", "correct_answer"),
        ask=ask,
        kind="option",
        licence="CC BY-NC 3.0",
    )
}
