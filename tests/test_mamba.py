"""Mamba: the scans against the recurrence written down step by step, and what holds for every setting of the net."""

import numpy as np
import pytest
import torch
from torch.func import functional_call, grad, stack_module_state, vmap

from seqloom.errors import ConfigError
from seqloom.nn.dropout import rekey
from seqloom.nn.selective_scan import STRETCH_NUMBERS, selective_scan
from seqloom.nn.ssd import state_space
from seqloom.predict.base import Dims
from seqloom.registry import build

DIMS = Dims("regression", 1, 2, vocabulary=21, n_covariates=1)
SETTINGS = [
    {"version": 1},
    {"version": 1, "bidirectional": "none", "pool": "last"},
    {"version": 2, "bidirectional": "concat", "head_width": 4},
    {"version": 2, "bidirectional": "none", "pool": "mean"},
]
every_setting = pytest.mark.parametrize("settings", SETTINGS)


def step_by_step(u, dt, a, b, c):
    """Mamba-1 as its paper has it: u, dt (B, L, D), a (D, N), b, c (B, L, N)."""
    decay = torch.exp(torch.einsum("bld,dn->bldn", dt, a))
    drive = torch.einsum("bld,bld,bln->bldn", dt, u, b)
    h, y = torch.zeros_like(decay[:, 0]), []
    for t in range(u.shape[1]):
        h = decay[:, t] * h + drive[:, t]
        y.append(torch.einsum("bdn,bn->bd", h, c[:, t]))
    return torch.stack(y, 1)


def scan_inputs(length, rows=3, width=5, n=4, strength=1.0, dtype=torch.float32):
    made = torch.Generator().manual_seed(length)
    random = [torch.randn(rows, length, each, generator=made, dtype=dtype) for each in (width, width, n, n)]
    a = -torch.rand(width, n, generator=made, dtype=dtype) * strength
    dt = torch.nn.functional.softplus(random[1])
    return [each.requires_grad_() for each in (random[0], dt, a, random[2], random[3])]


def with_gradients(function, inputs, weights):
    y = function(*inputs)
    return [y.detach(), *torch.autograd.grad((y * weights).sum(), inputs)]


def one_set(*inputs):
    return selective_scan(*(each.unsqueeze(0) for each in inputs)).squeeze(0)


def same(ours, theirs, share=1e-5):
    for own, their in zip(ours, theirs, strict=True):
        assert torch.isfinite(own).all()
        assert float((own - their).abs().max()) <= share * max(float(their.abs().max()), 1.0)


@pytest.mark.parametrize("length", [1, 3, 8, 61, 160])
def test_the_selective_scan_and_its_gradients_are_those_of_the_recurrence(length, monkeypatch):
    monkeypatch.setitem(STRETCH_NUMBERS, "cpu", 16 * 3 * 5 * 4)  # of 16 steps
    inputs = scan_inputs(length)
    weights = torch.randn(3, length, 5)
    same(with_gradients(one_set, inputs, weights), with_gradients(step_by_step, inputs, weights))


def test_the_derivatives_of_the_selective_scan_are_those_of_finite_differences():
    inputs = scan_inputs(6, rows=2, width=3, n=2, dtype=torch.float64)
    assert torch.autograd.gradcheck(one_set, inputs)


@pytest.mark.parametrize("strength", [1e-4, 1e3])
def test_long_sequences_and_strong_decays_neither_overflow_nor_drift(strength):
    inputs = scan_inputs(700, rows=1, width=2, n=2, strength=strength)
    weights = torch.randn(1, 700, 2)
    exact = [each.detach().double().requires_grad_() for each in inputs]
    same(with_gradients(one_set, inputs, weights), with_gradients(step_by_step, exact, weights.double()), 2e-5)


def test_a_step_of_no_duration_keeps_the_state():
    u, dt, a, b, c = (each.detach().clone() for each in scan_inputs(9))
    dt[:, 4:6] = 0
    kept = [0, 1, 2, 3, 6, 7, 8]
    without = one_set(u[:, kept], dt[:, kept], a, b[:, kept], c[:, kept])
    torch.testing.assert_close(one_set(u, dt, a, b, c)[:, kept], without)


def heads_step_by_step(x, log_decay, b, c):
    """Mamba-2 as its paper has it: x (B, L, H, P), log_decay (B, L, H), b, c (B, L, N)."""
    state, y = x.new_zeros(*x.shape[:1], *x.shape[2:], b.shape[-1]), []
    for t in range(x.shape[1]):
        state = log_decay[:, t].exp()[..., None, None] * state + torch.einsum("bhp,bn->bhpn", x[:, t], b[:, t])
        y.append(torch.einsum("bhpn,bn->bhp", state, c[:, t]))
    return torch.stack(y, 1)


@pytest.mark.parametrize(("length", "chunk"), [(1, 8), (7, 8), (8, 8), (61, 8), (160, 32)])
@pytest.mark.parametrize("strength", [0.1, 50.0])
def test_chunks_of_the_state_space_and_their_gradients_are_those_of_the_recurrence(length, chunk, strength):
    made = torch.Generator().manual_seed(length)
    x, b, c = (torch.randn(2, length, *shape, generator=made) for shape in ((3, 4), (5,), (5,)))
    log_decay = -(torch.rand(2, length, 3, generator=made) ** 4) * strength  # strong and weak ones side by side
    inputs = [each.requires_grad_() for each in (x, log_decay, b, c)]
    weights = torch.randn(2, length, 3, 4, generator=made)
    exact = [each.detach().double().requires_grad_() for each in inputs]
    ours = with_gradients(lambda *each: state_space(*each, chunk=chunk), inputs, weights)
    same(ours, with_gradients(heads_step_by_step, exact, weights.double()))


def test_weights_of_pairs_have_the_derivatives_of_finite_differences():
    x, b, c = (torch.randn(1, 7, *shape, dtype=torch.float64) for shape in ((2, 2), (3,), (3,)))
    log_decay = -torch.rand(1, 7, 2, dtype=torch.float64)
    inputs = [each.requires_grad_() for each in (x, log_decay, b, c)]
    assert torch.autograd.gradcheck(lambda *each: state_space(*each, chunk=3), inputs)


def net(seed=0, **settings):
    torch.manual_seed(seed)
    heads = {"head_width": 8} if settings["version"] == 2 else {}
    recipe = build("predictor", {"kind": "mamba", "width": 8, "state": 4} | heads | settings)
    return recipe.module(DIMS)


def batch(*shape, length=24, seed=0):
    made = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, length + 1, shape, generator=made)
    mask = torch.arange(length) < lengths.unsqueeze(-1)
    ids = torch.randint(1, 21, (*shape, length), generator=made) * mask
    return ids, mask, torch.randn(*shape, 1, generator=made)


@every_setting
def test_padding_and_what_else_stands_in_a_batch_change_nothing(settings):
    module = net(**settings).eval()
    ids, mask, covariates = batch(6)
    together = module(ids, mask, covariates)
    for row in range(6):
        n = int(mask[row].sum())
        alone = module(ids[row : row + 1, :n], mask[row : row + 1, :n], covariates[row : row + 1])
        torch.testing.assert_close(alone, together[row : row + 1], atol=1e-5, rtol=0)


@every_setting
def test_an_empty_sequence_has_a_finite_output_and_gradient(settings):
    module = net(**settings)
    ids, mask = torch.zeros(2, 8, dtype=torch.int64), torch.zeros(2, 8, dtype=torch.bool)
    out = module(ids, mask, torch.zeros(2, 1))
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert all(torch.isfinite(each.grad).all() for each in module.parameters() if each.grad is not None)


@pytest.mark.parametrize("version", [1, 2])
def test_one_direction_knows_the_past_only_and_two_know_all(version):
    mask = torch.ones(1, 9, dtype=torch.bool)
    x = torch.randn(1, 9, 8, requires_grad=True)
    for way, reaches in (("none", False), ("sum", True), ("concat", True)):
        mixer = net(version=version, bidirectional=way).mixers[0]
        (gradient,) = torch.autograd.grad(mixer(x, mask)[0, 4].sum(), x)
        assert bool(gradient[0, :5].abs().sum(-1).all())
        assert bool(gradient[0, 5:].abs().sum(-1).all()) is reaches


def test_the_second_direction_reads_as_the_first_would_read_the_mirrored_sequence():
    ids, mask, covariates = batch(5)
    module = net(version=2, bidirectional="sum", pool="mean").eval()
    with torch.no_grad():
        for name, each in module.named_parameters():
            if ".scan." in name:
                each[1] = each[0]
        for mixer in module.mixers:
            first = mixer.enter.weight[8 * 2 :].unflatten(0, (2, -1))
            first[1] = first[0]
    mirrored = torch.zeros_like(ids)
    for row, n in enumerate(mask.sum(1).tolist()):
        mirrored[row, :n] = ids[row, :n].flip(0)
    torch.testing.assert_close(module(mirrored, mask, covariates), module(ids, mask, covariates), atol=1e-5, rtol=0)


@pytest.mark.parametrize("training", [True, False])
@every_setting
def test_members_stacked_into_one_net_equal_the_three_alone(settings, training):
    nets = [net(seed, **settings).train(training) for seed in range(3)]
    for seed, each in enumerate(nets):
        rekey(each, seed, 7)
    inputs = batch(3, 5)
    parameters, buffers = stack_module_state(nets)

    def output(parameters, buffers, *own):
        return functional_call(nets[0], (parameters, buffers), own)

    stacked = vmap(output)(parameters, buffers, *inputs)
    outer = torch.autograd.grad(stacked.square().sum(), list(parameters.values()))
    inner = vmap(grad(lambda *each: output(*each).square().sum()))(parameters, buffers, *inputs)
    for member, each in enumerate(nets):
        alone = each(*(part[member] for part in inputs))
        torch.testing.assert_close(stacked[member], alone, atol=1e-5, rtol=1e-5)
        own = torch.autograd.grad(alone.square().sum(), list(each.parameters()))
        for (name, _), expected, found in zip(each.named_parameters(), own, outer, strict=True):
            same([found[member], inner[name][member].detach()], [expected, expected])


@every_setting
def test_half_precision_outside_keeps_the_recurrence_in_single_precision(settings):
    module = net(**settings).eval()
    inputs = batch(4)
    with torch.autocast("cpu", torch.bfloat16):
        half = module(*inputs)
    half.float().sum().backward()
    whole = module(*inputs)
    np.testing.assert_allclose(half.detach().float(), whole.detach(), atol=0.05)


def test_scans_begin_as_their_authors_begin_them():
    one, two = net(version=1).mixers[0].scan, net(version=2).mixers[0].scan
    torch.testing.assert_close(-one.a_log.exp(), -torch.arange(1.0, 5).expand_as(one.a_log))
    for scan in (one, two):
        dt = torch.nn.functional.softplus(scan.dt_bias.detach())
        assert float(dt.min()) >= 1e-3 * 0.999
        assert float(dt.max()) <= 1e-1 * 1.001
        assert bool((scan.skip == 1).all())
    assert float(two.a_log.detach().exp().min()) >= 1
    assert float(two.a_log.detach().exp().max()) <= 16


def test_settings_that_do_not_fit_are_refused_in_words():
    with pytest.raises(ConfigError, match="does not divide the 96 channels"):
        build("predictor", {"kind": "mamba", "width": 48, "head_width": 64})
    with pytest.raises(ConfigError, match="version = 1 has no heads"):
        build("predictor", {"kind": "mamba", "version": 1, "head_width": 16})
