"""A batch cut for workers: every row once, little padding, and equally many forwards for all."""

import pytest

from pipelines.training.micro_batches import collate, length_of, micro_batches, shares

MOST = 60


def row(number, length):
    response = [number] * (length - 5)
    return {"prompt_ids": [1, 2], "response_ids": response, "turn_ids": [3] * 3, "target": 0.5}


ROWS = [row(100 + i, 6 + i * 7 % 31) for i in range(22)]


def numbers(micros):
    return [one["response_ids"][0] for micro in micros for one in micro]


@pytest.mark.parametrize("workers", [1, 2, 3, 5, 22])
def test_every_row_is_some_workers_once(workers):
    cut = shares(ROWS, workers, MOST)
    assert len(cut) == workers
    assert sorted(number for micros in cut for number in numbers(micros)) == [
        100 + i for i in range(22)
    ]
    assert len({len(micros) for micros in cut}) == 1, "ZeRO reduces in every backward"


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_workers_have_nearly_equally_many_tokens(workers):
    tokens = [
        sum(length_of(one) for micro in micros for one in micro)
        for micros in shares(ROWS, workers, MOST)
    ]
    assert max(tokens) - min(tokens) <= max(map(length_of, ROWS))


def test_fewer_rows_than_workers():
    assert shares(ROWS[:1], 3, MOST) == [[[ROWS[0]]], [[]], [[]]]


def test_padded_micro_batches_stay_within_the_bound():
    groups = micro_batches([*ROWS, row(99, 200)], MOST)
    assert [numbers([group]) for group in groups if length_of(group[0]) > MOST] == [[99]]
    assert all(
        length_of(group[0]) * len(group) <= MOST for group in groups if length_of(group[0]) <= MOST
    )


def test_collate_pads_on_the_right_and_finds_the_responses():
    rows = [row(7, 9), row(8, 6) | {"target": 0.9}, row(9, 14)]
    batch = collate(rows, "cpu", eta=0.75)
    assert batch["length"].tolist() == [9, 6, 14]
    assert batch["ids"].shape == (3, 14)
    for i, one in enumerate(rows):
        whole = one["prompt_ids"] + one["response_ids"] + one["turn_ids"]
        assert batch["ids"][i].tolist() == whole + [0] * (14 - len(whole))
    # Of the row above eta alone: its one token stands in column 2.
    assert batch["response"].tolist() == [[1, 1]]
    assert collate(rows, "cpu", eta=0.95)["response"].shape == (0, 2)
