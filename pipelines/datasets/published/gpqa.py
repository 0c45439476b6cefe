"""GPQA Diamond (Rein et al. 2023, arXiv 2311.12022): questions of experts; the answer comes first.

So the choices are shuffled, each question's by its own text: always in the same way. The hub asks
for its terms to be accepted, and then for a token (HF_TOKEN).
"""

from pipelines.datasets.published.base import Asked, Published, shuffled, text
from pipelines.datasets.records import Record


def ask(record: Record) -> Asked:
    wrong = [text(record, f"Incorrect Answer {number}") for number in (1, 2, 3)]
    return shuffled(text(record, "Question"), text(record, "Correct Answer"), wrong)


SETS = {
    "gpqa": Published(
        use="extra",
        hub="Idavidrein/gpqa",
        revision="633f5ee89ab8ad4522a9f850766b73f62147ffdd",
        files={"test": "gpqa_diamond.csv"},
        public_test="train",
        fields=(
            "Question",
            "Correct Answer",
            "Incorrect Answer 1",
            "Incorrect Answer 2",
            "Incorrect Answer 3",
        ),
        ask=ask,
        kind="option",
        licence="CC BY 4.0",
    )
}
