"""The twin net: antisymmetry, what is compared with what, anchors, and how little is computed."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

import seqloom
from contracts.tables import Case, peptides
from seqloom.encode.base import Inputs
from seqloom.errors import ConfigError, DataError
from seqloom.predict.base import Dims, Examples, Job
from seqloom.predict.fitting import fit_model
from seqloom.predict.pairs import batches_of_groups, pairs_of, with_partners
from seqloom.predict.twin import PairStep, Twin, TwinNet
from seqloom.training.device import open_fabric
from seqloom.training.settings import TrainSection

DIMS = Dims("regression", 1, 1, n_features=6)


def examples_of(n: int, seed: int = 0, n_targets: int = 1, groups: np.ndarray | None = None) -> Examples:
    """Rows whose targets are sums of features, the second target of the others."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 6)).astype(np.float32)
    y = np.stack([features[:, :3].sum(1), features[:, 3:].sum(1)], axis=1)[:, :n_targets].astype(np.float64)
    return Examples(Inputs(features=features), y, groups=groups)


def fitted_twin(n: int = 80, epochs: int = 3, n_targets: int = 1, dims: Dims = DIMS, **settings):
    job = Job(dims, 0, TrainSection(epochs=epochs, device="cpu"))
    return Twin(**settings).fit(examples_of(n, n_targets=n_targets), examples_of(20, 1, n_targets), job)


def test_differences_change_their_sign_with_the_order_of_the_rows_and_are_zero_of_a_row_and_itself():
    torch.manual_seed(0)
    net = TwinNet(Twin(), replace(DIMS, n_targets=2, n_outputs=2)).eval()
    features = torch.randn(9, 6)
    left, right = (each.flatten() for each in torch.meshgrid(torch.arange(9), torch.arange(9), indexing="ij"))
    with torch.no_grad():
        there, back = net(features, left, right), net(features, right, left)
    assert there.shape == (81, 2)
    assert (there + back).abs().max() < 1e-6
    assert there.abs().max() > 0.01
    assert there[left == right].abs().max() == 0


def test_a_prediction_is_the_mean_over_anchors_of_their_target_plus_the_difference():
    model, train, new = fitted_twin(anchors=0), examples_of(80), examples_of(5, 2)
    both = torch.from_numpy(np.concatenate([new.inputs.features, train.inputs.features]))
    said = np.zeros((5, 80))
    with torch.no_grad():
        for row in range(5):
            for anchor in range(80):
                difference = model.net(both, torch.tensor([row]), torch.tensor([5 + anchor]))
                said[row, anchor] = train.y[anchor, 0] + float(difference)
    np.testing.assert_allclose(model.predict(new.inputs)[:, 0], said.mean(1), atol=1e-5)
    np.testing.assert_allclose(model.spread(new.inputs)[:, 0], said.std(1), atol=1e-5)


def test_nearest_anchors_are_those_found_by_looking_at_all():
    model, new = fitted_twin(anchors=7), examples_of(12, 2)
    with torch.no_grad():
        encodings = model.net.encoder(torch.from_numpy(new.inputs.features))
        differences = model.net.difference(encodings[:, None], model.anchors.encodings)
    said = (model.anchors.y + differences)[:, :, 0].numpy()
    distance = np.linalg.norm(encodings.numpy()[:, None] - model.anchors.encodings.numpy(), axis=2)
    nearest = np.argsort(distance, axis=1)[:, :7]
    np.testing.assert_allclose(model.predict(new.inputs)[:, 0], np.take_along_axis(said, nearest, 1).mean(1), atol=1e-5)
    everything = replace(model, n_nearest=0).predict(new.inputs)
    assert np.abs(everything - model.predict(new.inputs)).max() > 1e-3


@pytest.mark.parametrize(("anchors", "expected"), [(0, 80), (9, 9)])
def test_a_new_row_costs_one_encoding_and_one_pair_for_each_anchor(anchors, expected):
    model, new = fitted_twin(anchors=anchors), examples_of(30, 2)
    counts = {"encoded": 0, "pairs": 0}

    def count(name, n_axes):
        def hook(_module, _inputs, output):
            counts[name] += int(np.prod(output.shape[:n_axes]))

        return hook

    model.net.encoder.register_forward_hook(count("encoded", 1))
    model.net.difference.register_forward_hook(count("pairs", 2))
    model.predict(new.inputs)
    assert counts == {"encoded": 30, "pairs": 30 * expected}


def test_a_training_step_encodes_each_row_once_for_all_its_pairs():
    train = examples_of(40)
    fabric = open_fabric("cpu")
    step = PairStep(TwinNet(Twin(), DIMS), Twin(), train, train, Job(DIMS, 0, TrainSection(batch=20)), fabric)
    sizes = []
    step.bare.encoder.register_forward_hook(lambda _module, _inputs, output: sizes.append(len(output)))
    step.bare.difference.register_forward_hook(lambda _module, _inputs, output: sizes.append(len(output)))
    for batch in step.batches(0):
        step.update(batch, fabric)
    assert sizes == [20, 20 * 19 // 2] * 2


def test_pairs_and_batches_stay_within_groups_and_leave_out_rows_without_partners():
    groups = np.random.default_rng(0).integers(-1, 30, 120)
    compared = set(with_partners(groups).tolist())
    assert compared == {row for row in range(120) if groups[row] >= 0 and (groups == groups[row]).sum() > 1}
    n_pairs = []
    for epoch in range(3):
        batches = list(batches_of_groups(groups, 32, 5, epoch))
        assert sorted(np.concatenate(batches).tolist()) == sorted(compared)
        assert max(map(len, batches)) <= 32
        for batch in batches:
            left, right = pairs_of(groups[batch])
            assert (groups[batch[left]] == groups[batch[right]]).all()
            assert (groups[batch[left]] >= 0).all()
            assert (left < right).all()
            n_pairs.append(len(left))
    sizes = np.bincount(groups[groups >= 0])
    assert sum(n_pairs) > 0.8 * 3 * (sizes * (sizes - 1) // 2).sum()
    again = list(batches_of_groups(groups, 32, 5, 0))
    assert [each.tolist() for each in again] == [each.tolist() for each in batches_of_groups(groups, 32, 5, 0)]
    assert again[0].tolist() != batches[0].tolist()


def test_within_groups_the_level_of_a_group_teaches_nothing():
    groups = np.repeat(np.arange(8), 10)
    train = examples_of(80, groups=groups)
    shifted = replace(train, y=train.y + 8 * (groups % 2)[:, None])
    steps = []
    for given in (train, shifted):
        torch.manual_seed(0)
        net = TwinNet(Twin(), DIMS)
        fabric = open_fabric("cpu")
        step = PairStep(net, Twin(pairs="group"), given, given, Job(DIMS, 0, TrainSection(batch=16)), fabric)
        for epoch in range(2):
            for batch in step.batches(epoch):
                step.update(batch, fabric)
        steps.append(net.state_dict())
    for name, value in steps[0].items():
        np.testing.assert_allclose(value, steps[1][name], atol=1e-4)


def test_groups_that_are_not_there_are_asked_for():
    table = pa.table({"sequence": peptides(60), "y": np.arange(60.0), "site": ["a", "b", "c"] * 20})
    settings = {"predictor.kind": "twin", "predictor.pairs": "group", "train.epochs": 1}
    with pytest.raises(ConfigError, match=r"no group column; name it with --group COLUMN"):
        seqloom.train(table, target="y", settings=settings, split="random")
    job = Job(DIMS, 0, TrainSection(device="cpu"))
    with pytest.raises(ConfigError, match="no group column"):
        Twin(pairs="group").fit(examples_of(10), examples_of(5), job)
    with pytest.raises(DataError, match="no two share theirs"):
        Twin(pairs="group").fit(examples_of(10, groups=np.arange(10)), examples_of(5), job)


def test_a_table_with_groups_is_learnt_within_them(tmp_path):
    sequences = peptides(90)
    rng = np.random.default_rng(0)
    site = rng.integers(0, 6, 90)
    y = np.array([each.count("L") + each.count("V") for each in sequences]) + 20.0 * site
    table = pa.table({"sequence": sequences, "y": y, "site": [f"site {each}" for each in site]})
    settings = {"predictor.kind": "twin", "predictor.pairs": "group", "train.epochs": 2, "train.device": "cpu"}
    seqloom.train(table, out=tmp_path / "run", target="y", group="site", settings=settings, split="random")
    assert np.isfinite(np.load(tmp_path / "run" / "fold-0" / "seed-0" / "test.npy")).all()


def test_a_missing_target_of_one_column_leaves_the_other_as_it_is():
    dims = replace(DIMS, n_targets=2, n_outputs=2)
    train = examples_of(60, n_targets=2)
    y = train.y.copy()
    y[::3, 1] = np.nan
    y[:4] = np.nan
    job = Job(dims, 0, TrainSection(epochs=25, device="cpu"))
    model = Twin(dropout=0.0).fit(replace(train, y=y), examples_of(20, 1, 2), job)
    assert len(model.anchors.y) == 56
    new = examples_of(40, 2, 2)
    outputs = model.predict(new.inputs)
    for column in range(2):
        assert np.corrcoef(outputs[:, column], new.y[:, column])[0, 1] > 0.5
    unknown = replace(model, anchors=replace(model.anchors, y=torch.tensor([[1.0, np.nan]] * 55 + [[1.0, 3.0]])))
    assert np.isfinite(replace(unknown, n_nearest=2).predict(new.inputs)).all()
    assert np.isnan(replace(unknown, n_nearest=2).spread(new.inputs)[:, 1]).any()


def test_bounds_are_imputed_and_rows_keep_their_groups_meanwhile():
    groups = np.repeat(np.arange(6), 10)
    train, valid = examples_of(60, groups=groups), examples_of(20, 1, groups=np.arange(20) % 6)
    bounds = np.zeros(train.y.shape, np.int8)
    bounds[::4] = 1
    job = Job(DIMS, 0, TrainSection(epochs=1, device="cpu"))
    model = fit_model(Twin(pairs="group"), replace(train, bounds=bounds), valid, job)
    beyond = model.anchors.y.numpy()[:, 0] - train.y[:, 0].astype(np.float32)
    assert (beyond[::4] > 0).all()
    assert np.abs(np.delete(beyond, np.arange(0, 60, 4))).max() == 0


def test_it_goes_on_after_an_interruption_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("seqloom.training.loop.CHECKPOINT_SECONDS", -1.0)
    case = Case("twin", "regression", n=60, settings={"epochs": 4})
    job = Job(case.dims, 0, case.variant.train, name="a", folder=tmp_path)
    parts = case.examples["train"], case.examples["valid"]

    def stop(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        case.variant.predictor.fit(*parts, replace(job, progress=stop))
    resumed = case.variant.predictor.fit(*parts, job).predict(parts[1].inputs)
    assert np.array_equal(resumed, case.fit().predict(parts[1].inputs))
