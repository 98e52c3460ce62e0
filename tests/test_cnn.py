"""The convolutional net and its options, against a slow loop and against torch's own layers."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from seqloom.nn.dropout import rekey
from seqloom.predict.base import Dims
from seqloom.registry import build

DIMS = Dims("regression", 1, 2, vocabulary=9, n_covariates=1, longest=7, symbols=(8,))
NETS = [
    {},
    {"positions": "none"},
    {"norm": "batch"},
    {"filters": (8, 16, 16), "norm": "batch", "head": (12, 6), "pool": "mean"},
]
every_net = pytest.mark.parametrize("settings", NETS, ids=lambda each: " ".join(map(str, each.values())) or "default")


def net_of(settings: dict, seed: int = 0, longest: int = 7) -> nn.Module:
    torch.manual_seed(seed)
    return build("predictor", {"kind": "cnn", "width": 8, **settings}).module(replace(DIMS, longest=longest))


def inputs_of(lengths: list[int], width: int = 8, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Rows of random symbols: ids, mask, covariates."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    ids = torch.randint(1, 9, mask.shape, generator=generator) * mask
    return ids, mask, torch.randn(len(lengths), 1, generator=generator)


def sizes(net: nn.Module, kind: type) -> list[tuple[int, int]]:
    """Rows and columns of every weight of this kind of layer."""
    return [tuple(layer.weight.shape[:2]) for layer in net.modules() if isinstance(layer, kind)]


def test_the_net_is_two_residual_convolutions_maximum_and_mean():
    net = net_of({"positions": "none"}).eval()
    ids, mask, covariates = inputs_of([6])
    x = net.embedding(ids[0, :6]).T[None]  # without padding: (1, D, 6)
    for layer in net.convolutions:
        x = x + nn.functional.gelu(nn.functional.conv1d(x, layer.weight, layer.bias, padding=2))
    expected = net.head(torch.cat([x.amax(2), x.mean(2), covariates], dim=1))
    torch.testing.assert_close(net(ids, mask, covariates), expected, atol=1e-6, rtol=1e-5)
    assert sizes(net, nn.Conv1d) == [(8, 8), (8, 8)]
    assert sizes(net, nn.Linear) == [(8, 17), (2, 8)]


def test_filters_may_grow_and_the_head_may_have_several_layers():
    net = net_of({"filters": (16, 32, 32), "head": (24, 12), "pool": "max"})
    assert sizes(net, nn.Conv1d) == [(16, 8), (32, 16), (32, 32)]
    assert sizes(net, nn.Linear) == [(24, 33), (12, 24), (2, 12)]


def test_batch_norm_after_each_convolution_is_torchs_where_nothing_is_padded():
    net = net_of(
        {"positions": "none", "filters": (8, 16), "norm": "batch", "norm_eps": 0.01, "norm_momentum": 0.3}
    ).train()
    theirs = [nn.BatchNorm1d(size, eps=0.01, momentum=0.3) for size in (8, 16)]
    for step in range(3):
        rekey(net, 0, step)
        ids, mask, covariates = inputs_of([8, 8, 8], seed=step)
        x = net.embedding(ids).transpose(1, 2)
        x = x + nn.functional.gelu(theirs[0](net.convolutions[0](x)))
        x = nn.functional.gelu(theirs[1](net.convolutions[1](x)))  # more channels: no shortcut
        expected = net.head(torch.cat([x.amax(2), x.mean(2), covariates], dim=1))
        torch.testing.assert_close(net(ids, mask, covariates), expected, atol=1e-5, rtol=1e-5)
    for ours, other in zip(net.norms, theirs, strict=True):
        torch.testing.assert_close(ours.mean, other.running_mean)
        torch.testing.assert_close(ours.variance, other.running_var)


def test_positions_tell_the_middle_of_long_sequences_apart():
    same = torch.ones(1, 40, dtype=torch.int64)
    one, other = same.clone(), same.clone()
    one[0, 18], other[0, 22] = 2, 2
    mask, covariates = torch.ones(1, 40, dtype=torch.bool), torch.zeros(1, 1)
    cases = [("none", 40, False), ("learned", 60, True), ("auto", 50, True), ("auto", 51, False)]
    for positions, longest, differ in cases:
        net = net_of({"positions": positions}, longest=longest).eval()
        apart = (net(one, mask, covariates) - net(other, mask, covariates)).abs().max().item()
        assert (apart > 1e-4) is differ


@every_net
def test_padding_and_neighbours_in_a_batch_change_nothing(settings):
    net = net_of(settings).eval()
    ids, mask, covariates = inputs_of([8, 1, 0, 5])
    together = net(ids, mask, covariates)
    assert together.isfinite().all()
    wider = net(*(nn.functional.pad(each, (0, 16)) for each in (ids, mask)), covariates)
    torch.testing.assert_close(wider, together, atol=1e-5, rtol=0)
    for row in range(4):
        alone = net(ids[[row]], mask[[row]], covariates[[row]])
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=0)


@every_net
@pytest.mark.parametrize("train", [True, False])
def test_members_stacked_into_one_net_are_the_members_alone(settings, train):
    nets = [net_of(settings, seed).train(train) for seed in range(3)]
    for seed, net in enumerate(nets):
        rekey(net, seed, 5)
    parameters, buffers = stack_module_state(nets)
    inputs = [
        torch.stack(each) for each in zip(*(inputs_of([8, 3, 0, 5], seed=seed) for seed in range(3)), strict=True)
    ]
    out = vmap(lambda own, other, *of: functional_call(nets[0], (own, other), of))(parameters, buffers, *inputs)
    gradients = torch.autograd.grad(out.square().sum(), list(parameters.values()))
    for member, net in enumerate(nets):
        alone = net(*(each[member] for each in inputs))
        torch.testing.assert_close(out[member], alone, atol=1e-5, rtol=1e-5)
        alone.square().sum().backward()
        for (name, each), stacked in zip(net.named_parameters(), gradients, strict=True):
            torch.testing.assert_close(
                stacked[member], each.grad, atol=1e-5, rtol=1e-4, msg=lambda text, n=name: n + text
            )
        for name, each in net.named_buffers():
            if name in buffers:
                torch.testing.assert_close(buffers[name][member], each)
