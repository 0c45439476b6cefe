"""A batch of examples, cut for the training workers and into padded tensors.

The rows of a batch follow from its number alone, not from how many workers there are: so any
number of them takes the same steps, up to rounding.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

Row = dict[str, Any]


def length_of(row: Row) -> int:
    return len(row["prompt_ids"]) + len(row["response_ids"]) + len(row["turn_ids"])


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


def collate(rows: Sequence[Row], device: Any, eta: float) -> dict[str, Tensor]:
    """What one forward needs of some rows, made on the host, so that nothing waits for a GPU.

    ids: [rows, width], int64, padded on the right; length, target: [rows]. response: [n, 2], the
    (row, column) of the hidden states that predict the tokens of the responses with a target
    above eta, which alone have a cross entropy.
    """
    ids = np.zeros((len(rows), max(map(length_of, rows))), dtype=np.int64)
    response: list[np.ndarray] = [np.empty((0, 2), dtype=np.int64)]
    for i, row in enumerate(rows):
        sequence = [*row["prompt_ids"], *row["response_ids"], *row["turn_ids"]]
        ids[i, : len(sequence)] = sequence
        if row["target"] > eta:
            columns = len(row["prompt_ids"]) - 1 + np.arange(len(row["response_ids"]))
            response.append(np.stack([np.full_like(columns, i), columns], axis=1))
    made = {
        "ids": torch.from_numpy(ids),
        "length": torch.tensor([length_of(row) for row in rows]),
        "target": torch.tensor([float(row["target"]) for row in rows]),
        "response": torch.from_numpy(np.concatenate(response)),
    }
    if torch.device(device).type == "cuda":
        made = {name: tensor.pin_memory() for name, tensor in made.items()}
    return {name: tensor.to(device, non_blocking=True) for name, tensor in made.items()}
