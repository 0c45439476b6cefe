"""EDT's temperature by hand and against torch's entropy."""

import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from pipelines.method.edt import edt_temperature, spread


def temperature(logits: torch.Tensor, t0=0.8, base=0.8, theta=1.0, **more) -> torch.Tensor:
    rows = logits.shape[0]

    def column(value):
        return torch.full((rows,), float(value))

    of = spread(logits, torch.arange(rows))
    return edt_temperature(of, column(t0), column(base), column(theta), **more)


def test_hand_values():
    two_way = torch.tensor([[0.0, 0.0, -torch.inf, -torch.inf]])  # H = ln 2
    assert temperature(two_way).item() == pytest.approx(0.8 * 0.8 ** (1 / np.log(2)), rel=1e-6)
    uniform = torch.zeros(1, 1000)  # H = ln 1000
    assert temperature(uniform).item() == pytest.approx(0.8 * 0.8 ** (1 / np.log(1000)), rel=1e-6)
    one_hot = torch.tensor([[50.0, -torch.inf, -torch.inf]])
    assert temperature(one_hot).item() == 0.0


def test_against_torch_on_random_rows():
    logits = torch.from_numpy(np.random.default_rng(0).normal(0, 4, (64, 500))).float()
    h = Categorical(logits=logits.double()).entropy()
    expected = 0.7 * 0.9 ** (1.3 / h)
    torch.testing.assert_close(
        temperature(logits, 0.7, 0.9, 1.3), expected.float(), rtol=2e-5, atol=0
    )


def test_theta_zero_is_a_fixed_temperature():
    logits = torch.tensor([[50.0, -torch.inf], [0.0, 0.0]])
    assert temperature(logits, t0=0.6, theta=0.0).tolist() == pytest.approx([0.6, 0.6])


def test_paper_code_leaves_out_log_z():
    even = torch.zeros(1, 2)  # its entropy is 0 on a 50/50 split, so T is 0
    assert temperature(even, paper_code=True).item() == 0.0
    logits = torch.tensor([[2.0, 1.0, 0.0]])
    p = torch.softmax(logits[0].double(), -1)
    h = -(p * p.log()).sum() + p.max().log()
    expected = 0.8 * 0.8 ** (1 / h.item())
    assert temperature(logits, paper_code=True).item() == pytest.approx(expected, rel=1e-5)
