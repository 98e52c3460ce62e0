"""Layers shared by nets, against torch's own and against values known by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from seqloom.nn.dropout import Dropout, hashed, key_of, rekey
from seqloom.nn.norm import MaskedBatchNorm


def test_dropout_leaves_out_its_share_and_keeps_the_mean():
    layer = Dropout(0.3)
    rekey(layer, seed=1, epoch=0, step=2)
    x = torch.ones(200, 26, 32)
    out = layer(x)
    assert float((out == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert float(out.mean()) == pytest.approx(1.0, abs=0.01)
    assert torch.equal(layer.eval()(x), x)


def test_dropout_masks_follow_seed_step_and_layer_alone():
    net = nn.Sequential(Dropout(0.5), Dropout(0.5))
    x = torch.ones(4, 100)

    def masks(seed: int, step: int) -> list[torch.Tensor]:
        rekey(net, seed, step)
        return [layer(x) for layer in net]

    first, again, other_step, other_seed = masks(3, 5), masks(3, 5), masks(3, 6), masks(4, 5)
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], other_step[0])
    assert not torch.equal(first[0], other_seed[0])
    assert key_of(1, 0, 0) != key_of(0, 1, 0) != key_of(0, 0, 1)


def test_dropout_over_a_sequence_uses_one_mask_at_all_its_positions():
    layer = Dropout(0.5, over="sequence")
    rekey(layer, 0, 0)
    out = layer(torch.ones(8, 5, 16))
    assert torch.equal(out, out[:, :1].expand_as(out))
    assert not torch.equal(out[0], out[1])


def test_masks_do_not_depend_on_how_far_a_row_is_padded():
    key = torch.tensor(5)
    assert torch.equal(hashed((4, 8, 3), key), hashed((4, 16, 3), key)[:, :8])


def test_hashed_numbers_are_uniform_and_uncorrelated():
    numbers = hashed((400_000,), torch.tensor(7)).numpy()
    counts = np.histogram(numbers, 20, (0, 1))[0]
    assert ((counts - 20_000) ** 2 / 20_000).sum() < 45  # chi-square of 19 degrees: 0.1 % lie above 44
    assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.006


def test_batch_norm_is_torchs_where_nothing_is_padded():
    ours, theirs = MaskedBatchNorm(6, eps=1e-3, momentum=0.2), nn.BatchNorm1d(6, eps=1e-3, momentum=0.2)
    mask = torch.ones(5, 4, dtype=torch.bool)
    for seed in range(3):
        x = torch.randn(5, 4, 6, generator=torch.Generator().manual_seed(seed)) * 3 + 1
        torch.testing.assert_close(ours(x, mask), theirs(x.transpose(1, 2)).transpose(1, 2))
    torch.testing.assert_close(ours.mean, theirs.running_mean)
    torch.testing.assert_close(ours.variance, theirs.running_var)
    torch.testing.assert_close(ours.eval()(x, mask), theirs.eval()(x.transpose(1, 2)).transpose(1, 2))


def test_batch_norm_does_not_see_padding():
    layer = MaskedBatchNorm(3)
    x = torch.randn(4, 5, 3)
    mask = torch.arange(5) < torch.tensor([5, 3, 2, 1])[:, None]
    spoiled = torch.where(mask[..., None], x, 1e6)
    out = layer(spoiled, mask)
    assert torch.equal(out[~mask], torch.zeros_like(out[~mask]))
    kept = x[mask]
    expected = (kept - kept.mean(0)) / torch.sqrt(kept.var(0, correction=0) + layer.eps)
    torch.testing.assert_close(out[mask], expected)


def test_batch_norm_of_one_position_uses_the_running_means():
    layer = MaskedBatchNorm(3)
    x = torch.randn(1, 2, 3)
    out = layer(x, torch.tensor([[True, False]]))
    torch.testing.assert_close(out[0, 0], x[0, 0] / np.sqrt(1 + layer.eps))
    assert torch.equal(layer.mean, torch.zeros(3))


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm, self.dropout = nn.Linear(4, 4), MaskedBatchNorm(4), Dropout(0.5)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.norm(self.linear(x), mask))


def test_members_stacked_into_one_net_get_the_masks_and_means_of_their_own():
    nets = [Small() for _ in range(3)]
    for seed, net in enumerate(nets):
        rekey(net, seed, 5)
    parameters, buffers = stack_module_state(nets)
    x, mask = torch.randn(3, 10, 8, 4), torch.ones(3, 10, 8, dtype=torch.bool)
    stacked = vmap(lambda p, b, *inputs: functional_call(nets[0], (p, b), inputs))(parameters, buffers, x, mask)
    for member, net in enumerate(nets):
        torch.testing.assert_close(stacked[member], net(x[member], mask[member]))
        torch.testing.assert_close(buffers["norm.mean"][member], net.norm.mean)
