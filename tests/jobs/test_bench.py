"""The quick benchmark: it runs, and the counts that must not regress unseen."""

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
