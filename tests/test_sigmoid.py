"""The net of one layer: its layouts, and members of it stacked into one."""

import numpy as np
import pytest
import torch
from torch.func import functional_call, grad, stack_module_state, vmap

from seqloom.nn.dropout import rekey
from seqloom.predict.base import Dims
from seqloom.predict.sigmoid import Sigmoid, laid_out


def rows(lengths, width):
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    return torch.arange(1, width + 1).repeat(len(lengths), 1) * mask, mask


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("left", [[1, 2, 3, 0, 0], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [0, 0, 0, 0, 0]]),
        ("right", [[0, 0, 1, 2, 3], [1, 2, 3, 4, 5], [4, 5, 6, 7, 8], [0, 0, 0, 0, 0]]),
        ("centre", [[0, 1, 2, 3, 0], [1, 2, 3, 4, 5], [3, 4, 5, 6, 7], [0, 0, 0, 0, 0]]),
    ],
)
def test_rows_are_laid_out_by_position_and_longer_ones_cut_from_the_far_end(layout, expected):
    for width in (8, 16):
        assert laid_out(*rows([3, 5, 8, 0], width), layout, 5).tolist() == expected


def test_a_batch_narrower_than_the_longest_training_row_is_laid_out_too():
    assert laid_out(*rows([2], 3), "right", 6).tolist() == [[0, 0, 0, 0, 1, 2]]


def test_without_hidden_layers_effects_of_positions_add_up_before_one_sigmoid():
    dims = Dims("regression", 1, 1, vocabulary=6, longest=4)
    torch.manual_seed(0)
    net = Sigmoid(width=3, align="left").module(dims).double()
    torch.nn.init.normal_(net.layers[-1].weight)
    with torch.no_grad():
        ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5], [2, 2, 3, 4], [2, 2, 3, 5]])
        out = net(ids, ids > 0, torch.zeros(4, 0, dtype=torch.float64))[:, 0]
        low, high = net.ends.ends[0]
        share = torch.logit((out - low) / (high - low))
    np.testing.assert_allclose(share[0] - share[1], share[2] - share[3], atol=1e-5)


@pytest.mark.parametrize("task", ["regression", "multiclass"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("settings", [{}, {"hidden": (5, 4), "dropout": 0.3, "align": "all"}])
def test_members_stacked_into_one_net_are_the_members_alone(task, training, settings):
    dims = Dims(task, 1, 1 if task == "regression" else 3, vocabulary=9, n_covariates=2, longest=6)
    nets = [Sigmoid(width=4, **settings).module(dims).train(training) for _ in range(3)]
    for seed, net in enumerate(nets):
        torch.nn.init.normal_(net.layers[-1].weight)
        rekey(net, seed, 3)
    own = [rows(lengths, 8) for lengths in ([3, 6, 8, 1], [5, 5, 2, 7], [8, 1, 1, 4])]
    ids, mask = (torch.stack(parts) for parts in zip(*own, strict=True))
    covariates = torch.randn(3, 4, 2)

    def loss(parameters, buffers, *inputs):
        return functional_call(nets[0], (parameters, buffers), inputs).square().mean()

    parameters, buffers = stack_module_state(nets)
    stacked = vmap(grad(loss))(parameters, buffers, ids, mask, covariates)
    values = vmap(loss)(parameters, buffers, ids, mask, covariates)
    for member, net in enumerate(nets):
        alone = net(ids[member], mask[member], covariates[member]).square().mean()
        alone.backward()
        torch.testing.assert_close(values[member], alone, atol=1e-5, rtol=1e-5)
        for name, parameter in net.named_parameters():
            torch.testing.assert_close(stacked[name][member], parameter.grad, atol=1e-5, rtol=1e-5)
