"""What samples say of their config: each warning at its figure, and none of plain samples."""

import re

import pytest

from pipelines.engine.signs import Signs


def signs(*queries, reference="4", kind="number", reason="stop"):
    """queries: the answers to each, None where there is none."""
    made = Signs()
    for answers in queries:
        samples = [{"answer": one, "finish_reason": reason} for one in answers]
        made.add({"kind": kind, "reference": reference, "samples": samples})
    return made


def test_plain_samples_are_told_by_their_figures_alone():
    made = signs(["4", "4", "5", None], ["4", "5", "5", "5"])
    assert made.warnings == []
    assert made.figures == {"cut": 0, "unparsed": 1 / 8, "accuracy": 3 / 8, "agreement": 3 / 4}


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (signs(["4", "5", None, "4"], reason="length"), ["100% .* cut at sampling.max_tokens"]),
        (signs(["4", "5", None, None]), ["50% of the responses have no answer"]),
        (signs(["4", None, None, None], ["4", "4", None, "5"]), ["50% .* no answer"]),
        (signs(["5"] * 8), ["0.0% of the responses are right"]),
        (signs(["5"] * 49 + ["4"]), ["2.0% of the responses are right"]),
        (signs(["5"] * 48 + ["4"] * 2), []),
        (signs(["4"] * 8), ["100.0% of the responses are right, so there is nothing"]),
        (signs(["4"] * 97 + ["5"] * 3), []),
        (signs([str(n) for n in range(16)]), ["commonest answer has 6% .* if all differed .6%."]),
        (signs(["1", "2", "3", "4"], ["1", "2", "4", "4"]), ["38% of a query's .* differed .25%."]),
        (signs(["1", "2", "4", "4"]), []),
        (signs(["4", "5"], ["4", "6"]), []),
        (signs(["4", "5", "6", "4"], reference="Four|4", kind="text"), []),
    ],
)  # fmt: skip
def test_a_config_that_seems_wrong_is_told_with_its_figure(made, says):
    assert len(made.warnings) == len(says), made.warnings
    for line, pattern in zip(made.warnings, says, strict=True):
        assert re.search(pattern, line), line
        assert "\n" not in line


def test_formulas_are_graded_of_the_first_queries_alone():
    made = signs(*[["x"]] * 300, reference="x", kind="math")
    assert (made.queries, made.samples, made.graded, made.right) == (300, 300, 200, 200)
