"""The fast forms of fitted nets: close to the net, blind to padding, and made without touching it."""

import pytest
import torch
from torch import nn

from seqloom.compress.quantize import Int8Linear, fast_form
from seqloom.predict.base import Dims
from seqloom.registry import build

DIMS = Dims("regression", 1, 2, vocabulary=9, n_covariates=1, longest=60, symbols=(8,))
NETS = [
    {"kind": "cnn", "width": 64, "norm": "batch"},
    {"kind": "light-attention", "width": 64},
    {"kind": "mamba", "width": 64, "version": 1},
    {"kind": "mamba", "width": 64, "version": 2},
    {"kind": "rnn"},
    {"kind": "transformer", "width": 64},
]
every_net = pytest.mark.parametrize("settings", NETS, ids=lambda each: f"{each['kind']}{each.get('version', '')}")
every_form = pytest.mark.parametrize("form", ["auto", "bf16", "int8", "float32"])


def net_of(settings: dict) -> nn.Module:
    torch.manual_seed(0)
    return build("predictor", settings).module(DIMS).eval()


def inputs_of(lengths: list[int], width: int = 32) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    ids = torch.randint(1, 9, mask.shape, generator=generator) * mask
    return ids, mask, torch.randn(len(lengths), 1, generator=generator)


@every_net
@every_form
def test_outputs_are_those_of_the_net_but_for_rounding(settings, form):
    net = net_of(settings)
    inputs = inputs_of([32, 5, 17, 1, 30, 29, 8, 16])
    exact = net(*inputs).detach()
    found = fast_form(net, form)(*inputs)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    error = float((found - exact).abs().max() / exact.std(0).max())
    assert error == 0 if form == "float32" else error < 0.1
    if form == "bf16":
        assert error > 0


@every_net
@every_form
def test_padding_changes_no_more_than_rounding(settings, form):
    fast = fast_form(net_of(settings), form)
    ids, mask, covariates = inputs_of([32, 5, 17, 9])
    together = fast(ids, mask, covariates)
    wider = fast(*(nn.functional.pad(each, (0, 16)) for each in (ids, mask)), covariates)
    torch.testing.assert_close(wider, together, atol=2e-2, rtol=0)
    alone = fast(ids[[1], :8], mask[[1], :8], covariates[[1]])
    torch.testing.assert_close(alone[0], together[1], atol=2e-2, rtol=0)


@every_form
def test_the_net_is_left_as_it_was(form):
    net = net_of({"kind": "cnn", "width": 64, "norm": "batch"}).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    fast_form(net, form)(*inputs_of([4, 8]))
    assert net.training
    assert all(each.requires_grad and each.dtype == torch.float32 for each in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_linear_layer_in_8_bits_is_the_product_of_rounded_numbers():
    torch.manual_seed(0)
    layer, x = nn.Linear(48, 40), torch.randn(3, 5, 48)
    w_steps = layer.weight.detach().abs().amax(1, keepdim=True) / 127
    x_steps = x.abs().amax(2, keepdim=True) / 127
    weight, rounded = (layer.weight.detach() / w_steps).round() * w_steps, (x / x_steps).round() * x_steps
    found = Int8Linear(layer)(x)
    torch.testing.assert_close(found, nn.functional.linear(rounded, weight, layer.bias.detach()), atol=1e-5, rtol=1e-5)


@every_form
def test_a_layer_that_reads_one_number_gives_what_it_gave(form):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 5000))
    x = torch.randn(3, 1)
    torch.testing.assert_close(fast_form(net, form)(x), net(x).detach(), atol=2e-2, rtol=2e-2)


def test_zeros_and_no_rows_go_through_a_layer_in_8_bits():
    with torch.no_grad():
        layer = nn.Linear(16, 24)
        nn.init.zeros_(layer.weight)
    eight = Int8Linear(layer)
    torch.testing.assert_close(eight(torch.zeros(2, 16)), layer.bias.detach().expand(2, -1))
    assert eight(torch.zeros(0, 7, 16)).shape == (0, 7, 24)
