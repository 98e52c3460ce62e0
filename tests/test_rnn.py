"""Recurrent nets: their cells against torch's, their dropout against a slow loop, and each setting against what it stands for."""

import itertools
import tomllib

import numpy as np
import pytest
import tomli_w
import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from contracts.tables import Case
from seqloom.config import refuse_twins, resolve
from seqloom.drafts import drafts
from seqloom.errors import ConfigError
from seqloom.nn.cells import CELLS
from seqloom.nn.dropout import rekey
from seqloom.nn.recurrent import Recurrent, reversed_rows, to_the_right
from seqloom.nn.scan import Weights, scan
from seqloom.predict.base import Dims, Job
from seqloom.predict.net import Net
from seqloom.registry import build, settings_of

THEIRS = {"lstm": (nn.LSTM, "ifgo"), "gru": (nn.GRU, "rzn"), "simple": (nn.RNN, "h")}
DIMS = Dims("regression", 1, 1, vocabulary=21, n_covariates=2, alphabet="protein", longest=9, symbols=(20,))
every_cell = pytest.mark.parametrize("cell", list(CELLS))


def net(dims: Dims = DIMS, seed: int = 0, **settings: object) -> nn.Module:
    """A fresh net in double precision, for prediction."""
    torch.manual_seed(seed)
    recipe = build("predictor", {"kind": "rnn", "cell": "lstm", "embed": 5, "hidden": 4, **settings})
    assert isinstance(recipe, Net)
    return recipe.module(dims).double().eval()


def batch(lengths: tuple[int, ...] = (9, 4, 1, 7), width: int = 16, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """ids, mask and covariates of rows of these lengths."""
    torch.manual_seed(seed)
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    return torch.randint(1, 21, mask.shape) * mask, mask, torch.randn(len(lengths), 2).double()


def laid_out(theirs: nn.RNNBase, cell: str, layer: int, direction: int, *, gradients: bool = False) -> dict:
    """Weights of a layer of theirs, or their gradients, as ours are laid out."""
    letters, suffix = THEIRS[cell][1], f"_l{layer}{'_reverse' * direction}"
    values = [getattr(theirs, name + suffix) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    parts = [(each.grad if gradients else each.detach()).chunk(len(letters)) for each in values]
    w, u, b, c = (dict(zip(letters, part, strict=True)) for part in parts)
    order, states = ("nrz", "rzn") if cell == "gru" else (CELLS[cell].order,) * 2
    other = {gate: torch.zeros_like(c[gate]) if gradients or (cell, gate) == ("gru", "n") else c[gate] for gate in c}
    found = {
        "weight_input": torch.cat([w[gate] for gate in order]),
        "weight_state": torch.cat([u[gate] for gate in states]),
        "bias": torch.cat([b[gate] + other[gate] for gate in order]),  # their two biases are summed
    }
    return found | ({"bias_state": c["n"]} if cell == "gru" else {})  # but not around a reset gate


def copied(theirs: nn.RNNBase, ours: Recurrent) -> None:
    """Give our layers the weights of theirs."""
    for number, layer in enumerate(ours.layers):
        for direction in range(layer.bias.shape[0]):
            for name, value in laid_out(theirs, layer.cell, number, direction).items():
                getattr(layer, name).data[direction] = value


# --- cells ------------------------------------------------------------------------------------------------------------


@every_cell
@pytest.mark.parametrize(("layers", "directions"), [(1, 1), (1, 2), (2, 1), (3, 2)])
def test_layers_are_torchs_on_packed_sequences(cell, layers, directions):
    torch.manual_seed(1)
    lengths, width, hidden = torch.tensor([7, 3, 5, 1, 4]), 4, 3
    theirs = THEIRS[cell][0](width, hidden, layers, bidirectional=directions == 2, batch_first=True).double()
    ours = Recurrent(cell, width, hidden, directions=directions, layers=layers).double()
    copied(theirs, ours)
    x = torch.randn(5, 7, width).double()
    left, right = x.clone().requires_grad_(), x.clone().requires_grad_()
    _, h = theirs(pack_padded_sequence(left, lengths, batch_first=True, enforce_sorted=False))
    last = (h[0] if cell == "lstm" else h)[-directions:].transpose(0, 1).flatten(1)
    index = to_the_right(torch.arange(7).expand(5, 7), lengths)  # (L, B)
    moved = right[torch.arange(5), index].transpose(1, 2)  # (L, D, B)
    read = torch.stack([moved, reversed_rows(moved, lengths)][:directions], 1)
    own = ours(read, lengths)
    torch.testing.assert_close(own, last)
    weigh = torch.randn_like(last)
    (last * weigh).sum().backward()
    (own * weigh).sum().backward()
    torch.testing.assert_close(right.grad, left.grad)
    for number, layer in enumerate(ours.layers):
        for direction in range(directions):
            for name, value in laid_out(theirs, cell, number, direction, gradients=True).items():
                torch.testing.assert_close(getattr(layer, name).grad[direction], value)


@every_cell
def test_states_of_every_step_are_torchs(cell):
    torch.manual_seed(2)
    lengths = torch.tensor([6, 2, 4])
    theirs = THEIRS[cell][0](3, 5, batch_first=True).double()
    ours = Recurrent(cell, 3, 5, directions=1).double()
    copied(theirs, ours)
    x = torch.randn(3, 6, 3).double()
    packed, _ = theirs(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    expected, _ = pad_packed_sequence(packed, batch_first=True)
    index = to_the_right(torch.arange(6).expand(3, 6), lengths)
    every = ours.layers[0](x[torch.arange(3), index].transpose(1, 2).unsqueeze(1), lengths).every[:, 0]  # (L, H, B)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(every[6 - length :, :, row], expected[row, :length])
        assert not every[: 6 - length, :, row].any()


@every_cell
@pytest.mark.parametrize("dropped", [False, True])
def test_gradients_are_those_of_small_differences(cell, dropped):
    torch.manual_seed(3)
    kind, (length, n_groups, width, hidden, n_rows) = CELLS[cell], (5, 2, 2, 3, 3)
    shapes = [(length, n_groups, width, n_rows), (n_groups, kind.inputs * hidden, width)]
    shapes += [(n_groups, kind.states * hidden, hidden), (n_groups, kind.inputs * hidden), (n_groups, hidden)]
    given = [torch.randn(shape).double().requires_grad_() for shape in shapes[: 5 if cell == "gru" else 4]]
    drop = (torch.rand(n_groups, hidden, n_rows) > 0.4).double() * 1.7 if dropped else None
    lengths = torch.tensor([[4, 1, 3], [2, 4, 0]])
    assert torch.autograd.gradcheck(lambda x, *weights: scan(cell, x, lengths, Weights(*weights), drop), given)


@every_cell
def test_variational_dropout_is_a_slow_loop_with_one_mask_for_all_steps_and_gates(cell):
    torch.manual_seed(4)
    layer = Recurrent(cell, 3, 4, directions=1, drop_input=0.5, drop_state=0.5).double().layers[0].train()
    rekey(layer, 0, 1)
    x, lengths = torch.randn(6, 1, 3, 5).double(), torch.full((5,), 6)
    of_input = layer.drop_input.mask((1, 3, 5), x)[0]  # (D, B)
    of_state = layer.drop_state.mask((1, 4, 5), x)[0]  # (H, B)
    h, c = torch.zeros(4, 5).double(), torch.zeros(4, 5).double()
    for step in range(6):
        sums = layer.weight_input[0] @ (x[step, 0] * of_input) + layer.bias[0, :, None]
        from_state = layer.weight_state[0] @ (h * of_state)
        if cell == "lstm":
            o, i, f, g = (sums + from_state).chunk(4)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        elif cell == "gru":
            n, r, z = sums.chunk(3)
            from_r, from_z, from_n = from_state.chunk(3)
            z = (z + from_z).sigmoid()
            n = (n + (r + from_r).sigmoid() * (from_n + layer.bias_state[0, :, None])).tanh()
            h = (1 - z) * n + z * h
        else:
            h = (sums + from_state).tanh()
    torch.testing.assert_close(layer(x, lengths).last[0], h)
    assert {0.0, 2.0} == set(of_state.flatten().tolist())


# --- the net ----------------------------------------------------------------------------------------------------------

SETTINGS = [
    {},
    {"cell": "gru", "layers": 2, "head": [3], "norm": "before"},
    {"cell": "simple", "bidirectional": False, "norm": "after"},
    {"embed_per_direction": True, "mask": False, "boundary": True, "drop": "lstm111", "norm": "before"},
    {"layers": 2, "drop": "lstm111", "boundary": True},
]
every_setting = pytest.mark.parametrize("settings", SETTINGS, ids=str)


@every_setting
def test_neither_padding_nor_other_rows_change_an_output(settings):
    module, (ids, mask, covariates) = net(**settings), batch((9, 4, 1, 12, 0))
    together = module(ids, mask, covariates)
    for row, length in enumerate((9, 4, 1, 12, 0)):
        width = max(-(-length // 8) * 8, 8)
        alone = module(ids[[row], :width], mask[[row], :width], covariates[[row]])
        torch.testing.assert_close(alone, together[[row]])


@every_setting
@pytest.mark.parametrize("training", [False, True])
def test_members_stacked_into_one_net_are_the_members_alone(settings, training):
    modules = [net(seed=seed, **settings).train(training) for seed in range(3)]
    given = [batch((9, 4, 1, 7), seed=seed) for seed in range(3)]
    for seed, module in enumerate(modules):
        rekey(module, seed, 5)
    parameters, buffers = stack_module_state(modules)
    stacked = tuple(torch.stack(each) for each in zip(*given, strict=True))
    one = modules[0]
    by_func = vmap(grad(lambda p, b, *x: functional_call(one, (p, b), x).square().sum()))(
        parameters, {name: value.clone() for name, value in buffers.items()}, *stacked
    )
    out = vmap(lambda p, b, *x: functional_call(one, (p, b), x))(parameters, buffers, *stacked)
    out.square().sum().backward()
    for member, module in enumerate(modules):
        alone = module(*given[member])
        torch.testing.assert_close(out[member], alone)
        alone.square().sum().backward()
        for name, value in module.named_parameters():
            torch.testing.assert_close(parameters[name].grad[member], value.grad)
            torch.testing.assert_close(by_func[name][member], value.grad)


def test_without_a_mask_rows_are_read_as_padded_to_the_longest_training_row():
    unmasked, masked = net(mask=False), net()
    masked.load_state_dict(unmasked.state_dict())
    ids, mask, covariates = batch((9, 4, 1, 12))
    as_read = torch.arange(16) < torch.tensor([9, 9, 9, 12])[:, None]
    torch.testing.assert_close(unmasked(ids, mask, covariates), masked(ids, as_read, covariates))
    assert not torch.allclose(unmasked(ids, mask, covariates)[1], masked(ids, mask, covariates)[1])


def test_boundaries_are_two_symbols_around_each_sequence():
    bounded = net(boundary=True)
    plain = net(Dims("regression", 1, 1, vocabulary=23, n_covariates=2, longest=11))
    plain.load_state_dict(bounded.state_dict())
    ids, mask, covariates = batch((9, 4, 1))
    written = torch.zeros(3, 18, dtype=torch.long)
    for row, length in enumerate((9, 4, 1)):
        written[row, : length + 2] = torch.tensor([21, *ids[row, :length].tolist(), 22])
    torch.testing.assert_close(bounded(ids, mask, covariates), plain(written, written > 0, covariates))


def test_each_direction_may_have_its_own_embeddings():
    own, shared = net(embed_per_direction=True), net()
    state = shared.state_dict()
    state["embedding.weight"] = state["embedding.weight"].repeat(1, 2)
    own.load_state_dict(state)
    given = batch()
    torch.testing.assert_close(own(*given), shared(*given))
    own.embedding.weight.data[:, 5:] += 1
    assert not torch.allclose(own(*given), shared(*given))


def test_embedding_dropout_leaves_out_kinds_of_symbols_of_a_sequence():
    module = net(drop={"embed": 0.5}, bidirectional=False).train()
    rekey(module, 0, 0)
    ids = torch.tensor([[3, 4, 3, 5, 4, 3]] * 6).T  # (L, B)
    kept = module._embedded(ids, torch.full((6,), 6))[:, 0].abs().sum(1) > 0  # (L, B)
    assert torch.equal(kept[0], kept[2])
    assert torch.equal(kept[0], kept[5])
    assert torch.equal(kept[1], kept[4])
    assert 0 < kept.double().mean() < 1
    assert len({tuple(row) for row in kept.T.tolist()}) > 1  # other sequences, other kinds


def test_batch_norm_before_or_after_is_that_of_torch():
    ids, mask, covariates = batch((9, 4, 1, 7))
    before = net(norm="before", bidirectional=False).train()
    seen = before._embedded(to_the_right(ids, mask.sum(1)), mask.sum(1))[:, 0].permute(2, 0, 1)  # (B, L, D)
    kept = torch.arange(16) >= 16 - mask.sum(1)[:, None]
    embedded = before.embedding(ids[mask])
    expected = nn.functional.batch_norm(embedded, None, None, training=True)
    torch.testing.assert_close(seen[kept], expected)
    plain, after = net(drop={}).train(), net(norm="after", drop={}).train()
    captured = []
    plain.head.register_forward_pre_hook(lambda _, given: captured.append(given[0][:, :8]))
    after.head.register_forward_pre_hook(lambda _, given: captured.append(given[0][:, :8]))
    for module in (plain, after):
        module(ids, mask, covariates)
    torch.testing.assert_close(captured[1], nn.functional.batch_norm(captured[0], None, None, training=True))


def test_half_precision_around_the_net_does_not_reach_its_states():
    module, (ids, mask, covariates) = net(drop="lstm111").float().train(), batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = module(ids, mask, covariates.float())
        loss = out.float().square().sum()
    loss.backward()
    assert all(torch.isfinite(each.grad).all() for each in module.parameters() if each.grad is not None)


@every_cell
def test_what_stands_far_from_both_ends_is_learnt(cell):
    case = Case("rnn", "regression", n=90, settings={"epochs": 2})
    recipe = case.variant.predictor.model_copy(update={"cell": cell})
    torch.manual_seed(0)
    module = recipe.module(case.dims)
    ids = torch.randint(1, 20, (256, 16))
    y = (ids[:, 8] == 7) | (ids[:, 7] > 14)
    optimizer = torch.optim.AdamW(module.parameters(), 1e-2)
    for _ in range(60):
        loss = nn.functional.binary_cross_entropy_with_logits(
            module(ids, torch.ones_like(ids, dtype=torch.bool), torch.zeros(256, 0))[:, 0], y.float()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.2


# --- settings ---------------------------------------------------------------------------------------------------------


def test_presets_are_four_shares_by_their_digits():
    named = {name: build("predictor", {"kind": "rnn", "drop": name}).drop for name in ("lstm01", "lstm110", "LSTM000")}
    assert tuple(dict(named["lstm01"]).values()) == (0, 0, 0.5, 0.25)
    assert tuple(dict(named["lstm110"]).values()) == (0.25, 0.5, 0, 0.25)
    assert tuple(dict(named["LSTM000"]).values()) == (0, 0, 0, 0.25)
    assert build("predictor", {"kind": "rnn", "drop": {"input": 0.3}}).drop.out == 0
    for digits in itertools.chain(itertools.product("01", repeat=2), itertools.product("01", repeat=3)):
        build("predictor", {"kind": "rnn", "drop": f"lstm{''.join(digits)}"})


def test_equal_variants_of_dropout_are_found_equal_and_survive_a_file():
    case = Case("rnn", "regression", n=30)

    def variants(*values: object) -> list:
        sections = {"predictor": {"kind": "rnn"}, "vary": {"predictor.drop": list(values)}}
        return [resolve(draft, case.table, case.target) for draft in drafts(sections, ["rnn"])]

    refuse_twins(variants("lstm00", "lstm011", {"input": 0.5}))
    with pytest.raises(ConfigError, match="resolve to the same settings"):
        refuse_twins(variants("lstm011", {"input": 0.5, "recurrent": 0.5, "out": 0.25}))
    (variant,) = variants("lstm101")
    read = tomllib.loads(tomli_w.dumps(settings_of(variant.predictor)))
    assert build("predictor", read) == variant.predictor
    assert read["drop"] == {"embed": 0.25, "input": 0.0, "recurrent": 0.5, "out": 0.25}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"drop": "lstm02"}, r"\[predictor\] drop = 'lstm02': no such preset; give a preset \(lstm00 .. lstm11"),
        ({"drop": {"state": 0.5}}, "no share 'state'; available: embed, input, recurrent, out"),
        ({"drop": {"out": 1}}, r"drop.out = 1: .*less than 1"),
        ({"drop": 0.5}, "give a preset"),
        ({"embed_per_direction": True, "bidirectional": False}, "needs bidirectional = true"),
        ({"cell": "rnn"}, "cell = 'rnn'"),
    ],
)
def test_impossible_settings_are_refused_in_words(settings, said):
    with pytest.raises(ConfigError, match=said):
        build("predictor", {"kind": "rnn", **settings})


def test_any_settings_give_a_model_that_is_saved_and_restored():
    case = Case("rnn", "binary", n=40, settings={"epochs": 1})
    for settings in SETTINGS:
        recipe = build("predictor", {"kind": "rnn", "cell": "lstm", **settings})
        fitted = recipe.fit(case.examples["train"], case.examples["valid"], Job(case.dims, 0, case.variant.train))
        inputs = case.examples["test"].inputs
        restored = recipe.restore({name: np.array(value) for name, value in fitted.state().items()}, case.dims)
        np.testing.assert_allclose(restored.predict(inputs), fitted.predict(inputs), atol=1e-12)


@pytest.mark.parametrize(
    "settings", [{}, {"embed_per_direction": True, "boundary": True}, {"drop": {"embed": 0.5}}], ids=str
)
@pytest.mark.parametrize("cell", ["lstm", "gru", "simple"])
def test_kinds_of_symbols_read_as_a_whole_are_their_embeddings_read_one_by_one(cell, settings, monkeypatch):
    module, given = net(cell=cell, embed=64, **settings).train(), batch((9, 4, 1, 12, 0))
    rekey(module, 0, 1)
    assert module._reads_kinds()
    results = []
    for by_kind in (True, False):
        monkeypatch.setattr(module, "_reads_kinds", lambda by_kind=by_kind: by_kind)
        module.zero_grad()
        out = module(*given)
        out.square().sum().backward()
        results.append((out, {name: value.grad.clone() for name, value in module.named_parameters()}))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-4)


def test_a_sigmoid_output_stays_between_its_ends_and_leaves_logits_alone() -> None:
    own = net(output="sigmoid", head=(3,))
    torch.nn.init.normal_(own.head[-2].weight, std=100.0)
    out = own(*batch())
    low, high = own.head[-1].ends[0]
    assert ((out >= low) & (out <= high)).all()
    assert out.std() > 0
    binary = Dims("binary", 1, 1, vocabulary=21, n_covariates=2, alphabet="protein", longest=9, symbols=(20,))
    assert torch.equal(net(binary, output="sigmoid")(*batch()), net(binary)(*batch()))
