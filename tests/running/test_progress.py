"""What is told of counts that come in now and then, in lines and on a terminal."""

import pytest

from pipelines.running.progress import Count, Progress, duration, watched


def told(progress, at, *counts):
    """Lines of a progress at (second, samples, tokens and kept ones); `at` is the clock's list."""
    lines = []
    for second, *count in counts:
        at[0] = second
        lines.append(progress.line(Count(*count)))
    return lines


@pytest.fixture
def at():
    return [0.0]


def progress(at, *arguments, **more):
    return Progress(*arguments, clock=lambda: at[0], **more)


def test_tokens_and_a_bound_are_told_before_the_first_response_ends(at):
    label = progress(at, "label", 3200, "samples", longest=100)
    assert told(label, at, (50, 0, 0), (55, 0, 620), (62, 0, 1240)) == [
        None,  # an engine has started
        None,
        # 318,760 tokens more at most, at 1,240 in 12 seconds
        "label: 0 of 3,200 samples, 1,240 tokens, 103 tokens/s, at most 51 min left",
    ]


def test_the_time_that_is_left_follows_from_what_has_ended(at):
    label = progress(at, "label", 400, "samples", longest=1000)
    first, soon, later = told(label, at, (0, 0, 0), (5, 9, 90), (20, 100, 2000))
    assert first is soon is None
    assert later == "label: 100 of 400 samples, 2,000 tokens, 100 tokens/s, about 60 s left"


def test_it_is_never_more_than_the_longest_responses_take(at):
    """Of a hundred that began together, the first to end takes nearly as long as all."""
    label = progress(at, "label", 100, "samples", longest=50)
    _, line = told(label, at, (0, 0, 0), (40, 1, 4000))
    assert line.endswith("about 10 s left")  # 1,000 tokens, at 100 a second; not 99 times 40 s


def test_tokens_that_came_twice_leave_no_time_below_none(at):
    """Of an engine that died: what it had begun is drawn again."""
    label = progress(at, "label", 100, "samples", longest=50)
    _, line = told(label, at, (0, 0, 0), (98, 98, 5300))
    assert line.endswith("about 2 s left")


def test_what_an_earlier_run_did_took_no_time_of_this_one(at):
    train = progress(at, "train", 50, "steps", tokens=50_000)
    _, line = told(train, at, (7, 40, 40_000), (27, 41, 41_000))
    assert line == ("train: 41 of 50 steps, 41,000 of 50,000 tokens, 50 tokens/s, about 3 min left")


def test_micro_batches_move_the_time_that_is_left_within_a_step(at):
    train = progress(at, "train", 10, "steps", tokens=10_000)
    _, line = told(train, at, (0, 0, 0), (60, 0, 500))
    assert line == "train: 0 of 10 steps, 500 of 10,000 tokens, 8 tokens/s, about 19 min left"


def test_more_samples_than_there_are_is_all_of_them(at):
    """Where an engine died, what it had begun is drawn again."""
    label = progress(at, "label", 10, "samples")
    _, line = told(label, at, (0, 0, 0), (20, 12, 60))
    assert line == "label: 10 of 10 samples, 60 tokens, 3 tokens/s"


def test_lines_come_at_intervals_and_at_the_end(at):
    label = progress(at, "label", 10, "samples", every=15)
    lines = told(label, at, *((second, 0, second) for second in range(40)))
    assert [second for second, line in enumerate(lines) if line] == [15, 30]
    assert label.line(Count(10, 40), last=True).startswith("label: 10 of 10 samples, 40 tokens")


def test_that_all_is_done_is_told_at_once_and_once(at):
    """What follows, such as writing, takes time too."""
    label = progress(at, "label", 10, "samples")
    lines = told(label, at, (0, 0, 0), (3, 10, 60, 10), (30, 10, 60, 10), (60, 10, 60, 10))
    assert lines == [None, "label: 10 of 10 samples, 60 tokens, 20 tokens/s", None, None]
    assert label.line(Count(10, 60), last=True) is None


def test_lines_go_on_until_what_is_done_is_kept(at):
    """An engine that dies loses some, which another does again."""
    label = progress(at, "label", 10, "samples")
    lines = told(label, at, (0, 0, 0), (20, 10, 60, 4), (40, 7, 90, 7), (44, 10, 120, 10))
    assert [line and line.split(",")[0] for line in lines] == [
        None,
        "label: 10 of 10 samples",
        "label: 7 of 10 samples",
        "label: 10 of 10 samples",
    ]


def test_a_few_tokens_tell_nothing_of_how_long_the_others_take(at):
    label = progress(at, "label", 192, "samples", longest=100)
    _, line = told(label, at, (0, 0, 0), (15, 0, 3))
    assert line == "label: 0 of 192 samples, 3 tokens, 0 tokens/s"


def test_into_a_file_go_lines_without_a_bar(at, capsys):
    with watched(progress(at, "label", 2, "samples"), lambda: Count(2, 30, more="loss 0.1")):
        pass
    assert capsys.readouterr().out == "label: 2 of 2 samples, 30 tokens, loss 0.1\n"


def test_what_has_ended_is_told_as_all_though_the_last_count_is_late(at, capsys):
    with watched(progress(at, "label", 2, "samples"), lambda: Count(1, 30)):
        pass
    assert capsys.readouterr().out == "label: 2 of 2 samples, 30 tokens\n"


def test_nothing_is_told_of_a_stage_that_had_nothing_to_do(at, capsys):
    with watched(progress(at, "label", 2, "samples"), lambda: None):
        pass
    assert capsys.readouterr().out == ""


def test_a_terminal_has_a_bar(at, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as rich tells a terminal
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with watched(progress(at, "label", 2, "samples"), lambda: Count(2, 30)):
        pass
    printed = capsys.readouterr().out
    assert "━" * 20 in printed
    assert "2 of 2 samples, 30 tokens" in printed


def test_what_fails_is_not_told_as_done(at, capsys):
    with (
        pytest.raises(ValueError, match="wrong"),
        watched(progress(at, "label", 2, "samples"), lambda: Count(1, 30)),
    ):
        raise ValueError("wrong")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7100, "118 min"), (9000, "2.5 h")],
)
def test_a_duration_is_said_in_what_people_count_in(seconds, said):
    assert duration(seconds) == said
