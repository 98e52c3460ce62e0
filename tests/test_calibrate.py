"""Calibrators of probabilities: the numbers of other implementations, no more certainty than rows allow, and reasons in words."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax, softmax
from scipy.special import logit as log_odds
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss, roc_auc_score

from seqloom.calibrate import Calibrator, Curve, Method, fit, fit_calibrator
from seqloom.errors import ConfigError, DataError
from seqloom.metrics import Task

Array = NDArray[np.float64]
NAN = float("nan")


def binary(n: int, times: float = 1.0, plus: float = 0.0, seed: int = 0) -> tuple[Array, Array]:
    """Targets drawn by log odds z, and probabilities that claim `times * z + plus`."""
    rng = np.random.default_rng(seed)
    z = 1.5 * rng.normal(size=(n, 1))
    return (rng.random((n, 1)) < expit(z)).astype(float), expit(times * z + plus)


def multiclass(n: int, times: float = 1.0, n_classes: int = 4, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    z = 1.5 * rng.normal(size=(n, n_classes))
    y = (softmax(z, axis=1).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1, keepdims=True)
    return y.astype(float), softmax(times * z, axis=1)


class Known(ClassifierMixin, BaseEstimator):
    """A classifier that says what it is handed."""

    def __init__(self, n_classes: int = 2) -> None:
        self.n_classes = n_classes
        self.classes_ = np.arange(n_classes)

    def fit(self, x: Array, y: Array) -> Known:
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, x: Array) -> Array:
        raise NotImplementedError

    def decision_function(self, x: Array) -> Array:
        return x[:, 0] if self.n_classes == 2 else x


def theirs(method: str, x: Array, y: Array, weights: Array | None = None) -> Any:
    n_classes = 2 if x.shape[1] == 1 else x.shape[1]
    model = CalibratedClassifierCV(FrozenEstimator(Known(n_classes)), method=method)
    with warnings.catch_warnings():  # that weights are of no use to a frozen model
        warnings.simplefilter("ignore", UserWarning)
        return model.fit(x, y[:, 0], sample_weight=weights)


def test_platt_is_that_of_scikit_learn_on_logits() -> None:
    y, p = binary(400, 2.5, 0.7)
    ours = fit_calibrator("binary", y, p, "platt")
    np.testing.assert_allclose(
        ours.apply(p)[:, 0], theirs("sigmoid", log_odds(p), y).predict_proba(log_odds(p))[:, 1], atol=1e-4
    )


def test_platt_is_the_maximum_of_the_smoothed_likelihood() -> None:
    y, p = binary(60, 3.0, -1.0)
    n_in, n_out = y.sum(), (1 - y).sum()
    aim = np.where(y == 1, (n_in + 1) / (n_in + 2), 1 / (n_out + 2))

    def loss(x: Array) -> float:
        q = expit(x[0] * log_odds(p) + x[1])
        return float(-(aim * np.log(q) + (1 - aim) * np.log(1 - q)).sum())

    best = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10}).x
    curve = fit_calibrator("binary", y, p, "platt").curves[0]
    np.testing.assert_allclose([curve.slope, curve.intercept], best, atol=1e-4)


def test_temperature_is_that_of_scikit_learn_when_rows_are_many() -> None:
    y, p = binary(20_000, 2.5)
    ours = fit_calibrator("binary", y, p, "temperature").apply(p)[:, 0]
    np.testing.assert_allclose(ours, theirs("temperature", log_odds(p), y).predict_proba(log_odds(p))[:, 1], atol=2e-3)
    y, p = multiclass(5_000, 2.5)
    ours = fit_calibrator("multiclass", y, p, "temperature").apply(p)
    np.testing.assert_allclose(ours, theirs("temperature", np.log(p), y).predict_proba(np.log(p)), atol=2e-3)


def test_temperature_has_the_least_loss_of_the_rows_and_of_its_distance_from_one() -> None:
    y, p = multiclass(50, 2.0)

    def loss(temperature: float) -> float:
        given = log_softmax(np.log(p) / temperature, axis=1)[np.arange(50), y[:, 0].astype(int)]
        return float(-given.sum() + ((1 / temperature - 1) / 0.2) ** 2 / 2)

    best = minimize_scalar(loss, bounds=(0.1, 20), method="bounded", options={"xatol": 1e-9}).x
    calibrator = fit_calibrator("multiclass", y, p, "temperature")
    assert 1 / calibrator.curves[0].slope == pytest.approx(best, rel=1e-5)
    np.testing.assert_allclose(calibrator.apply(p), softmax(np.log(p) / best, axis=1), atol=1e-6)


def test_isotonic_without_unseen_rows_is_that_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "UNSEEN_ROWS", 0.0)
    y, p = binary(500, 2.0)
    weights = np.random.default_rng(1).random(500)
    ours = fit_calibrator("binary", y, p, "isotonic", weights=weights).apply(p)
    model = IsotonicRegression(out_of_bounds="clip").fit(p[:, 0], y[:, 0], weights)
    np.testing.assert_allclose(ours[:, 0], model.predict(p[:, 0]), atol=1e-6)
    new = np.array([[0.0], [0.123], [0.77], [1.0]])
    got = fit_calibrator("binary", y, p, "isotonic", weights=weights).apply(new)
    np.testing.assert_allclose(got[:, 0], model.predict(new[:, 0]), atol=1e-6)


def test_isotonic_counts_two_unseen_rows_per_level() -> None:
    y = np.repeat([0.0, 1.0], [20, 20])[:, None]
    p = np.repeat([0.1, 0.9], [20, 20])[:, None]
    got = fit_calibrator("binary", y, p, "isotonic").apply(np.array([[0.0], [0.1], [0.5], [0.9], [1.0]]))
    np.testing.assert_allclose(got[:, 0], [1 / 22, 1 / 22, 0.5, 21 / 22, 21 / 22])


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
def test_a_perfect_record_on_few_rows_is_no_certainty(method: Method) -> None:
    y = np.repeat([0.0, 1.0], 20)[:, None]
    p = np.clip(np.where(y == 1, 0.6, 0.4) + np.linspace(-0.05, 0.05, 40)[:, None], 0, 1)
    got = fit_calibrator("binary", y, p, method).apply(p)
    least = 0.55 if method == "temperature" else 0.7  # a temperature stays near 1 on few rows
    assert least < got[y == 1].min() <= got.max() < 0.99
    assert 0.01 < got.min() <= got[y == 0].max() < 1 - least


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
def test_zeros_and_ones_that_are_wrong_are_mended(method: Method) -> None:
    y, p = binary(2_000)
    p = (p > 0.5).astype(float)
    got = fit_calibrator("binary", y, p, method).apply(p)[:, 0]
    for said in (0.0, 1.0):
        share = y[p == said].mean()
        assert got[p[:, 0] == said] == pytest.approx(share, abs=0.03)


def test_platt_and_temperature_keep_the_ranking_and_never_turn_it_round() -> None:
    y, p = binary(300, 2.0)
    for method in ("temperature", "platt"):
        for target in (y, 1 - y):
            calibrator = fit_calibrator("binary", target, p, method)
            assert roc_auc_score(target, calibrator.apply(p)) == pytest.approx(roc_auc_score(target, p), abs=1e-12)
    assert "next to no weight" in calibrator.why
    assert np.ptp(calibrator.apply(p)) < 0.05


def test_auto_finds_what_was_done_to_the_probabilities() -> None:
    assert fit_calibrator("binary", *binary(400)).name == "temperature"
    assert fit_calibrator("binary", *binary(400, 3.0)).name == "temperature"
    assert fit_calibrator("binary", *binary(400, 1.0, 2.0)).name == "platt"
    assert fit_calibrator("binary", *binary(99, 1.0, 2.0)).name == "temperature"
    y, p = binary(4_000)
    bent = np.where(p > 0.5, 0.9 + 0.1 * p, 0.45 * p)
    assert fit_calibrator("binary", y, bent).name == "isotonic"
    assert fit_calibrator("binary", y[:900], bent[:900]).name != "isotonic"


def lost(n: int, times: float, seeds: int) -> Array:
    """Log loss on many new rows of probabilities calibrated on `n`, minus that of the same as they are, per seed."""
    y, p = binary(20_000, times, seed=1_000)
    before = log_loss(y[:, 0], p[:, 0])
    made = (fit_calibrator("binary", *binary(n, times, seed=seed)).apply(p)[:, 0] for seed in range(seeds))
    return np.array([log_loss(y[:, 0], q) - before for q in made])


def test_auto_does_little_harm_to_calibrated_probabilities_and_mends_others() -> None:
    assert lost(40, 1.0, 30).max() < 0.01
    assert lost(100, 1.0, 30).mean() < 0.004
    assert lost(40, 4.0, 10).max() < -0.15
    assert lost(100, 4.0, 10).max() < -0.3


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic", "auto"])
def test_overconfident_probabilities_have_less_loss_on_new_rows(method: Any) -> None:
    calibrator = fit_calibrator("multiclass", *multiclass(2_000, 3.0), method)
    y, p = multiclass(2_000, 3.0, seed=1)
    q = calibrator.apply(p)
    np.testing.assert_allclose(q.sum(axis=1), 1.0)
    before, after = (log_loss(y[:, 0], each, labels=range(4)) for each in (p, q))
    assert after < 0.8 * before
    assert calibrator.log_loss_before == pytest.approx(before, rel=0.15)
    assert calibrator.log_loss_after == pytest.approx(after, rel=0.1)


def test_the_sentence_says_which_on_how_many_rows_and_the_loss_before_and_after() -> None:
    y, p = binary(400, 3.0)
    why = fit_calibrator("binary", y, p).why
    before = log_loss(y[:, 0], p[:, 0])
    assert why.startswith("temperature ")
    assert f": 400 held-back rows, log loss {before:.3f} before and 0." in why
    assert why.endswith("after (5-fold cross-validation)")
    assert fit_calibrator("binary", *binary(400, 1.0, 2.0)).why.startswith("platt: 400 held-back rows")
    assert (
        fit_calibrator("binary", y, p, "none").why
        == f"none: as asked on 400 held-back rows; log loss {before:.3f} as it is"
    )
    assert "isotonic overfits below 1,000 rows" in fit_calibrator("binary", y, p, "isotonic").why


@pytest.mark.parametrize(
    ("y", "p", "reason"),
    [
        (np.arange(29.0) % 2, np.linspace(0.1, 0.9, 29), "only 29 held-back rows have a known target, calibration needs 30"),
        (np.zeros(50), np.linspace(0.1, 0.9, 50), "all 50 held-back rows with a known target are of one class"),
        (np.full(50, NAN), np.linspace(0.1, 0.9, 50), "no held-back row has a known target"),
        (np.arange(50.0) % 2, np.full(50, 0.4), "the predictions of all 50 held-back rows are the same"),
        (np.arange(50.0) % 2, np.r_[NAN, np.full(49, 0.4)], "the predictions of 1 of 50 held-back rows are NaN"),
        (np.zeros(0), np.zeros(0), "no held-back row has a known target"),
    ],
)  # fmt: skip
def test_where_nothing_can_be_fitted_it_is_none_with_the_reason(y: Array, p: Array, reason: str) -> None:
    for method in ("auto", "temperature", "platt", "isotonic"):
        calibrator = fit_calibrator("binary", y[:, None], p[:, None], method)
        assert (calibrator.name, calibrator.why) == ("none", f"none: {reason}")
        assert (calibrator.log_loss_before, calibrator.log_loss_after) == (None, None)
        np.testing.assert_array_equal(calibrator.apply(p[:, None]), p[:, None])


def test_rows_of_no_weight_are_no_rows() -> None:
    y, p = binary(60, 3.0)
    weights = np.r_[np.ones(20), np.zeros(40)]
    assert "only 20 held-back rows" in fit_calibrator("binary", y, p, weights=weights).why
    weights = np.r_[np.ones(40), np.zeros(20)]
    some = fit_calibrator("binary", y, p, "platt", weights=weights)
    assert some == fit_calibrator("binary", y[:40], p[:40], "platt")


def test_weights_are_shares_and_their_scale_means_nothing() -> None:
    y, p = binary(500, 2.0, 1.0)
    weights = np.random.default_rng(3).random(500)
    curve = fit_calibrator("binary", y, p, "platt", weights=weights).curves[0]
    scaled = fit_calibrator("binary", y, p, "platt", weights=8 * weights).curves[0]
    assert (curve.slope, curve.intercept) == pytest.approx((scaled.slope, scaled.intercept), rel=1e-5)
    effective = weights * weights.sum() / (weights**2).sum()
    given = theirs("sigmoid", log_odds(p), y, effective).predict_proba(log_odds(p))[:, 1]
    np.testing.assert_allclose(curve.apply(p[:, 0]), given, atol=1e-4)


def test_bad_weights_are_named_by_row() -> None:
    y, p = binary(40)
    with pytest.raises(DataError, match=r"weights of 2 rows are not numbers of 0 or more, by row: 2: -1, 4: nan"):
        fit_calibrator("binary", y, p, weights=np.r_[1, -1, 1, NAN, np.ones(36)])
    with pytest.raises(ValueError, match="weights"):
        fit_calibrator("binary", y, p, weights=np.ones(3))


def test_numbers_that_are_no_probabilities_are_refused_and_rounding_is_not() -> None:
    y, p = binary(40)
    with pytest.raises(DataError, match=r"probabilities of 1 rows are outside 0..1, by row: 3: \[1.5\]"):
        fit_calibrator("binary", y, np.r_[p[:2], [[1.5]], p[3:]])
    calibrator = fit_calibrator("binary", y, p, "none")
    assert calibrator.apply(np.array([[1 + 1e-7]]))[0, 0] == 1.0
    with pytest.raises(DataError):
        calibrator.apply(np.array([[-0.1]]))


@pytest.mark.parametrize(
    ("task", "y", "p"),
    [
        ("regression", np.zeros((3, 1)), np.zeros((3, 1))),
        ("binary", np.zeros((3, 1)), np.zeros((4, 1))),
        ("binary", np.zeros((3, 2)), np.zeros((3, 2))),
        ("binary", np.full((3, 1), 2.0), np.zeros((3, 1))),
        ("multiclass", np.full((3, 1), 2.0), np.zeros((3, 2))),
        ("multilabel", np.zeros((3, 1)), np.zeros((3, 2))),
    ],
)
def test_what_does_not_fit_is_refused(task: Task, y: Array, p: Array) -> None:
    with pytest.raises(ValueError, match=task):
        fit_calibrator(task, y, p)


def test_an_unknown_method_is_refused_and_the_others_are_named() -> None:
    with pytest.raises(
        ConfigError, match=r"'plat': no such method; available: auto, none, temperature, platt, isotonic"
    ):
        fit_calibrator("binary", *binary(40), "plat")  # type: ignore[arg-type]


def test_columns_of_a_multilabel_target_choose_by_themselves() -> None:
    (sure, p_sure), (high, p_high), (few, p_few) = binary(400, 4.0), binary(400, 1.0, 2.0, 1), binary(400, seed=2)
    few[20:] = NAN
    y, p = np.hstack([sure, high, few]), np.hstack([p_sure, p_high, p_few])
    calibrator = fit_calibrator("multilabel", y, p, names=("sure", "high", "few"))
    assert calibrator.name == "mixed"
    assert [curve.method for curve in calibrator.curves] == ["temperature", "platt", "none"]
    assert calibrator.curves[0] == fit_calibrator("binary", sure, p_sure).curves[0]
    assert calibrator.why.startswith("of 3 columns none for 1, temperature for 1, platt for 1; mean log loss 0.")
    assert calibrator.why.endswith("; few: only 20 held-back rows have a known target, calibration needs 30")
    np.testing.assert_array_equal(calibrator.apply(p)[:, 2], p[:, 2])
    assert calibrator.n_rows == 400


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_several_classes_are_calibrated_one_against_the_rest(method: Method) -> None:
    y, p = multiclass(600, 2.0)
    each = [fit_calibrator("binary", y == k, p[:, [k]], method).apply(p[:, [k]]) for k in range(4)]
    whole = np.hstack(each)
    got = fit_calibrator("multiclass", y, p, method)
    np.testing.assert_allclose(got.apply(p), whole / whole.sum(axis=1, keepdims=True), atol=1e-6)


def test_a_class_that_no_held_back_row_has_keeps_its_map_and_is_named() -> None:
    y, p = multiclass(300, 2.0)
    y[y == 2] = 0
    calibrator = fit_calibrator("multiclass", y, p, "platt", names=("a", "b", "c", "d"))
    assert calibrator.curves[2] == Curve()
    assert calibrator.why.endswith("; no held-back row is c, kept as predicted")
    np.testing.assert_allclose(calibrator.apply(p).sum(axis=1), 1.0)


def test_a_nan_prediction_stays_nan() -> None:
    calibrator = fit_calibrator(
        "multilabel", np.hstack([binary(99)[0]] * 2), np.hstack([binary(99, 3.0)[1]] * 2), "platt"
    )
    got = calibrator.apply(np.array([[NAN, 0.5]]))
    assert np.isnan(got).tolist() == [[True, False]]
    for method in ("temperature", "platt", "isotonic"):
        calibrator = fit_calibrator("multiclass", *multiclass(99, 3.0), method)
        assert np.isnan(calibrator.apply(np.array([[NAN, 0.5, 0.2, 0.3]]))).all()


@pytest.mark.parametrize("method", ["none", "temperature", "platt", "isotonic", "auto"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_json_gives_the_same_calibrator_back(task: Task, method: Any) -> None:
    y, p = multiclass(200, 3.0) if task == "multiclass" else binary(200, 3.0)
    y, p = (np.hstack([y, y]), np.hstack([p, p**2])) if task == "multilabel" else (y, p)
    for rows in (200, 10):
        calibrator = fit_calibrator(task, y[:rows], p[:rows], method)
        again = Calibrator.from_json(json.loads(json.dumps(calibrator.as_json(), allow_nan=False)))
        assert again == calibrator
        np.testing.assert_array_equal(again.apply(p), calibrator.apply(p))
    with pytest.raises(AttributeError):
        calibrator.name = "other"  # type: ignore[misc]


def test_the_same_rows_make_the_same_calibrator() -> None:
    y, p = binary(1_200, 1.3)
    assert fit_calibrator("binary", y, p) == fit_calibrator("binary", y, p)


def test_importing_it_loads_no_heavy_library() -> None:
    code = "import sys, seqloom.calibrate\nprint([m for m in ('torch', 'sklearn', 'scipy', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
