"""Counts that other processes post, and what the run's own reads of them."""

import os
import time

import pytest
from processes import descendants
from waiting import once

from pipelines.running.board import Board, Counts
from pipelines.running.progress import Count, Progress


@pytest.fixture
def at():
    return [0.0]


@pytest.fixture
def counts(at):
    return Counts(clock=lambda: at[0])


def test_all_counts_are_summed_as_they_were_posted_last(counts):
    assert counts.sum() is None
    for who, count in (("a", Count(3, 40)), ("b", Count(4, 50, 4)), ("a", Count(4, 45, 4))):
        counts.post(who, count)
    assert counts.sum() == Count(8, 95, 8)


def test_what_was_under_way_where_an_engine_died_goes_and_what_it_kept_stays(counts, at):
    """Ray's new replica has a name of its own, and does the rest again."""
    counts.post("dead", Count(10, 100, 6))
    at[0] = 4
    counts.post("new", Count(0, 0))
    assert counts.sum() == Count(10, 100, 6)  # it may be late
    at[0] = 11
    counts.post("new", Count(3, 30))
    assert counts.sum() == Count(6 + 3, 130, 6)
    at[0] = 15
    counts.post("new", Count(4, 50, 4))
    assert counts.sum() == Count(10, 150, 10)


def test_who_is_late_and_posts_again_counts_as_before(counts, at):
    counts.post("slow", Count(5, 50, 2))
    at[0] = 60
    assert counts.sum() == Count(2, 50, 2)
    counts.post("slow", Count(6, 60, 2))
    assert counts.sum() == Count(6, 60, 2)


def test_training_that_starts_anew_takes_the_place_of_its_former_count(counts):
    counts.post("train", Count(9, 900, 5, "loss 0.2"))
    counts.post("train", Count(6, 600, 5, "loss 0.3"))
    assert counts.sum() == Count(6, 600, 5, "loss 0.3")


@pytest.fixture
def engine(ray_cluster):
    """An actor that counts as an engine's does, and may be killed."""
    import ray

    @ray.remote(num_cpus=0, max_restarts=1, max_task_retries=1)
    class Engine:
        def __init__(self, board):
            self.count = Count()
            self.posting = board.posting(self.count)
            self.post = self.posting.__enter__()

        def draw(self, samples, tokens, kept):
            """Seconds that its post took."""
            self.count.done += samples
            self.count.tokens += tokens
            self.count.kept += kept
            start = time.monotonic()
            self.post()
            return time.monotonic() - start

        def die(self):
            os._exit(1)

    return Engine


@pytest.mark.process
def test_engines_that_are_killed_are_counted_once_each(engine):
    """One that Ray starts again, and one whose place another takes."""
    import ray
    from ray.exceptions import RayActorError

    with Board.open() as board, Board.open() as other:
        one, two = engine.remote(board), engine.remote(board)
        ray.get([one.draw.remote(10, 100, 6), two.draw.remote(8, 80, 8)])
        once(lambda: board.sum(Count(100, -30)) == Count(118, 150, 114))
        with pytest.raises(RayActorError):
            ray.get(one.die.options(max_task_retries=0).remote())
        ray.kill(two)
        three = engine.remote(board)
        ray.get([one.draw.remote(4, 40, 4), three.draw.remote(2, 20, 0)])
        once(lambda: board.sum() == Count(6 + 8 + 4 + 2, 240, 18))
        assert other.sum() is None


@pytest.mark.process
def test_no_work_waits_for_a_board_that_is_away_or_has_ended(engine):
    import ray

    def slow_posts():
        """Seconds of those of more than may be pending that took one: a busy machine may stop a
        few, and to wait for the board would be to wait as long for each that is too many."""
        seconds = ray.get([one.draw.remote(1, 10, 1) for _ in range(200)])
        return [each for each in seconds if each > 1]

    with Board.open() as board:
        one = engine.remote(board)
        assert len(slow_posts()) < 5
        assert once(board.sum).done
        (held,) = descendants("ray::Counts")
        held.suspend()
        assert len(slow_posts()) < 5
        held.kill()  # its next one knows what is posted from then on
        assert len(slow_posts()) < 5
        once(lambda: board.sum() == Count(600, 6000, 600))
    assert len(slow_posts()) < 5
    assert board.sum() is None


@pytest.mark.process
def test_what_is_told_is_told_to_the_end(engine, capsys):
    import ray

    with (
        Board.open() as board,
        board.watched(Progress("label", 10, "samples"), Count(6)),
    ):
        ray.get(engine.remote(board).draw.remote(4, 50, 0))
        once(board.sum)
    assert "label: 10 of 10 samples, 50 tokens" in capsys.readouterr().out
