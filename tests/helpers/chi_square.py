"""Pearson's chi-square test. scipy has it, but transformers imports scipy wherever it is installed,
which costs every engine's process two seconds."""

from collections.abc import Sequence

import torch


def p_value(seen: Sequence[float], expected: Sequence[float]) -> float:
    """P(a statistic at least as large | counts are drawn from `expected`)."""
    observed = torch.as_tensor(seen, dtype=torch.float64)
    wanted = torch.as_tensor(expected, dtype=torch.float64)
    assert torch.isclose(observed.sum(), wanted.sum(), rtol=1e-6)
    statistic = ((observed - wanted) ** 2 / wanted).sum()
    freedom = torch.tensor((len(wanted) - 1) / 2, dtype=torch.float64)
    return float(torch.special.gammaincc(freedom, statistic / 2))
