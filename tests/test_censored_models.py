"""Targets that are bounds: losses, values expected beyond them, and what models gain by knowing them."""

import numpy as np
import pytest
import torch
from scipy import stats

from seqloom.encode.base import Inputs
from seqloom.predict.base import Dims, Examples, Job, default_loss
from seqloom.predict.bounds import expected_beyond, imputed
from seqloom.predict.fitting import fit_model
from seqloom.predict.net import supervised_loss
from seqloom.registry import available, build, recipe_class
from seqloom.training.tobit import tobit_loss

Y = np.array([[1.0], [1.0], [1.0], [1.0], [np.nan]])
P = np.array([[3.0], [3.0], [0.0], [0.0], [9.0]])
BOUNDS = np.array([[1], [-1], [1], [-1], [1]], np.int8)


def test_without_measured_rows_a_bound_costs_only_on_its_wrong_side():
    dims = Dims("regression", 1, 1)
    expected = (0 + 4 + 1 + 0) / 4
    assert default_loss(Y, P, dims, BOUNDS) == pytest.approx(expected)
    output = torch.tensor(P, requires_grad=True)
    loss = supervised_loss(output, torch.tensor(Y), dims, torch.tensor(BOUNDS))
    assert loss.item() == pytest.approx(expected)
    loss.backward()
    np.testing.assert_allclose(output.grad.numpy().ravel(), [0, 1, -0.5, 0, 0], atol=1e-5)


def some_errors(n=200, seed=0):
    """Errors (n, 2), bounds and known of two columns, the second without measured targets."""
    rng = np.random.default_rng(seed)
    bounds = rng.integers(-1, 2, (n, 2)).astype(np.float64)
    bounds[:, 1] = np.where(bounds[:, 1] == 0, 1, bounds[:, 1])
    return rng.normal(size=(n, 2)), bounds, rng.random((n, 2)) < 0.8


@pytest.mark.parametrize("weighted", [False, True])
def test_the_tobit_loss_is_the_likelihood_of_normal_errors(weighted):
    errors, bounds, known = some_errors()
    weights = np.random.default_rng(1).random(errors.shape) if weighted else np.ones_like(errors)
    own = torch.tensor(weights) if weighted else None
    got = tobit_loss(torch.tensor(errors), torch.tensor(bounds), torch.tensor(known), own).numpy()
    measured = known[:, 0] & (bounds[:, 0] == 0)
    variance = np.average(errors[measured, 0] ** 2, weights=weights[measured, 0])
    beyond = -2 * variance * stats.norm.logcdf(bounds[:, 0] * errors[:, 0] / np.sqrt(variance))
    np.testing.assert_allclose(got[:, 0], np.where(bounds[:, 0] == 0, errors[:, 0] ** 2, beyond), rtol=1e-9)
    # Where nothing is measured, it is the limit of no spread.
    np.testing.assert_allclose(got[:, 1], np.where(bounds[:, 1] * errors[:, 1] < 0, errors[:, 1] ** 2, 0), atol=1e-4)


def test_the_tobit_loss_and_its_gradient_are_exact_far_from_the_bound():
    errors = torch.tensor([[0.01], [-0.01], [-500.0], [-30.0], [-1e-3], [1e-3], [30.0], [5e3]], requires_grad=True)
    bounds = torch.tensor([[0.0], [0.0], *[[1.0]] * 6])
    loss = tobit_loss(errors, bounds, torch.ones_like(bounds, dtype=torch.bool))
    loss.sum().backward()
    x = errors.detach().double().numpy()[2:, 0] / 0.01
    slope = np.exp(stats.norm.logpdf(x) - stats.norm.logcdf(x))
    np.testing.assert_allclose(loss.detach().numpy()[2:, 0], -2e-4 * stats.norm.logcdf(x), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(errors.grad.numpy()[2:, 0], -2e-2 * slope, rtol=1e-5, atol=1e-9)


def test_the_tobit_loss_ignores_the_order_of_rows_and_rows_without_a_target():
    errors, bounds, known = (torch.tensor(each) for each in some_errors())
    order = torch.randperm(len(errors), generator=torch.Generator().manual_seed(0))
    loss = tobit_loss(errors, bounds, known)
    torch.testing.assert_close(tobit_loss(errors[order], bounds[order], known[order]), loss[order])
    other = torch.where(known, errors, 1e3)
    torch.testing.assert_close(tobit_loss(other, bounds, known)[known], loss[known])


def test_the_value_expected_beyond_a_bound_is_that_of_a_normal_variable():
    mean, bound, spread = np.array([[0.5], [-3.0], [4.0]]), np.ones((3, 1)), np.array([0.7])
    above = expected_beyond(mean, bound, np.ones((3, 1), np.int8), spread)
    below = expected_beyond(mean, bound, -np.ones((3, 1), np.int8), spread)
    for row in range(3):
        at = (1.0 - mean[row, 0]) / 0.7
        assert above[row, 0] == pytest.approx(stats.truncnorm.mean(at, np.inf, mean[row, 0], 0.7), rel=1e-6)
        assert below[row, 0] == pytest.approx(stats.truncnorm.mean(-np.inf, at, mean[row, 0], 0.7), rel=1e-6)


def test_expected_values_are_never_before_their_bound_however_far_the_prediction_is():
    predicted = np.array([[-1e9], [0.0], [1e9], [-50.0]])
    for spread in (0.0, 1e-6, 1.0):
        above = expected_beyond(predicted, np.full((4, 1), 2.0), np.ones((4, 1), np.int8), np.array([spread]))
        assert np.isfinite(above).all()
        assert (above >= 2.0).all()
        assert above[2, 0] == 1e9


def capped_rows(share, n=1200, n_new=1200, seed=1):
    """One-hot peptides with a linear truth, measured with noise, the largest `share` cut off: examples, and new rows."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 20, (n + n_new, 9))
    effects = rng.normal(size=(9, 20)) * np.linspace(0, 1, 9)[:, None]
    true = effects[np.arange(9), ids].sum(1)
    true = (true - true.mean()) / true.std()
    seen = true + rng.normal(0, 0.5, len(true))
    cut = np.quantile(seen, 1 - share)
    features = np.eye(20, dtype=np.float32)[ids].reshape(len(ids), -1)
    y, bounds = np.minimum(seen, cut)[:, None], (seen >= cut).astype(np.int8)[:, None]

    def part(rows):
        return Examples(Inputs(features=features[rows]), y[rows], bounds[rows])

    parts = (part(np.arange(int(0.85 * n))), part(np.arange(int(0.85 * n), n)))
    new = np.arange(n, n + n_new)
    return (*parts, Inputs(features=features[new]), true[new], Job(Dims("regression", 1, 1, features.shape[1])))


@pytest.mark.parametrize(
    ("kind", "settings", "share", "at_most"),
    [
        ("linear", {}, 0.3, 0.6), ("linear", {}, 0.7, 0.65), ("knn", {"k": 10}, 0.7, 0.85), ("constant", {}, 0.7, 0.9),
        ("boosting", {"rounds": 30, "lr": 0.3, "patience": 5}, 0.5, 0.75),
    ],
)  # fmt: skip
def test_knowing_bounds_for_what_they_are_lowers_the_error_of_true_values(kind, settings, share, at_most):
    train, valid, new, true, job = capped_rows(share)
    predictor = build("predictor", {"kind": kind, **settings})
    plain = [Examples(each.inputs, each.y) for each in (train, valid)]
    equal, own = (
        model.predict(new)[:, 0] - true
        for model in (predictor.fit(*plain, job), fit_model(predictor, train, valid, job))
    )
    assert np.sqrt(np.mean(own**2)) < at_most * np.sqrt(np.mean(equal**2))
    assert abs(own.mean()) < 0.6 * abs(equal.mean())


def test_a_net_learns_from_bounds_on_their_wrong_side():
    train, valid, new, true, job = capped_rows(0.5, n=600, n_new=300)
    settings = job.settings.model_copy(update={"epochs": 30, "device": "cpu"})
    job = Job(job.dims, settings=settings)
    predictor = build("predictor", {"kind": "mlp", "hidden": [32], "dropout": 0.0})
    plain = [Examples(each.inputs, each.y) for each in (train, valid)]
    equal, own = (fit_model(predictor, *parts, job).predict(new)[:, 0] - true for parts in (plain, (train, valid)))
    assert abs(own.mean()) < abs(equal.mean())
    assert np.mean(own**2) < np.mean(equal**2)


def test_measured_values_are_never_replaced_and_few_of_them_leave_bounds_alone():
    train, valid, _, _, job = capped_rows(0.5, n=200, n_new=1)
    linear = build("predictor", {"kind": "linear"})
    filled, held = imputed(linear, train, valid, job)
    measured = train.bounds == 0
    np.testing.assert_array_equal(filled.y[measured], train.y[measured])
    assert (filled.y[~measured] >= train.y[~measured]).all()
    assert filled.bounds is None
    assert held.bounds is None
    nearly_all = np.ones_like(train.bounds)
    nearly_all[:9] = 0
    few = Examples(train.inputs, train.y, nearly_all)
    empty = valid.take(np.zeros(0, np.int64))
    np.testing.assert_array_equal(imputed(linear, few, empty, job)[0].y, train.y)


def test_a_target_that_is_hardly_known_takes_bounds_for_values():
    train, _, new, _, job = capped_rows(0.5, n=60, n_new=5)
    other = np.full(train.y.shape, np.nan)
    other[0] = 1.0
    both = Examples(train.inputs, np.hstack([train.y, other]), np.hstack([train.bounds, train.bounds]))
    said: list[str] = []
    job = Job(Dims("regression", 2, 2, job.dims.n_features), log=said.append)
    empty = both.take(np.zeros(0, np.int64))
    answers = fit_model(build("predictor", {"kind": "linear"}), both, empty, job).predict(new)
    assert answers.shape == (5, 2)
    assert any("bounds are taken for values" in line for line in said)


def test_several_targets_keep_their_holes_and_their_own_bounds():
    train, _, _, _, job = capped_rows(0.5, n=200, n_new=1)
    rng = np.random.default_rng(0)
    other = np.where(rng.random(train.y.shape) < 0.3, np.nan, rng.normal(size=train.y.shape))
    both = Examples(train.inputs, np.hstack([train.y, other]), np.hstack([train.bounds, np.zeros_like(train.bounds)]))
    job = Job(Dims("regression", 2, 2, job.dims.n_features))
    empty = both.take(np.zeros(0, np.int64))
    filled = imputed(build("predictor", {"kind": "linear"}), both, empty, job)[0].y
    np.testing.assert_array_equal(filled[:, 1], other[:, 0])
    assert (filled[:, 0] >= train.y[:, 0]).all()


def test_every_predictor_says_what_it_does_with_bounds():
    kinds = {kind: recipe_class("predictor", kind).censored for kind in available("predictor") if kind != "lightgbm"}
    assert set(kinds.values()) <= {"loss", "imputed", "equal"}
    assert (kinds["mlp"], kinds["linear"], kinds["boosting"], kinds["nearest"]) == (
        "loss",
        "imputed",
        "imputed",
        "equal",
    )
