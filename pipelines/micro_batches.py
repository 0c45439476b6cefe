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


def collate(rows: Sequence[Row], device: Any) -> dict[str, Tensor]:
    """Right-padded ids, mask [rows, width]; start, end of the response, length, target [rows]."""
    width = max(map(length_of, rows))
    ids = np.zeros((len(rows), width), dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for i, row in enumerate(rows):
        sequence = [*row["prompt_ids"], *row["response_ids"], *row["turn_ids"]]
        ids[i, : len(sequence)] = sequence
        mask[i, : len(sequence)] = 1
    start = [len(row["prompt_ids"]) for row in rows]
    end = [s + len(row["response_ids"]) for s, row in zip(start, rows, strict=True)]
    made = {
        "ids": torch.from_numpy(ids),
        "mask": torch.from_numpy(mask),
        "start": torch.tensor(start),
        "end": torch.tensor(end),
        "length": torch.from_numpy(mask.sum(axis=1)),
        "target": torch.tensor([float(row["target"]) for row in rows]),
    }
    return {name: tensor.to(device) for name, tensor in made.items()}
