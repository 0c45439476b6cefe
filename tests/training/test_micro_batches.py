"""A batch cut for workers: every row once, little padding, and equally many forwards for all."""

import pytest

from pipelines.method.prompts import Prompts
from pipelines.training.micro_batches import collate, length_of, micro_batches, shares

MOST = 60
END = 99
ENDS = {
    "chatml": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "r1": "<｜end▁of▁sentence｜>",
    "gemma": "<end_of_turn>",
}


def row(number, length):
    response = [number] * (length - 5)
    return {
        "task": "calibration",
        "prompt_ids": [1, 2],
        "response_ids": response,
        "ended": True,
        "key": (0,),
        "turn_ids": [3] * 3,
        "target": 0.5,
        "weight": 1.5,
    }


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


def test_collate_pads_on_the_right():
    rows = [row(7, 9), row(8, 6), row(9, 14)]
    batch = collate(rows, "cpu", END)
    assert batch["ids"].shape == (3, 14)
    for i, one in enumerate(rows):
        whole = one["prompt_ids"] + one["response_ids"] + one["turn_ids"]
        assert batch["ids"][i].tolist() == whole + [0] * (14 - len(whole))
    assert batch["reply"].tolist() == [[0, 8], [1, 5], [2, 13]]
    assert [batch["target"].tolist(), batch["weight"].tolist()] == [[0.5] * 3, [1.5] * 3]
    assert batch["response"].shape == (0, 2)


def predicted(rows, end_id):
    """By row: (column, label) of what is predicted."""
    batch = collate(rows, "cpu", end_id)
    by_row = {}
    for (i, column), label in zip(batch["response"].tolist(), batch["label"].tolist(), strict=True):
        by_row.setdefault(i, []).append((column, label))
    for i, found in by_row.items():
        own = batch["share"][batch["response"][:, 0] == i]
        assert own.tolist() == pytest.approx([1 / len(found)] * len(found))
    return by_row


def test_the_cross_entropy_covers_exactly_the_responses_and_the_ends_that_were_sampled():
    rows = [
        row(7, 7) | {"task": "generation"},
        row(8, 7),
        row(9, 7) | {"task": "generation", "ended": False},
        row(6, 6) | {"task": "both"},
    ]
    assert predicted(rows, END) == {
        0: [(1, 7), (2, 7), (3, END)],
        2: [(1, 9), (2, 9)],
        3: [(1, 6), (2, END)],
    }
    assert predicted(rows, None)[0] == [(1, 7), (2, 7)], "a model that names no end token"


def test_a_confidence_turn_is_read_only_where_its_reply_has_a_loss():
    own = row(7, 9)
    lengths = [length_of(own | {"task": task}) for task in ("calibration", "both", "generation")]
    assert lengths == [9, 9, 6]
    batch = collate([own | {"task": "generation"}], "cpu", END)
    assert batch["ids"].tolist() == [[1, 2, 7, 7, 7, 7]]
    assert batch["reply"].shape == (0, 2)


def test_the_label_after_a_response_is_what_the_template_ends_it_with(tokenizer):
    """Which the confidence turn begins with, so it is what stands next in the sequence, too."""
    prompts = Prompts.from_tokenizer(tokenizer)
    response = tokenizer.encode("The answer is 42.", add_special_tokens=False)
    one = row(0, 6) | {
        "task": "both",
        "prompt_ids": prompts.sampling_ids("How many?"),
        "response_ids": response,
        "turn_ids": prompts.turn_ids,
    }
    column, label = predicted([one], prompts.end_id)[0][-1]
    assert tokenizer.decode([label]) == ENDS[tokenizer.family]
    assert label in prompts.end_ids
    ids = collate([one], "cpu", prompts.end_id)["ids"][0]
    assert ids[column] == response[-1]
    assert ids[column + 1] == label
    assert predicted([one | {"ended": False}], prompts.end_id)[0][-1] == (column - 1, response[-1])
