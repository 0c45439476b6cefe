"""Draws by key: exact and free of order, in small batches and in large ones."""

import numpy as np
import pytest
import torch
from chi_square import p_value

from pipelines.engine.sampling import request_key
from pipelines.method.edt import edt_temperature, spread
from pipelines.method.keyed_draw import inverse_cdf, nucleus, uniforms


def draw(logits: torch.Tensor, t: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    return inverse_cdf(logits, torch.arange(len(logits)), logits.amax(-1), t, u)


def test_inverse_cdf_equals_a_float64_cumulative_sum():
    rng = np.random.default_rng(1)
    logits = torch.from_numpy(rng.normal(0, 5, (200, 1234))).float()
    t = torch.from_numpy(rng.uniform(0.1, 1.5, 200)).float()
    u = torch.from_numpy(rng.uniform(0, 1, 200))
    p = torch.softmax(logits.double() / t.double()[:, None], -1).cumsum(-1)
    expected = torch.searchsorted(p, u[:, None], right=True).squeeze(1)
    assert (draw(logits, t, u) == expected).float().mean() > 0.99  # float32 exponentials


def test_inverse_cdf_never_draws_what_is_masked():
    logits = torch.full((3, 700), -torch.inf)
    logits[:, [5, 300, 640]] = 1.0
    u = torch.tensor([0.0, 0.5, 1 - 2**-53], dtype=torch.float64)
    assert draw(logits, torch.ones(3), u).tolist() == [5, 300, 640]


@pytest.mark.parametrize("vocab", [49_152, 50_001])
def test_a_large_batch_is_read_in_one_fused_pass_and_to_the_same_end(vocab):
    """Some rows of a batch, one of them masked but for a token, against float64."""
    rng = np.random.default_rng(3)
    batch = torch.from_numpy(rng.normal(0, 3, (40, vocab))).float()
    batch[4, :] = -torch.inf
    batch[4, vocab - 1] = 2.0
    rows = torch.arange(0, 40, 2)
    u = torch.from_numpy(rng.uniform(0, 1, 20))
    of = spread(batch, rows)
    each = torch.full((20,), 0.8)
    t = edt_temperature(of, each, each, torch.ones(20))
    p = torch.softmax(batch[rows].double(), -1)
    h = torch.special.entr(p).sum(-1).abs()
    torch.testing.assert_close(t, (0.8 * 0.8 ** (1 / h)).float(), rtol=2e-5, atol=1e-12)
    assert t[2] == 0
    tokens = inverse_cdf(batch, rows, of.top, t, u)
    cumulative = torch.softmax(batch[rows].double() / t.double().clamp_min(1e-6)[:, None], -1)
    cumulative = cumulative.cumsum(-1)
    # The draw's place in the exact distribution, to float32's rounding of the block sums.
    upper = cumulative.gather(1, tokens[:, None]).squeeze(1)
    lower = upper - cumulative.diff(prepend=torch.zeros(20, 1)).gather(1, tokens[:, None])[:, 0]
    assert (lower - 1e-5 <= u).all()
    assert (u <= upper + 1e-5).all()
    assert tokens[2] == vocab - 1


def test_a_large_batch_is_sampled_as_intended():
    """Chi-square over 20,000 draws, as many rows as make it a fused pass."""
    rows = 20_000
    logits = torch.linspace(-2, 2, 60)
    t = torch.full((rows,), 0.9)
    u = uniforms(torch.arange(rows) * 977, torch.zeros(rows, dtype=torch.int64))
    tokens = draw(logits.repeat(rows, 1), t, u)
    expected = torch.softmax(logits.double() / 0.9, -1) * rows
    assert p_value(torch.bincount(tokens, minlength=60), expected) > 0.01


def test_temperature_zero_is_greedy():
    logits = torch.from_numpy(np.random.default_rng(2).normal(size=(50, 333))).float()
    u = torch.rand(50, dtype=torch.float64)
    assert (draw(logits, torch.zeros(50), u) == logits.argmax(-1)).all()


def test_sampled_distribution_is_the_intended_one():
    """Chi-square over 20,000 seeded draws from 12 tokens."""
    rows = 20_000
    logits = torch.tensor([2.0, 1.5, 1.0, 0.5, 0.0, 0.0, -0.5, -1.0, -1.5, -2.0, 0.2, 0.7])
    keys = torch.tensor([request_key(7, "q", i) for i in range(rows)])
    u = uniforms(keys, torch.full((rows,), 3))
    tokens = draw(logits.expand(rows, -1), torch.full((rows,), 0.7), u)
    counts = torch.bincount(tokens, minlength=12)
    expected = torch.softmax(logits.double() / 0.7, -1) * rows
    assert p_value(counts, expected) > 0.01


def kept(logits, temperature, top_p):
    """Which tokens `nucleus` leaves, [rows, vocab]."""
    rows = len(logits)
    t, p = (torch.as_tensor(one).expand(rows).float() for one in (temperature, top_p))
    left = nucleus(logits, logits.amax(-1), t, p)
    inside = left > -torch.inf
    assert torch.equal(left[inside], logits[inside])
    return inside


def test_the_nucleus_is_the_smallest_set_with_the_mass():
    """Against float64: without its least likely tokens it has less, and it is what is likeliest."""
    rng = np.random.default_rng(4)
    logits = torch.from_numpy(rng.normal(0, 3, (60, 2345)).round(1)).float()  # many are equal
    t = torch.from_numpy(rng.uniform(0.2, 1.5, 60)).float()
    top_p = torch.from_numpy(rng.uniform(0.01, 0.999, 60)).float()
    inside = kept(logits, t, top_p)
    p = (logits.double() / t.double()[:, None]).softmax(-1)
    for row in range(60):
        least = logits[row][inside[row]].min()
        assert torch.equal(inside[row], logits[row] >= least)
        assert p[row][inside[row]].sum() >= top_p[row] - 1e-6
        assert p[row][logits[row] > least].sum() < top_p[row] + 1e-6


def test_nuclei_by_hand():
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log().expand(6, -1)
    inside = kept(logits, 1.0, torch.tensor([1e-9, 0.39, 0.41, 0.69, 0.71, 1.0]))
    assert inside.sum(-1).tolist() == [1, 1, 2, 2, 3, 4]
    even = torch.zeros(1, 300)
    assert kept(even, 1.0, 0.01).all()  # as likely as the least likely one
    masked = torch.full((1, 300), -torch.inf)
    masked[0, [3, 299]] = torch.tensor([0.0, 1.0])
    assert kept(masked, 1.0, 0.99).sum() == 2
    assert kept(masked, 0.0, 0.99).nonzero().tolist() == [[0, 299]]  # greedy


def test_draws_from_a_nucleus_are_distributed_as_intended():
    rows = 20_000
    logits = torch.linspace(-2, 2, 40).expand(rows, -1)
    t, p = torch.full((rows,), 0.7), torch.full((rows,), 0.8)
    left = nucleus(logits, logits.amax(-1), t, p)
    u = uniforms(torch.arange(rows) * 977, torch.zeros(rows, dtype=torch.int64))
    tokens = draw(left, t, u)
    exact = (logits[0].double() / 0.7).softmax(-1).flip(0)  # falling
    inside = int((exact.cumsum(0) - exact < 0.8).sum())
    assert 5 < inside < 30
    assert (tokens >= 40 - inside).all()
    counts = torch.bincount(39 - tokens, minlength=inside)
    assert p_value(counts, exact[:inside] / exact[:inside].sum() * rows) > 0.01


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
