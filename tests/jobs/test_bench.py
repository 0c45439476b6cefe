"""The quick benchmark: it runs, and the counts that must not regress unseen."""

import json
import subprocess
import sys

import pytest
from processes import ROOT

from jobs import bench
from jobs.benchmarks.figure import Figure, Reach


def test_a_figure_is_the_median_of_paired_ratios():
    pairs = [(10.0, 5.0), (30.0, 10.0), (8.0, 8.0)]
    figure = Figure.of("group.baseline", "tokens/s", pairs, Reach("at least", 2))
    assert (figure.ratio, figure.min, figure.max) == (2.0, 1.0, 3.0)
    assert (figure.ours, figure.baseline) == (10.0, 8.0)
    assert figure.reach.met(2.0)
    assert not figure.reach.met(1.9)
    assert Reach("at most", 1).met(0.5)


def test_an_unknown_name_is_told(capsys):
    assert bench.main(["speed"]) == 2
    assert "speed: none of start, score" in capsys.readouterr().err


@pytest.mark.slow
def test_quick(tmp_path):
    """Times are printed and not asserted: machines differ. Tokens computed are."""
    file = tmp_path / "bench.json"
    command = [sys.executable, "-m", "jobs.bench", "--quick", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    first, *lines = map(json.loads, file.read_text().splitlines())
    assert first["versions"]["torch"]
    assert first["machine"]["cpus"] >= 1
    figures = {line.pop("name"): line for line in lines}
    assert {name.split(".")[0] for name in figures} == {"start", "score", "edt", "decode", "train"}
    for figure in figures.values():
        assert {"ours", "baseline", "ratio", "min", "max", "unit"} <= set(figure)
    assert figures["score.short"]["ratio"] <= 0.45
    assert figures["score.long"]["ratio"] <= 0.2
