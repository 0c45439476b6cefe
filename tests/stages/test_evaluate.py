"""What evaluate says of the responses that it collected."""

from pipelines.stages.evaluate import costs, noise, write_rows
from pipelines.storage.location import Location
from pipelines.storage.schemas import COUNTERS, LABELS, MODELS


def test_a_model_whose_replies_are_neither_yes_nor_no_is_told(tmp_path):
    """The base model's were read by the label stage; training may have moved the other's."""
    out = Location.of(str(tmp_path))
    for name, mass in zip(MODELS, (0.5, 1e-6), strict=True):
        counters = dict.fromkeys(COUNTERS.names, 0) | {"scored_responses": 4, "mass": 4 * mass}
        row = dict.fromkeys(LABELS.names) | {"counters": counters}
        write_rows([row] * 2, out / f"{name}-00000.parquet")
    (line,) = noise(costs(out))
    assert line.startswith("evaluate: the calibrated model: confidence: the reply to the confi")
    assert "1.0e-06 (mean of 8 responses" in line
    assert "\n" not in line
