"""Counts that other processes post, and what the run's own reads of them."""

import os

import pytest

from pipelines.running.board import Board
from pipelines.running.progress import Count, Progress

pytestmark = pytest.mark.process


@pytest.fixture
def engine(ray_cluster):
    """An actor that counts as an engine's does, and may be killed."""
    import ray

    @ray.remote(num_cpus=0, max_restarts=1, max_task_retries=1)
    class Engine:
        def __init__(self, board):
            self.count = Count()
            self.posting = board.engine(self.count)
            self.post = self.posting.__enter__()

        def draw(self, samples, tokens, kept):
            self.count.done += samples
            self.count.tokens += tokens
            self.count.kept += kept
            self.post()

        def die(self):
            if not ray.get_runtime_context().was_current_actor_reconstructed:
                os._exit(1)

    return Engine


def test_the_run_reads_the_sum_of_what_its_engines_count(engine):
    import ray

    board, other = Board(), Board()
    assert board.sum() is None
    one, two = engine.remote(board), engine.remote(board)
    ray.get([one.draw.remote(3, 40, 0), two.draw.remote(4, 50, 4), one.draw.remote(1, 5, 4)])
    assert board.sum() == Count(8, 95)
    assert board.sum(before=100) == Count(108, 95)
    assert other.sum() is None


def test_what_is_told_is_forgotten_when_the_stage_ends(engine, capsys):
    import ray

    board = Board()
    with board.watched(Progress("label", 10, "samples"), before=6):
        ray.get(engine.remote(board).draw.remote(4, 50, 4))
    assert "label: 10 of 10 samples, 50 tokens" in capsys.readouterr().out
    assert board.sum() is None


def test_an_engine_that_died_goes_on_from_what_it_had_handed_over(engine):
    import ray

    board = Board()
    one = engine.remote(board)
    ray.get(one.draw.remote(10, 100, 6))  # four are drawn again
    ray.get(one.die.remote())
    assert board.sum() == Count(6, 100)
    ray.get(one.draw.remote(4, 50, 4))
    assert board.sum() == Count(10, 150)
