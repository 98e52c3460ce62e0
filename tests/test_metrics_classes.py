"""Classes one by one, classes the model does not know, and calibration in bins that draws do not move."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sk

from seqloom.metrics import PerClass, per_class, score, scores

Array = NDArray[np.float64]


def one_hot(called: list[int], n_classes: int) -> Array:
    return np.eye(n_classes)[called]


def test_each_class_has_the_scores_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, (200, 1)).astype(float)
    y[rng.random((200, 1)) < 0.2] = np.nan
    p = rng.dirichlet(np.ones(6), 200)
    p[:, 4] = 0.0  # class 4 is never called and does not occur, class 5 does not occur and is called
    known = ~np.isnan(y[:, 0])
    expected = sk.precision_recall_fscore_support(
        y[known, 0], p[known].argmax(axis=1), labels=range(6), zero_division=np.nan
    )
    got = per_class(y, p, 6)
    np.testing.assert_allclose(got.precision, expected[0])
    np.testing.assert_allclose(got.recall, expected[1])
    np.testing.assert_allclose(got.f1, expected[2])
    np.testing.assert_array_equal(got.support, expected[3])
    assert np.isnan(got.recall[4:]).all()
    assert math.isnan(got.precision[4])
    assert (got.precision[5], got.f1[5], math.isnan(got.f1[4])) == (0.0, 0.0, True)


def test_two_classes_may_be_one_probability() -> None:
    y, p = np.array([[0.0], [1.0], [1.0], [0.0]]), np.array([[0.2], [0.5], [0.1], [0.9]])
    one, two = per_class(y, p, 2), per_class(y, np.concatenate([1 - p - 1e-9, p], axis=1), 2)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.recall, [0.5, 0.5])
    np.testing.assert_array_equal(one.support, [2, 2])


def test_no_rows_and_predictions_that_are_not_numbers_leave_classes_without_scores() -> None:
    empty = per_class(np.zeros((0, 1)), np.zeros((0, 3)), 3)
    assert np.isnan([empty.recall, empty.precision, empty.f1]).all()
    assert empty.support.tolist() == [0, 0, 0]
    broken = per_class(np.array([[0.0], [1.0]]), np.array([[0.5, 0.5], [np.nan, 0.5]]), 2)
    assert np.isnan([broken.recall, broken.precision, broken.f1]).all()
    assert broken.support.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("y", "p", "n"), [((3, 1), (3, 2), 3), ((3, 2), (3, 3), 3), ((3, 1), (4, 3), 3), ((3, 1), (3, 1), 3)]
)
def test_shapes_that_do_not_fit_the_classes_are_an_error(y: tuple[int, ...], p: tuple[int, ...], n: int) -> None:
    with pytest.raises(ValueError, match=f"do not fit {n} classes"):
        per_class(np.zeros(y), np.zeros(p), n)


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "weighted_f1", "balanced_accuracy", "mcc"])
def test_a_class_the_model_does_not_know_is_a_class_that_is_never_called(name: str) -> None:
    rng = np.random.default_rng(1)
    y, p = rng.integers(-1, 6, (150, 1)).astype(float), rng.dirichlet(np.ones(4), 150)
    counts = rng.poisson(1.0, (20, 150))
    of: dict[str, object] = {
        "accuracy": sk.accuracy_score,
        "macro_f1": lambda *both: sk.f1_score(*both, average="macro", zero_division=0),
        "weighted_f1": lambda *both: sk.f1_score(*both, average="weighted", zero_division=0),
        "balanced_accuracy": sk.balanced_accuracy_score,
        "mcc": sk.matthews_corrcoef,
    }
    got = scores(name, "multiclass", y, p, counts).value
    expected = [of[name](np.repeat(y[:, 0], own), np.repeat(p.argmax(axis=1), own)) for own in counts]  # type: ignore[operator]
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    unknown = (y < 0) | (y > 3)
    assert score(name, "multiclass", y, p) < score(name, "multiclass", np.where(unknown, np.nan, y), p)


@pytest.mark.parametrize("index", [-1.0, 3.0, 7.0])
def test_an_unknown_class_had_probability_0(index: float) -> None:
    y, p = np.array([[0.0], [index]]), one_hot([0, 2], 3)
    assert score("accuracy", "multiclass", y, p) == 0.5
    assert score("log_loss", "multiclass", y, p) == pytest.approx(-math.log(np.finfo(float).eps) / 2)
    got: PerClass = per_class(y, p, 3)
    assert got.support.tolist() == [1, 0, 0]
    assert got.precision[2] == 0.0


def test_a_class_without_training_rows_is_scored_like_any_other() -> None:
    y, p = np.array([[0.0], [1.0], [2.0]]), np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.4, 0.0]])
    assert score("balanced_accuracy", "multiclass", y, p) == pytest.approx(2 / 3)
    assert score("macro_f1", "multiclass", y, p) == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert score("weighted_f1", "multiclass", y, p) == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_macro_f1_leaves_out_what_neither_occurs_nor_is_called() -> None:
    y = np.array([[0.0], [0.0], [1.0]])
    assert score("macro_f1", "multiclass", y, one_hot([0, 0, 1], 4)) == 1.0
    assert score("macro_f1", "multiclass", y, one_hot([0, 3, 1], 4)) == pytest.approx((2 / 3 + 1 + 0) / 3)


def plain_ece(y: Array, p: Array, bins: NDArray[np.int64]) -> float:
    total = 0.0
    for each in set(bins.tolist()):
        own = bins == each
        total += own.mean() * abs(p[own].mean() - y[own].mean())
    return total


def bins_of(p: Array) -> NDArray[np.int64]:
    """Fifteen bins of equally many rows, equal probabilities in the bin of their middle one."""
    middle = np.array([(np.sum(p < own) + np.sum(p <= own)) / 2 for own in p])
    return np.minimum(np.floor(15 * middle / len(p) + 1e-12), 14).astype(np.int64)


@pytest.mark.parametrize("decimals", [1, 2, 16])
@pytest.mark.parametrize("n", [7, 150, 1000])
def test_calibration_error_is_the_mean_gap_of_bins_that_draws_do_not_move(n: int, decimals: int) -> None:
    rng = np.random.default_rng(n)
    p = np.round(rng.random((n, 2)), decimals)
    y = (rng.random((n, 2)) < p**2).astype(float)
    y[rng.random((n, 2)) < 0.2] = np.nan
    counts = rng.poisson(1.0, (15, n))
    got = scores("ece", "multilabel", y, p, counts).per_target
    for c in range(2):
        known = ~np.isnan(y[:, c])
        bins = bins_of(p[known, c])
        for draw, own in enumerate(counts):
            rows = np.repeat(np.flatnonzero(known), own[known])
            if len(rows):
                expected = plain_ece(y[rows, c], p[rows, c], np.repeat(bins, own[known]))
                assert got[draw, c] == pytest.approx(expected, abs=1e-12)
            else:
                assert math.isnan(got[draw, c])


def test_bins_hold_equally_many_rows() -> None:
    p = np.random.default_rng(0).random(1003)
    sizes = np.bincount(bins_of(p), minlength=15)
    assert sizes.max() - sizes.min() <= 1


def test_a_calibrated_model_has_little_calibration_error_and_a_sure_one_much() -> None:
    rng = np.random.default_rng(3)
    p = rng.random((20_000, 1))
    y = (rng.random((20_000, 1)) < p).astype(float)
    assert score("ece", "binary", y, p) < 0.02
    assert score("ece", "binary", y, np.round(p)) == pytest.approx(0.25, abs=0.01)
    assert score("ece", "binary", y, np.full_like(p, 0.5)) == pytest.approx(abs(y.mean() - 0.5))
    assert score("ece", "binary", y[::-1], p[::-1]) == pytest.approx(score("ece", "binary", y, p), rel=1e-12)
