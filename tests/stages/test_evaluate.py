"""What evaluate says of the responses that it collected, and at what it asks for live answers."""

import random

import pytest

from pipelines.method.policies import POLICIES, in_order
from pipelines.stages.evaluate import costs, noise, write_rows
from pipelines.stages.evaluate.live import LIVE_POLICIES, chosen, live_thresholds
from pipelines.storage.location import Location
from pipelines.storage.schemas import COUNTERS, LABELS, MODELS


def test_a_model_whose_replies_are_neither_yes_nor_no_is_told(tmp_path):
    """The base model's were read by the label stage; training may have moved the other's."""
    out = Location.of(str(tmp_path))
    for name, mass in zip(MODELS, (0.5, 1e-6), strict=True):
        counters = dict.fromkeys(COUNTERS.names, 0) | {"scored_responses": 4, "mass": 4 * mass}
        row = dict.fromkeys(LABELS.names) | {"counters": counters}
        write_rows([row] * 2, out / f"{name}-00000.parquet")
    (line,) = noise(costs(out, MODELS))
    assert line.startswith("evaluate: the calibrated model: confidence: the reply to the confi")
    assert "1.0e-06 (mean of 8 responses" in line
    assert "\n" not in line


@pytest.mark.parametrize("sure", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("policy", LIVE_POLICIES)
def test_some_live_runs_stop_and_some_do_not(policy, sure):
    """However low the model's confidences are."""
    draw = random.Random(0)
    rows = [
        [(draw.choice("abc"), sure + draw.uniform(-0.01, 0.01)) for _ in range(16)]
        for _ in range(24)
    ]
    recorded = [{"samples": [{"answer": a, "p_true": c} for a, c in row]} for row in rows]
    used = [
        in_order(POLICIES[policy].make(threshold), row).samples[-1]
        for threshold in live_thresholds(policy, recorded)
        for row in rows
    ]
    early = sum(samples < 16 for samples in used) / len(used)
    assert 0.2 < early < 0.8


def test_live_queries_are_test_ones_evenly_whatever_file_they_are_in(tmp_path):
    out = Location.of(str(tmp_path))
    names = [f"q{number}" for number in range(9)]
    roles = dict.fromkeys(names, "eval") | {"q3": "calibration"}
    for number, part in enumerate((names[5:], names[:5])):
        rows = [dict.fromkeys(LABELS.names) | {"query_id": n, "role": roles[n]} for n in part]
        write_rows(rows, out / f"base-{number:05}.parquet")
    write_rows([dict.fromkeys(LABELS.names) | {"role": "eval"}], out / "calibrated-00000.parquet")

    def ids(count):
        return [row["query_id"] for row in chosen(out, "base", count)]

    assert ids(4) == ["q0", "q2", "q5", "q7"]
    assert ids(20) == [name for name in names if name != "q3"]
    assert ids(0) == []


def test_a_policy_without_confidences_is_among_the_live_ones():
    assert {POLICIES[name].needs_confidence for name in LIVE_POLICIES} == {True, False}
