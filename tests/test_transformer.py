"""Transformer and light attention, against torch's encoder layer, complex numbers and slow loops."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

from seqloom.errors import ConfigError
from seqloom.nn.attention import EncoderLayer, attention
from seqloom.nn.dropout import rekey
from seqloom.nn.positions import BASE, LearnedPositions, from_both_ends, rotated, sinusoidal
from seqloom.predict.base import Dims
from seqloom.registry import build

DIMS = Dims("regression", 1, 2, vocabulary=9, n_covariates=1, longest=7, symbols=(8,))
TWO_COLUMNS = Dims("regression", 1, 2, vocabulary=9, n_covariates=1, longest=7, symbols=(4, 3))
SMALL = {"kind": "transformer", "width": 16, "heads": 4, "feed_forward": 24}
NETS = [
    *({**SMALL, "positions": each} for each in ("learned", "sinusoidal", "rotary")),
    {**SMALL, "norm": "post", "pool": "cls"},
    {**SMALL, "pool": "max"},
    {"kind": "light-attention", "width": 8, "kernel": 3},
    {"kind": "light-attention", "width": 8, "kernel": 3, "positions": "none"},
]
every_net = pytest.mark.parametrize("settings", NETS, ids=lambda each: " ".join(map(str, each.values())))


def net_of(settings: dict, dims: Dims = DIMS, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build("predictor", settings).module(dims)


def inputs_of(lengths: list[int], width: int = 8, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Rows of random symbols: ids, mask, covariates."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    ids = torch.randint(1, 9, mask.shape, generator=generator) * mask
    return ids, mask, torch.randn(len(lengths), 1, generator=generator)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_an_encoder_layer_is_torchs_with_the_same_weights(norm):
    torch.manual_seed(0)
    ours = EncoderLayer(16, 4, 24, 0.0, norm).eval()
    theirs = nn.TransformerEncoderLayer(16, 4, 24, 0.0, "gelu", batch_first=True, norm_first=norm == "pre")
    theirs.self_attn.in_proj_weight.data = ours.attention.project.weight.data
    theirs.self_attn.in_proj_bias.data = ours.attention.project.bias.data
    pairs = [
        (theirs.self_attn.out_proj, ours.attention.out),
        (theirs.linear1, ours.feed_forward[0]),
        (theirs.linear2, ours.feed_forward[3]),
        (theirs.norm1, ours.norms[0]),
        (theirs.norm2, ours.norms[1]),
    ]
    for one, other in pairs:
        one.load_state_dict({name: torch.randn_like(value) for name, value in one.state_dict().items()})
        other.load_state_dict(one.state_dict())
    _, mask, _ = inputs_of([8, 5, 1])
    x = torch.randn(3, 8, 16)
    torch.testing.assert_close(ours(x, mask)[mask], theirs(x, src_key_padding_mask=~mask)[mask], atol=1e-5, rtol=1e-5)


def test_rotation_is_multiplication_by_complex_numbers_of_length_one():
    x = torch.randn(2, 3, 50, 8)
    angle = torch.arange(50)[:, None] * BASE ** (-torch.arange(4) * 2 / 8)
    turned = torch.view_as_complex(x.reshape(2, 3, 50, 4, 2)) * torch.polar(torch.ones_like(angle), angle)
    torch.testing.assert_close(rotated(x), torch.view_as_real(turned).flatten(-2), atol=1e-5, rtol=1e-5)


def test_rotated_queries_and_keys_meet_by_the_difference_of_their_places():
    query, key = torch.randn(2, 16)
    queries, keys = (rotated(each.expand(1, 1, 40, 16))[0, 0] for each in (query, key))
    products = queries @ keys.T  # (40, 40)
    for shift in (-7, 0, 1, 12):
        along = products.diagonal(shift)
        torch.testing.assert_close(along, along[:1].expand_as(along), atol=1e-4, rtol=1e-4)
    assert (products[0, 1:] - products[0, 0]).abs().max() > 0.1


def test_sinusoidal_positions_are_those_of_the_paper_for_each_end():
    start, end = torch.arange(1, 6)[None], torch.arange(5, 0, -1)[None]
    found = sinusoidal(start, end, 8)[0]
    for row in range(5):
        for half, place in enumerate((row + 1, 5 - row)):
            for i in range(2):
                angle = place / 10000 ** (2 * i / 4)
                at = 4 * half + 2 * i
                assert found[row, at : at + 2].tolist() == pytest.approx([np.sin(angle), np.cos(angle)], abs=1e-6)


def test_places_are_counted_from_both_ends_of_each_column():
    ids = torch.tensor([[1, 2, 3, 8, 5, 6, 0, 0], [8, 1, 0, 0, 0, 0, 0, 0], [0] * 8])
    mask = torch.arange(8) < torch.tensor([6, 2, 0])[:, None]
    start, end = from_both_ends(ids, mask, separator=8)
    assert start.tolist() == [[1, 2, 3, 0, 1, 2, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0], [0] * 8]
    assert end.tolist() == [[3, 2, 1, 0, 2, 1, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0], [0] * 8]
    start, end = from_both_ends(ids, mask)
    assert start[0].tolist() == [1, 2, 3, 4, 5, 6, 0, 0]
    assert end[0].tolist() == [6, 5, 4, 3, 2, 1, 0, 0]


def test_learned_positions_beyond_the_longest_training_row_share_the_last():
    positions = LearnedPositions(4, longest=5)
    far = positions(torch.tensor([[5, 6, 99]]), torch.tensor([[1, 1, 1]]))[0]
    assert torch.equal(far[0], far[1])
    assert torch.equal(far[0], far[2])


def test_attention_is_a_softmax_over_kept_keys():
    query, key, value = torch.randn(3, 2, 4, 8, 5)
    mask = torch.arange(8) < torch.tensor([8, 3])[:, None]
    found = attention(query, key, value, mask)
    for row, n in enumerate((8, 3)):
        scores = query[row] @ key[row, :, :n].transpose(1, 2) / 5**0.5
        torch.testing.assert_close(found[row], scores.softmax(-1) @ value[row, :, :n], atol=1e-5, rtol=1e-5)


def test_light_attention_weighs_each_channel_by_itself():
    net = net_of({"kind": "light-attention", "width": 6, "kernel": 3, "positions": "none"}).eval()
    ids, mask, covariates = inputs_of([5])
    x = nn.functional.pad(net.embedding(ids[0, :5]), (0, 0, 1, 1))  # zeros beyond both ends
    rows = [x[place : place + 3].T for place in range(5)]  # (D, kernel) each
    values, scores = (
        torch.stack([(layer.weight * row).sum((1, 2)) + layer.bias for row in rows])
        for layer in (net.values, net.scores)
    )
    weighed = (values * scores.exp() / scores.exp().sum(0)).sum(0)
    hidden = net.hidden(torch.cat([weighed, values.max(0).values, covariates[0]])).relu()
    expected = net.out(hidden / (1 + net.norm.eps) ** 0.5)
    torch.testing.assert_close(net(ids[:, :8], mask, covariates)[0], expected, atol=1e-5, rtol=1e-5)


@every_net
def test_padding_and_neighbours_in_a_batch_change_nothing(settings):
    net = net_of(settings).eval()
    ids, mask, covariates = inputs_of([8, 1, 0, 5])
    together = net(ids, mask, covariates)
    wider = net(*(nn.functional.pad(each, (0, 16)) for each in (ids, mask)), covariates)
    torch.testing.assert_close(wider, together, atol=1e-5, rtol=0)
    for row in range(4):
        alone = net(ids[[row]], mask[[row]], covariates[[row]])
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=0)


@every_net
def test_rows_without_symbols_have_finite_outputs_and_gradients(settings):
    net = net_of(settings).train()
    net(*inputs_of([0, 0])).square().sum().backward()
    net(*inputs_of([0, 4])).square().sum().backward()
    assert all(each.grad.isfinite().all() for each in net.parameters() if each.grad is not None)


@every_net
@pytest.mark.parametrize("train", [True, False])
def test_members_stacked_into_one_net_are_the_members_alone(settings, train):
    nets = [net_of(settings, TWO_COLUMNS, seed).train(train) for seed in range(3)]
    for seed, net in enumerate(nets):
        rekey(net, seed, 5)
    parameters, buffers = stack_module_state(nets)
    again = {name: value.clone() for name, value in buffers.items()}
    inputs = [
        torch.stack(each) for each in zip(*(inputs_of([8, 3, 0, 5], seed=seed) for seed in range(3)), strict=True)
    ]

    def loss(own: dict, other: dict, *of: torch.Tensor) -> torch.Tensor:
        return functional_call(nets[0], (own, other), of).square().sum()

    out = vmap(lambda own, other, *of: functional_call(nets[0], (own, other), of))(parameters, buffers, *inputs)
    outside = torch.autograd.grad(out.square().sum(), list(parameters.values()), allow_unused=True)
    inside = vmap(grad(loss))({name: value.detach() for name, value in parameters.items()}, again, *inputs)
    for member, net in enumerate(nets):
        alone = net(*(each[member] for each in inputs))
        torch.testing.assert_close(out[member], alone, atol=1e-5, rtol=1e-5)
        alone.square().sum().backward()
        for (name, each), stacked in zip(net.named_parameters(), outside, strict=True):
            torch.testing.assert_close(stacked[member], each.grad, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(inside[name][member], each.grad, atol=1e-5, rtol=1e-4)


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ConfigError, match=r"width = 60 is not a multiple of 4 and of heads = 8"):
        build("predictor", {"kind": "transformer", "width": 60, "heads": 8})
    with pytest.raises(ConfigError, match=r"rotary.*width / heads = 3 is odd"):
        build("predictor", {"kind": "transformer", "width": 12, "heads": 4, "positions": "rotary"})
