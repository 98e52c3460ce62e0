"""The net of two sequence columns: how it tells them apart, what it can learn of both together, and members stacked into one."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.func import functional_call, grad, stack_module_state, vmap

import seqloom
from contracts.tables import Case, peptides
from seqloom.encode.tokens import TokenEncoder
from seqloom.errors import ConfigError
from seqloom.metrics import score
from seqloom.nn.dropout import rekey
from seqloom.predict.base import Dims
from seqloom.predict.two_towers import Convolutions, Positions, TwoTowers, columns_of
from seqloom.table import DataSection, read_table

DIMS = Dims("regression", 1, 2, vocabulary=9, n_covariates=1, longest=9, symbols=(4, 3), lengths=((2, 4), (3, 4)))
SEPARATOR, SHIFT = 8, 4
VARIANTS = [
    {},
    {"join": "product"},
    {"join": "cross-attention"},
    {"first": "cnn", "second": "cnn", "kernel": 3},
    {"second": "cnn", "join": "cross-attention", "kernel": 3},
    {"first": "cnn", "join": "product", "kernel": 3},
]


def stream(rows, width):
    """Ids and mask of (first, second) pairs of lists of own ids."""
    joint = [[*first, SEPARATOR, *(each + SHIFT for each in second)] for first, second in rows]
    ids = torch.tensor([[*each, *[0] * (width - len(each))] for each in joint])
    return ids, torch.arange(width) < torch.tensor([len(each) for each in joint])[:, None]


def random_rows(seed, n):
    rng = np.random.default_rng(seed)
    return [
        (rng.integers(1, 5, rng.integers(2, 5)).tolist(), rng.integers(1, 4, rng.integers(3, 5)).tolist())
        for _ in range(n)
    ]


def net(settings, seed=0, dims=DIMS):
    torch.manual_seed(seed)
    return TwoTowers(width=8, heads=2, head=(6, 5), **settings).module(dims)


def test_the_columns_of_a_stream_are_told_apart_with_ids_of_their_own():
    rows = [([1, 2, 3, 4], [1, 2, 3]), ([4], [3, 3, 1]), ([], [2]), ([2, 2], [])]
    for width in (8, 16):
        ids, mask = stream(rows, width)
        for number, (own, kept) in enumerate(columns_of(ids, mask, SEPARATOR, SHIFT)):
            assert [row[keep].tolist() for row, keep in zip(own, kept, strict=True)] == [each[number] for each in rows]
            assert not own[~kept].any()
    own, kept = columns_of(ids, torch.zeros_like(mask), SEPARATOR, SHIFT)[1]
    assert not kept.any()
    assert not own.any()


def test_sizes_of_both_columns_are_those_of_the_shortest_and_longest_training_row():
    data = pa.table({"one": ["MKV", "MKVLA", "MKVL"], "two": ["CCO", "CCN", "CCF"], "y": [1.0, 2, 3]})
    section = DataSection(sequence=("one", "two"), alphabet={"one": "protein", "two": "smiles"})
    case = Case("two-towers", "regression", n=60)
    table = read_table(data, section, ("y",))
    encoder = TokenEncoder().fit(table)
    dims = Dims.of(case.fitted_target, encoder.transform(table), encoder)
    assert dims.lengths == ((3, 5), (3, 3))
    none = encoder.transform(table).take(np.zeros(0, np.int64))
    assert Dims.of(case.fitted_target, none, encoder).lengths == ((0, 0), (0, 0))
    assert Dims(**dims.as_json()).lengths == dims.lengths


@pytest.mark.parametrize("settings", VARIANTS)
def test_padding_and_other_rows_of_a_batch_change_nothing(settings):
    module = net(settings).eval()
    rows = random_rows(0, 6)
    ids, mask = stream(rows, 24)
    covariates = torch.randn(6, 1)
    together = module(ids, mask, covariates)
    for row in range(6):
        alone, kept = stream(rows[row : row + 1], 9)
        torch.testing.assert_close(module(alone, kept, covariates[row : row + 1])[0], together[row], atol=1e-5, rtol=0)


@pytest.mark.parametrize("settings", VARIANTS)
def test_training_and_prediction_see_the_same_columns(settings):
    module = net({**settings, "dropout": 0.0})
    ids, mask = stream(random_rows(1, 6), 16)
    covariates = torch.zeros(6, 1)
    torch.testing.assert_close(module.train()(ids, mask, covariates), module.eval()(ids, mask, covariates))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("settings", VARIANTS)
def test_members_stacked_into_one_net_are_the_members_alone(settings, training):
    nets = [net(settings, seed).train(training) for seed in range(3)]
    for seed, each in enumerate(nets):
        rekey(each, seed, 3)
    own = [stream(random_rows(seed, 5), 16) for seed in range(3)]
    ids, mask = (torch.stack(parts) for parts in zip(*own, strict=True))
    mask[2, 4] = False  # a row that fills up a member's batch
    covariates = torch.randn(3, 5, 1)

    def loss(parameters, buffers, *inputs):
        return functional_call(nets[0], (parameters, buffers), inputs).square().mean()

    parameters, buffers = stack_module_state(nets)
    stacked = vmap(grad(loss))(parameters, buffers, ids, mask, covariates)
    values = vmap(loss)(parameters, buffers, ids, mask, covariates)
    for member, each in enumerate(nets):
        alone = each(ids[member], mask[member], covariates[member]).square().mean()
        alone.backward()
        torch.testing.assert_close(values[member], alone, atol=1e-5, rtol=1e-5)
        for name, parameter in each.named_parameters():
            torch.testing.assert_close(stacked[name][member], parameter.grad, atol=1e-5, rtol=1e-5)


def test_short_and_equally_long_columns_are_read_by_position_and_others_by_convolutions():
    for lengths, expected in [
        ((8, 15), Positions),
        ((34, 34), Positions),
        ((20, 60), Convolutions),
        ((400, 400), Convolutions),
    ]:
        dims = Dims("regression", 1, 1, vocabulary=9, longest=70, symbols=(4, 3), lengths=((2, 4), lengths))
        net_of = TwoTowers().module(dims)
        assert isinstance(net_of.first, Positions)
        assert isinstance(net_of.second, expected)
        assert net_of.first.layouts == ("left", "right")


def test_a_row_longer_than_any_training_row_is_predicted():
    long = [([1, 2, 3, 4] * 3, [1, 2, 3] * 4)]
    for settings in VARIANTS:
        assert torch.isfinite(net(settings).eval()(*stream(long, 32), torch.zeros(1, 1))).all()


@pytest.mark.parametrize("join", ["concat", "product", "cross-attention"])
def test_what_one_column_means_by_the_other_is_learnt(join):
    """A peptide binds where its first residue fits the kind of groove: neither column says anything by itself."""
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("AL"), 5)) for _ in range(600)]
    grooves = ["".join(rng.choice(list("KE"), 3)) for _ in range(600)]
    fits = [(one[0] == "L") == (two[1] == "K") for one, two in zip(sequences, grooves, strict=True)]
    section = DataSection(sequence=("one", "two"), alphabet="protein")
    table = read_table(pa.table({"one": sequences, "two": grooves, "y": np.array(fits, float)}), section, ("y",))
    case = Case("two-towers", "regression", n=60, settings={"epochs": 30, "lr": 5e-3})
    encoder = TokenEncoder().fit(table)
    inputs, y = encoder.transform(table), np.array(fits, float)[:, None]
    examples = type(case.examples["train"])
    train, valid, test = (
        examples(inputs.take(rows), y[rows]) for rows in (np.arange(400), np.arange(400, 450), np.arange(450, 600))
    )
    case.dims = Dims.of(case.fitted_target, train.inputs, encoder)
    job = seqloom.predict.base.Job(case.dims, 0, case.variant.train)
    outputs = TwoTowers(join=join, head=(32,), width=8).fit(train, valid, job).predict(test.inputs)
    assert score("auroc", "binary", test.y, np.clip(outputs, 0, 1)) > 0.98


def test_a_table_with_another_number_of_sequence_columns_is_refused_with_advice(tmp_path):
    data = pa.table({"one": peptides(40), "two": peptides(40, 1), "y": np.arange(40.0)})
    with pytest.raises(
        ConfigError,
        match=r"'two-towers' needs 2 sequence columns, and the table has 1 \(one\).*--sequence.*other columns: two",
    ):
        seqloom.train(data, out=tmp_path / "run", settings={"predictor.kind": "two-towers"}, sequence="one", target="y")


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="do not divide"):
        TwoTowers(join="cross-attention", width=30, heads=4)
