"""EDT's temperature by hand and against torch's entropy; exact, order-free draws."""

import numpy as np
import pytest
import torch
from chi_square import p_value
from torch.distributions import Categorical

from pipelines.edt import centered, edt_temperature, inverse_cdf, uniforms
from pipelines.sampling import request_key


def temperature(logits: torch.Tensor, t0=0.8, base=0.8, theta=1.0, **more) -> torch.Tensor:
    rows = logits.shape[0]

    def column(value):
        return torch.full((rows,), float(value))

    return edt_temperature(centered(logits), column(t0), column(base), column(theta), **more)


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


def test_inverse_cdf_equals_a_float64_cumulative_sum():
    rng = np.random.default_rng(1)
    logits = torch.from_numpy(rng.normal(0, 5, (200, 1234))).float()
    t = torch.from_numpy(rng.uniform(0.1, 1.5, 200)).float()
    u = torch.from_numpy(rng.uniform(0, 1, 200))
    p = torch.softmax(logits.double() / t.double()[:, None], -1).cumsum(-1)
    expected = torch.searchsorted(p, u[:, None], right=True).squeeze(1)
    assert (
        inverse_cdf(centered(logits), t, u) == expected
    ).float().mean() > 0.99  # float32 exponentials


def test_inverse_cdf_never_draws_what_is_masked():
    logits = torch.full((3, 700), -torch.inf)
    logits[:, [5, 300, 640]] = 1.0
    u = torch.tensor([0.0, 0.5, 1 - 2**-53], dtype=torch.float64)
    assert inverse_cdf(centered(logits), torch.ones(3), u).tolist() == [5, 300, 640]


def test_temperature_zero_is_greedy():
    logits = torch.from_numpy(np.random.default_rng(2).normal(size=(50, 333))).float()
    u = torch.rand(50, dtype=torch.float64)
    assert (inverse_cdf(centered(logits), torch.zeros(50), u) == logits.argmax(-1)).all()


def test_sampled_distribution_is_the_intended_one():
    """Chi-square over 20,000 seeded draws from 12 tokens."""
    rows = 20_000
    logits = torch.tensor([2.0, 1.5, 1.0, 0.5, 0.0, 0.0, -0.5, -1.0, -1.5, -2.0, 0.2, 0.7])
    keys = torch.tensor([request_key(7, "q", i) for i in range(rows)])
    u = uniforms(keys, torch.full((rows,), 3))
    tokens = inverse_cdf(centered(logits.expand(rows, -1)), torch.full((rows,), 0.7), u)
    counts = torch.bincount(tokens, minlength=12)
    expected = torch.softmax(logits.double() / 0.7, -1) * rows
    assert p_value(counts, expected) > 0.01


def test_uniforms_are_uniform_and_reproducible():
    keys = torch.tensor([request_key(0, f"q{i}", s) for i in range(100) for s in range(10)])
    draws = torch.stack([uniforms(keys, torch.full_like(keys, p)) for p in range(20)])
    flat = draws.flatten().numpy()
    assert flat.min() >= 0
    assert flat.max() < 1
    counts, _ = np.histogram(flat, bins=100, range=(0, 1))
    assert p_value(counts, [len(flat) / 100] * 100) > 0.01
    # Neither positions nor neighbouring samples are correlated.
    assert abs(np.corrcoef(draws[0], draws[1])[0, 1]) < 0.1
    order = torch.randperm(len(keys))
    assert (uniforms(keys[order], torch.zeros_like(keys)) == draws[0][order]).all()


def test_uniforms_match_the_published_splitmix64():
    """The generator's known first outputs for seed 1234567 (Vigna's splitmix64.c)."""
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    got = uniforms(torch.tensor([1234567] * 3), torch.arange(3))
    assert got.tolist() == [(value >> 11) * 2.0**-53 for value in known]


def test_request_keys_tell_requests_apart():
    keys = {request_key(s, q, i) for s in (0, 1) for q in ("a", "b") for i in range(50)}
    assert len(keys) == 200
    assert all(0 <= key < 2**63 for key in keys)
