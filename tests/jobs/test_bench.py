"""What a figure is, and a benchmark that runs."""

import json

import pytest

from jobs import bench
from jobs.benchmarks.measurement import Measurement, Reach


def test_a_figure_is_the_median_of_paired_ratios():
    pairs = [(10.0, 5.0), (30.0, 10.0), (8.0, 8.0)]
    figure = Measurement.of("group.baseline", "tokens/s", pairs, Reach("at least", 2))
    assert (figure.ratio, figure.min, figure.max) == (2.0, 1.0, 3.0)
    assert (figure.ours, figure.baseline) == (10.0, 8.0)
    assert figure.reach.met(2.0)
    assert not figure.reach.met(1.9)
    assert Reach("at most", 1).met(0.5)


def test_an_unknown_name_is_told(capsys):
    assert bench.main(["speed"]) == 2
    assert "speed: none of start, answers" in capsys.readouterr().err


@pytest.mark.process
def test_figures_are_lines_of_json_as_they_come(tmp_path):
    file = tmp_path / "figures.jsonl"
    assert bench.main(["start", "--quick", "--json", str(file)]) == 0
    first, *lines = map(json.loads, file.read_text().splitlines())
    assert first["versions"]["torch"]
    assert first["machine"]["cpus"] >= 1
    assert {line["name"] for line in lines} == {"start.help", "start.plan", "start.config_error"}
    for line in lines:
        assert {"ours", "baseline", "ratio", "unit", "reach"} <= set(line)
