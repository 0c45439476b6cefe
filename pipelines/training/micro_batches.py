"""A batch of examples, cut for the training workers and into padded tensors.

The rows of a batch follow from its number alone, not from how many workers there are: so any
number of them takes the same steps, up to rounding.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipelines.training.dropout import token_keys

Row = dict[str, Any]


def has_calibration(row: Row) -> bool:
    """Whether its confidence has a loss; the example's task alone decides."""
    return row["task"] in ("calibration", "both")


def has_generation(row: Row) -> bool:
    """Whether its response has a cross entropy."""
    return row["task"] in ("generation", "both")


def length_of(row: Row) -> int:
    """Tokens of its sequence: the confidence turn is in it where its reply has a loss."""
    turn = len(row["turn_ids"]) if has_calibration(row) else 0
    return len(row["prompt_ids"]) + len(row["response_ids"]) + turn


def shares(rows: Sequence[Row], workers: int, most_tokens: int) -> list[list[list[Row]]]:
    """A batch's rows -> each worker's micro-batches, every row once, lengths spread evenly.

    ZeRO reduces in every backward, so all workers have equally many; the last ones of some may be
    empty.
    """
    by_length = sorted(rows, key=length_of, reverse=True)
    cut = [micro_batches(by_length[worker::workers], most_tokens) for worker in range(workers)]
    most = max(map(len, cut))
    return [[*micros, *([] for _ in range(most - len(micros)))] for micros in cut]


def micro_batches(rows: Sequence[Row], most_tokens: int) -> list[list[Row]]:
    """Rows by length, in groups whose padded size is at most most_tokens (one row always fits)."""
    groups: list[list[Row]] = []
    for row in sorted(rows, key=length_of, reverse=True):
        if groups and length_of(groups[-1][0]) * (len(groups[-1]) + 1) <= most_tokens:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def collate(rows: Sequence[Row], device: Any, end_id: int | None) -> dict[str, Tensor]:
    """What one forward needs of some rows, made on the host, so that nothing waits for a GPU.

    ids: [rows, width], int64, padded on the right; keys: [rows, width], int32, of the dropout of
    each token, from row["key"]. reply: [c, 2], the (row, column) of the hidden
    states that predict the reply to the confidence turn; target, weight: [c], float32. response:
    [n, 2], those that predict the tokens of responses, and end_id after one that ended by itself;
    label: [n], these tokens; share: [n], float32, one over the number of them in the row.
    """
    ids = np.zeros((len(rows), max(map(length_of, rows))), dtype=np.int64)
    keys = np.zeros(ids.shape, dtype=np.int32)
    asked, said = [], [np.empty((0, 4))]
    for i, row in enumerate(rows):
        length, start = length_of(row), len(row["prompt_ids"])
        ids[i, :length] = [*row["prompt_ids"], *row["response_ids"], *row["turn_ids"]][:length]
        keys[i, :length] = token_keys(row["key"], length)
        if has_calibration(row):
            asked.append((i, length - 1, row["target"], row["weight"]))
        if has_generation(row):
            ends = [end_id] if row["ended"] and end_id is not None else []
            labels = np.array([*row["response_ids"], *ends])
            columns = start - 1 + np.arange(len(labels))
            said.append(np.stack(np.broadcast_arrays(i, columns, labels, 1 / len(labels)), axis=1))
    of_reply = torch.tensor(asked, dtype=torch.float64).reshape(-1, 4)
    of_token = torch.from_numpy(np.concatenate(said))
    made = {
        "ids": torch.from_numpy(ids),
        "keys": torch.from_numpy(keys),
        "reply": of_reply[:, :2].long(),
        "target": of_reply[:, 2].float(),
        "weight": of_reply[:, 3].float(),
        "response": of_token[:, :2].long(),
        "label": of_token[:, 2].long(),
        "share": of_token[:, 3].float(),
    }
    if torch.device(device).type == "cuda":
        made = {name: tensor.pin_memory() for name, tensor in made.items()}
    return {name: tensor.to(device, non_blocking=True) for name, tensor in made.items()}
