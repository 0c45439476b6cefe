"""Masks follow from a row's key, a token's place, a module and a channel, and from nothing else."""

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.training.dropout import RowDropout, replace_dropout, token_keys

P, WIDTH, CHANNELS = 0.05, 60, 512


class Layer(nn.Module):
    """What PEFT's LoRA layers have of dropout."""

    def __init__(self):
        super().__init__()
        self.in_features = CHANNELS
        self.lora_dropout = nn.ModuleDict({"default": nn.Dropout(P)})


@pytest.fixture(scope="module")
def modules():
    layers = [Layer(), Layer()]
    replace_dropout(layers, P)
    return [layer.lora_dropout["default"] for layer in layers]


def dropped(module, *keys, width=WIDTH):
    """[rows, width, channels]: what a module makes of ones."""
    made = np.stack([token_keys(key, width) for key in keys])
    module.tokens = torch.from_numpy(made)
    out = module(torch.ones(len(keys), width, CHANNELS))
    module.tokens = None
    return out


def test_the_share_that_is_dropped_and_the_scale_of_the_rest(modules):
    out = dropped(modules[0], *((0, 1, row) for row in range(40)))
    values, counts = out.unique(return_counts=True)
    assert values.tolist() == pytest.approx([0.0, 1 / (1 - P)])
    n = out.numel()
    assert abs(int(counts[0]) - P * n) < 4 * (n * P * (1 - P)) ** 0.5
    for axes in ((0, 1), (0, 2), (1, 2)):  # by channel, place and row
        share = (out == 0).float().mean(axes)
        spread = (P * (1 - P) * len(share) / n) ** 0.5
        assert float((share - P).abs().max()) < 5 * spread
        assert float((share - P).std()) < 1.5 * spread, "no channel, place or row is favoured"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((0, 0, 1, 0), (0, 0, 1, 1)),  # another row
        ((0, 0, 1, 0), (0, 0, 2, 0)),  # step
        ((0, 0, 1, 0), (0, 1, 1, 0)),  # seed
        ((0, 0, 1, 0), (1, 0, 1, 0)),  # module
    ],
)
def test_masks_of_other_rows_steps_seeds_and_modules_are_independent(modules, first, second):
    """Both drop a value as often as two coins do that know nothing of each other."""
    both = 0
    for row in range(0, 40, 2):
        one, other = (
            dropped(modules[key[0]], (key[1], key[2], key[3] + row)) == 0 for key in (first, second)
        )
        both += int((one & other).sum())
    n = 20 * WIDTH * CHANNELS
    expected = P * P * n
    assert abs(both - expected) < 4 * expected**0.5


def test_neither_the_other_rows_of_a_batch_nor_padding_change_a_mask(modules):
    keys = [(7, 3, row) for row in range(4)]
    together = dropped(modules[0], *keys, width=80)
    for row, key in enumerate(keys):
        assert torch.equal(dropped(modules[0], key)[0], together[row, :WIDTH])
    assert torch.equal(dropped(modules[0], keys[2], keys[0], width=80), together[[2, 0]])


def test_tokens_may_stand_in_one_axis(modules):
    keys = (0, 1, 0), (0, 1, 1)
    expected = dropped(modules[0], *keys)
    modules[0].tokens = torch.from_numpy(np.stack([token_keys(key, WIDTH) for key in keys]))
    flat = modules[0](torch.ones(2 * WIDTH, CHANNELS))
    assert torch.equal(flat, expected.flatten(0, 1))
    with pytest.raises(ValueError, match=r"set train\.lora\.dropout to 0"):
        modules[0](torch.ones(WIDTH, CHANNELS))  # an expert's share of the tokens
    modules[0].tokens = None


def test_gradients_pass_where_values_do(modules):
    x = torch.ones(1, WIDTH, CHANNELS, requires_grad=True)
    modules[0].tokens = torch.from_numpy(token_keys((0, 1, 0), WIDTH)[None])
    out = modules[0](x)
    modules[0].tokens = None
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_without_keys_nothing_is_dropped():
    x = torch.randn(2, 3, 8)
    assert torch.equal(RowDropout(0.5, token_keys((0,), 8))(x), x)
