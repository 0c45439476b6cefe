"""The Triton kernels against torch's rewrite and float64: on a GPU, or by Triton's interpreter."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from chi_square import p_value

from pipelines.engine import edt_rewrite
from pipelines.engine.edt_rewrite import Change, Requests
from pipelines.method.keyed_draw import uniforms

pytestmark = pytest.mark.process

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def by_kernels(logits, slots, positions, requests, changes):
    """A rewritten copy."""
    from pipelines.engine.edt_kernels import rewrite

    moved = [one.to(DEVICE) for one in (logits.clone(), slots, positions)]
    rewrite(*moved, Requests(*(column.to(DEVICE) for column in requests)), changes)
    return moved[0].cpu()


@pytest.fixture(scope="module")
def rewritten():
    if DEVICE == "cuda":
        yield by_kernels
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")  # read where Triton is imported first: a new process
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield lambda *given: pool.submit(by_kernels, *given).result()


def requests_of(changes, t0=0.8, base=0.8, theta=1.0, paper_code=0.0, top_p=1.0):
    rows, given = len(changes), (t0, base, theta, paper_code, top_p)
    settings = torch.stack([torch.as_tensor(one).expand(rows) for one in given])
    return Requests(
        change=torch.tensor(changes, dtype=torch.int32),
        key=torch.arange(rows) * 7919,
        settings=settings.T.float().contiguous(),
    )


@pytest.mark.parametrize("vocab", [5_000, 50_001])
def test_rows_of_every_kind_are_rewritten_as_edt_does(rewritten, vocab):
    """Masked ones, certain ones, other settings; in an order that is not that of the slots."""
    torch.manual_seed(0)
    rows = 30
    logits = torch.randn(rows, vocab) * 4
    logits[0, :] = -torch.inf
    logits[0, [5, 300, vocab - 1]] = 1.0
    logits[1, :] = -torch.inf
    logits[1, vocab - 1] = 2.0
    logits[2, 77] = 60.0
    kinds = [*Change]
    changes = np.array([Change.DRAW] * 3 + [kinds[i % 5] for i in range(rows - 3)], np.int32)
    slots = torch.randperm(rows)
    by_slot = np.empty_like(changes)
    by_slot[slots.numpy()] = changes
    requests = requests_of(
        by_slot,
        base=torch.rand(rows) * 0.5 + 0.5,
        theta=torch.rand(rows) * (torch.arange(rows) % 5 > 0),
        paper_code=(torch.arange(rows) % 4 == 0).float(),
        top_p=torch.rand(rows),
    )
    positions = torch.arange(rows)
    expected = logits.clone()
    edt_rewrite.rewrite(expected, slots, positions, requests, changes)
    got = rewritten(logits, slots, positions, requests, changes)
    drawn = torch.from_numpy(np.isin(changes, [Change.DRAW, Change.DRAW_TOP_P]))
    assert torch.equal(got[drawn].argmax(-1), expected[drawn].argmax(-1))
    assert (got[drawn] != logits[drawn]).sum(-1).tolist() == [1] * int(drawn.sum())
    torch.testing.assert_close(got[~drawn], expected[~drawn], rtol=2e-5, atol=1e-5)


def test_draws_are_those_of_the_exact_distribution(rewritten):
    """In float64: the token that holds u, where u does not lie within rounding of its edges."""
    torch.manual_seed(1)
    rows, vocab = 48, 20_000
    logits = torch.randn(rows, vocab) * torch.linspace(1, 8, rows)[:, None]
    changes = np.full(rows, Change.DRAW)
    requests, positions = requests_of(changes), torch.arange(rows) % 7
    got = rewritten(logits, torch.arange(rows), positions, requests, changes).argmax(-1)
    z = logits.double()
    entropy = torch.special.entr(z.softmax(-1)).sum(-1)
    upper = (z / (0.8 * 0.8 ** (1 / entropy))[:, None]).softmax(-1).cumsum(-1)
    u = uniforms(requests.key, positions)
    high = upper.gather(1, got[:, None]).squeeze(1)
    low = torch.where(got > 0, upper.gather(1, (got - 1).clamp_min(0)[:, None]).squeeze(1), 0.0)
    assert (low - 1e-5 <= u).all()
    assert (u <= high + 1e-5).all()


def test_draws_are_distributed_as_intended(rewritten):
    """Chi-square over 500 rows of one distribution at a fixed temperature."""
    rows = 500  # an interpreter takes its time
    logits = torch.linspace(-2, 2, 20)
    changes = np.full(rows, Change.DRAW)
    requests = requests_of(changes, t0=0.9, theta=0.0)
    positions = torch.full((rows,), 3)
    got = rewritten(
        logits.repeat(rows, 1), torch.arange(rows), positions, requests, changes
    ).argmax(-1)
    expected = torch.softmax(logits.double() / 0.9, -1) * rows
    assert p_value(torch.bincount(got, minlength=20), expected) > 0.01


def test_draws_with_top_p_are_those_of_the_exact_nucleus(rewritten):
    """In float64, and beside rows without it: their draws are what they are without these."""
    torch.manual_seed(2)
    rows, vocab = 16, 10_000
    logits = (torch.randn(rows, vocab) * torch.linspace(0.5, 8, rows)[:, None]).mul(8).round() / 8
    changes = np.where(np.arange(rows) % 4, Change.DRAW_TOP_P, Change.DRAW)
    top_p = torch.linspace(0.02, 0.98, rows)
    requests = requests_of(changes, theta=0.0, top_p=top_p)
    slots, positions = torch.arange(rows), torch.arange(rows) % 7
    got = rewritten(logits, slots, positions, requests, changes).argmax(-1)
    p = (logits.double() / 0.8).softmax(-1)
    others = changes == Change.DRAW
    plain = np.full(rows, Change.DRAW)
    alone = rewritten(logits, slots, positions, requests_of(plain, theta=0.0), plain).argmax(-1)
    assert torch.equal(got[others], alone[others])
    for row in np.flatnonzero(~others):
        falling = p[row].sort(descending=True).values
        wanted = float(top_p[row])
        # A token at the edge may be in or out by rounding: neither then is looked at.
        before = falling.cumsum(0) - falling
        least, close = falling[before < wanted][-1], ((before - wanted).abs() < 1e-6).any()
        inside = torch.where(p[row] >= least * (1 - 1e-12), p[row], 0.0)
        cumulative = (inside / inside.sum()).cumsum(0)
        token = int(got[row])
        assert inside[token] > 0 or close
        u = float(uniforms(requests.key[row : row + 1], positions[row : row + 1]))
        low = float(cumulative[token - 1]) if token else 0.0
        assert low - 1e-5 <= u <= float(cumulative[token]) + 1e-5 or close


def test_draws_from_a_nucleus_are_distributed_as_intended(rewritten):
    rows = 100  # and more to look for a nucleus
    logits = torch.linspace(-2, 2, 12)
    changes = np.full(rows, Change.DRAW_TOP_P)
    requests = requests_of(changes, t0=0.9, theta=0.0, top_p=0.7)
    positions = torch.full((rows,), 3)
    got = rewritten(
        logits.repeat(rows, 1), torch.arange(rows), positions, requests, changes
    ).argmax(-1)
    exact = (logits.double() / 0.9).softmax(-1).flip(0)
    inside = int((exact.cumsum(0) - exact < 0.7).sum())
    expected = exact[:inside] / exact[:inside].sum() * rows
    assert p_value(torch.bincount(11 - got, minlength=inside), expected) > 0.01


@pytest.mark.gpu
def test_a_step_on_the_gpu_waits_for_nothing():
    from vllm import SamplingParams

    from pipelines.engine.edt_plugin import EDTLogitsProcessor

    device, rows, vocab = torch.device("cuda"), 256, 151_936
    config = SimpleNamespace(
        additional_config={"edt_warm_up": True},
        scheduler_config=SimpleNamespace(max_num_seqs=rows),
        model_config=SimpleNamespace(get_vocab_size=lambda: vocab),
    )
    prompt_len = torch.full((rows,), 20, dtype=torch.int32, device=device)
    states = SimpleNamespace(device=device, prompt_len=SimpleNamespace(gpu=prompt_len))
    processor = EDTLogitsProcessor(config, states)
    slots = np.random.default_rng(0).permutation(rows)
    context = SimpleNamespace(
        expanded_idx_mapping=torch.from_numpy(slots).to(device),
        idx_mapping_np=slots,
        pos=torch.full((rows,), 40, device=device),
    )
    logits = torch.randn(rows, vocab, device=device)

    def step(key):
        for slot in range(rows):
            extra = {"edt_t0": 0.8, "edt_key": key + slot, "token_facts": slot % 2}
            processor.add_request(slot, SamplingParams(temperature=0.0, extra_args=extra))
        processor.apply_staged_writes()
        return processor.apply(logits.clone(), context)

    step(0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(1_000)
    finally:
        torch.cuda.set_sync_debug_mode("default")
