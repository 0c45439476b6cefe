"""Lines soon, then at intervals, then at the end, with the time that is left."""

from pipelines.running.progress import Progress


def clock(*seconds):
    times = iter(seconds)
    return lambda: next(times)


def test_it_says_how_far_it_is_and_how_long_it_takes(capsys):
    times = clock(0, 4, 10, 20, 30, 40, 60, 61)
    progress = Progress("label: did", 100, "queries", every=15, clock=times)
    for _ in range(5):
        progress.did(5, "9 tokens/s")
    progress.did(75)
    progress.did()  # another run's
    assert capsys.readouterr().out.splitlines() == [
        "label: did 5 of 100 queries, 9 tokens/s",
        "label: did 15 of 100 queries, 9 tokens/s, about 113 s left",
        "label: did 25 of 100 queries, 9 tokens/s, about 2 min left",
        "label: did 100 of 100 queries",
    ]


def test_what_an_earlier_run_did_took_no_time_of_this_one(capsys):
    progress = Progress("train: did", 50, "steps", before=40, clock=clock(0, 6, 30))
    progress.did()
    progress.did()
    assert capsys.readouterr().out.splitlines() == [
        "train: did 41 of 50 steps",
        "train: did 42 of 50 steps, about 2 min left",
    ]


def test_without_a_total_it_counts(capsys):
    progress = Progress("label: did", 0, "queries", clock=clock(0, 6, 30))
    progress.did()
    progress.did()
    assert capsys.readouterr().out == "label: did 1 queries\nlabel: did 2 queries\n"
