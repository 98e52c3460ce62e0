"""Reliability diagrams with what chance would show, and prevalences that differ from training."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, softmax
from scipy.stats import binomtest, chi2
from sklearn.calibration import calibration_curve

from seqloom.calibrate import (
    PriorReference,
    PriorShift,
    detect_prior_shift,
    estimate_prevalence,
    prevalence,
    prior_reference,
    prior_shift,
    reliability,
    top_label,
    wilson,
)
from seqloom.errors import DataError
from seqloom.metrics import Task

Array = NDArray[np.float64]
NAN = float("nan")


def judged(n: int, times: float = 1.0, seed: int = 0) -> tuple[Array, Array]:
    """Targets (n,) drawn by log odds z and probabilities that claim `times` z."""
    rng = np.random.default_rng(seed)
    z = 1.5 * rng.normal(size=n)
    return (rng.random(n) < expit(z)).astype(float), expit(times * z)


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (3, 10), (10, 10), (120, 400)])
def test_wilson_is_that_of_scipy(hits: int, n: int) -> None:
    theirs = binomtest(hits, n).proportion_ci(method="wilson")
    assert (wilson(hits, n).low, wilson(hits, n).high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_bins_are_those_of_scikit_learn_when_probabilities_differ() -> None:
    y, p = judged(600)
    found = reliability(y, p, bins=10)
    observed, predicted = calibration_curve(y, p, n_bins=10, strategy="quantile")
    assert [each.rows for each in found.bins] == [60] * 10
    np.testing.assert_allclose([each.predicted for each in found.bins], predicted)
    np.testing.assert_allclose([each.observed.value for each in found.bins], observed)
    assert found.ece.value == pytest.approx(np.abs(observed - predicted).mean())
    assert found.bins[3].observed == wilson(round(60 * observed[3]), 60)


def test_ece_of_known_probabilities() -> None:
    y = np.repeat([1.0, 0.0, 1.0, 0.0], [2, 8, 6, 4])
    p = np.repeat([0.1, 0.1, 0.9, 0.9], [2, 8, 6, 4])
    found = reliability(y, p)
    assert [(each.predicted, each.observed.value, each.rows) for each in found.bins] == [
        (pytest.approx(0.1), 0.2, 10), (pytest.approx(0.9), 0.6, 10),
    ]  # fmt: skip
    assert found.ece.value == pytest.approx((0.1 + 0.3) / 2)
    assert np.isnan([found.ece.low, found.by_chance]).all()
    assert not found.is_off


def test_equal_probabilities_stay_together_and_bins_may_be_few() -> None:
    assert [
        each.rows
        for each in reliability(
            np.r_[np.zeros(90), np.ones(10)], np.r_[np.full(90, 0.2), np.linspace(0.3, 0.9, 10)], 5
        ).bins
    ] == [90, 10]
    assert len(reliability(np.zeros(40), np.full(40, 0.3)).bins) == 1
    assert len(reliability(np.zeros(3), np.array([0.1, 0.2, 0.3])).bins) == 3


def test_missing_rows_are_left_out_and_no_rows_have_no_error() -> None:
    found = reliability(np.array([1.0, NAN, 0.0]), np.array([0.5, 0.5, NAN]), draws=10)
    assert (found.n_rows, found.ece.value) == (1, 0.5)
    assert np.isnan(reliability(np.array([NAN]), np.array([0.5])).ece.value)
    assert json.dumps(reliability(np.array([NAN]), np.array([0.5])).as_json(), allow_nan=False)
    with pytest.raises(DataError):
        reliability(np.array([1.0]), np.array([1.5]))


def test_the_interval_of_the_error_covers_it_and_right_probabilities_are_rarely_called_off() -> None:
    rng = np.random.default_rng(0)
    z = 1.5 * np.sort(rng.normal(size=200_000))
    truth = float(np.abs((expit(z) - expit(3 * z)).reshape(-1, 4_000).mean(axis=1)).mean())
    covered, off = [], []
    for seed in range(120):
        found = reliability(*judged(400, 3.0, seed), draws=150, seed=seed)
        covered.append(found.ece.low <= truth <= found.ece.high)
        assert found.is_off
        right = reliability(*judged(400, 1.0, seed), draws=150, seed=seed)
        off.append(right.is_off)
        assert (right.ece.low == 0.0) == (not right.is_off)
    assert np.mean(covered) >= 0.83  # 0.9 measured over many sets; error .03
    assert np.mean(off) <= 0.05 + 3 * 0.02


def test_related_rows_widen_the_interval() -> None:
    y, p = judged(100, 3.0)
    y, p, groups = np.repeat(y, 5), np.repeat(p, 5), np.repeat(np.arange(100), 5)
    joint, alone = reliability(y, p, clusters=groups, draws=300), reliability(y, p, draws=300)
    assert joint.ece.high - joint.ece.low > 1.3 * (alone.ece.high - alone.ece.low)
    assert joint.resampled == "300 draws over 100 groups of 500 rows"
    assert alone.resampled == "300 draws over 500 rows"


def test_the_top_label_is_the_likeliest_class_and_whether_it_is_right() -> None:
    p = np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3], [0.1, 0.2, 0.7]])
    right, sure = top_label(np.array([[1.0], [2.0], [NAN]]), p)
    np.testing.assert_array_equal(right, [1.0, 0.0, NAN])
    np.testing.assert_array_equal(sure, [0.5, 0.6, 0.7])


def test_prevalence_is_the_share_of_known_targets() -> None:
    assert prevalence("binary", np.array([[1.0], [0.0], [NAN], [0.0]]), 1).tolist() == [1 / 3]
    assert prevalence("multiclass", np.array([[0.0], [2.0], [NAN], [2.0]]), 3).tolist() == pytest.approx(
        [1 / 3, 0, 2 / 3]
    )
    got = prevalence("multilabel", np.array([[1.0, NAN], [0.0, NAN]]), 2)
    np.testing.assert_array_equal(got, [0.5, NAN])


def test_the_correction_is_bayes_rule() -> None:
    rng = np.random.default_rng(0)
    means, old, new = rng.normal(size=(3, 2)), np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])
    x = rng.normal(size=(50, 2))
    likely = np.exp(-0.5 * ((x[:, None] - means) ** 2).sum(axis=2))
    at = {str(prior): likely * prior / (likely * prior).sum(axis=1, keepdims=True) for prior in (old, new)}
    np.testing.assert_allclose(prior_shift("multiclass", at[str(old)], old, new), at[str(new)])
    np.testing.assert_allclose(prior_shift("multiclass", at[str(old)], old, old), at[str(old)])
    p = np.linspace(0, 1, 11)[:, None]
    np.testing.assert_allclose(
        prior_shift("binary", prior_shift("binary", p, [0.2], [0.7]), [0.7], [0.2]), p, atol=1e-12
    )
    pair = np.hstack([1 - p, p])
    np.testing.assert_allclose(
        prior_shift("multiclass", pair, [0.8, 0.2], [0.3, 0.7])[:, [1]], prior_shift("binary", p, [0.2], [0.7])
    )
    both = prior_shift("multilabel", np.hstack([p, p]), [0.2, 0.5], [0.7, 0.5])
    np.testing.assert_allclose(both, np.hstack([prior_shift("binary", p, [0.2], [0.7]), p]))


def test_a_prevalence_that_is_none_is_refused() -> None:
    p = np.full((3, 1), 0.5)
    for bad in ([1.5], [0.5, 0.5], [NAN]):
        with pytest.raises(ValueError, match="prevalences from 0 to 1"):
            prior_shift("binary", p, bad, [0.5])
    with pytest.raises(ValueError, match="both classes are needed"):
        prior_shift("binary", p, [0.0], [0.5])


def two_classes(rng: np.random.Generator, n: int, share: float, train: float, times: float = 1.0) -> Array:
    """Probabilities (n, 1), calibrated at prevalence `train`, of rows of which `share` are positive."""
    x = rng.normal(size=n) + 1.5 * (rng.random(n) < share)
    return expit(times * (1.5 * x - 1.125 + np.log(train / (1 - train))))[:, None]


MEANS = np.array([[0.0, 0, 1], [2, 0, 0], [0, 2, 0], [1, 1, 1]])
TRAIN = np.array([0.4, 0.3, 0.2, 0.1])


def four_classes(rng: np.random.Generator, n: int, share: Array) -> Array:
    x = MEANS[rng.choice(4, size=n, p=share)] + rng.normal(size=(n, 3))
    return softmax(-0.5 * ((x[:, None] - MEANS) ** 2).sum(axis=2) + np.log(TRAIN), axis=1)


def em(p: Array, old: Array, steps: int) -> Array:
    """Saerens et al. 2002, equation 2.9, as it is written there."""
    new = old
    for _ in range(steps):
        weighted = p * new / old
        new = (weighted / weighted.sum(axis=1, keepdims=True)).mean(axis=0)
    return new


def test_the_estimate_is_where_the_em_algorithm_ends() -> None:
    rng = np.random.default_rng(0)
    p = two_classes(rng, 400, 0.6, 0.2)
    expected = em(np.hstack([1 - p, p]), np.array([0.8, 0.2]), 5_000)[1]
    assert estimate_prevalence("binary", p, [0.2]) == pytest.approx([expected], abs=1e-6)
    several = four_classes(rng, 400, TRAIN[::-1])
    np.testing.assert_allclose(estimate_prevalence("multiclass", several, TRAIN), em(several, TRAIN, 20_000), atol=1e-4)
    got = estimate_prevalence("multilabel", np.hstack([p, p]), [0.2, 0.5])
    assert got[0] == pytest.approx(expected, abs=1e-6)


def test_a_share_of_none_or_all_is_found() -> None:
    assert estimate_prevalence("binary", np.full((50, 1), 0.1), [0.3]).tolist() == [0.0]
    assert estimate_prevalence("binary", np.full((50, 1), 0.6), [0.3]).tolist() == [1.0]
    assert np.isnan(estimate_prevalence("binary", np.zeros((0, 1)), [0.3])).all()
    assert np.isnan(estimate_prevalence("binary", np.full((5, 1), 0.6), [1.0])).all()
    absent = estimate_prevalence("multiclass", np.tile([0.5, 0.5, 0.0], (30, 1)), [0.5, 0.5, 0.0])
    np.testing.assert_allclose(absent, [0.5, 0.5, 0.0])


def test_estimates_and_intervals_hold_the_true_shares() -> None:
    rng = np.random.default_rng(1)
    share = np.array([0.15, 0.2, 0.25, 0.4])
    held = []
    for _ in range(60):
        found = detect_prior_shift("multiclass", four_classes(rng, 300, share), TRAIN)
        one = detect_prior_shift("binary", two_classes(rng, 300, 0.3, 0.2), [0.2])
        inside = [low <= true <= high for low, true, high in zip(found.low, share, found.high, strict=True)]
        held.append([*inside, one.low[0] <= 0.3 <= one.high[0]])
    assert (np.mean(held, axis=0) >= 0.95 - 3 * 0.028).all()
    assert np.mean(held) <= 0.99


@pytest.mark.parametrize(
    ("train", "n", "times", "with_reference"),
    [(0.5, 100, 1.0, False), (0.1, 300, 1.0, False), (0.5, 100, 1.0, True), (0.1, 300, 3.0, True), (0.01, 500, 3.0, True), (0.2, 10, 1.0, True)],
)  # fmt: skip
def test_rows_like_those_of_training_raise_no_alarm(train: float, n: int, times: float, with_reference: bool) -> None:
    rng = np.random.default_rng(2)
    alarms = []
    for _ in range(200):
        held = prior_reference("binary", two_classes(rng, 400, train, train, times)) if with_reference else None
        alarms.append(detect_prior_shift("binary", two_classes(rng, n, train, train, times), [train], held).differs)
    assert np.mean(alarms) <= 0.05 + 3 * 0.0154  # of 200 sets


def test_several_classes_like_those_of_training_raise_no_alarm_and_others_do() -> None:
    rng = np.random.default_rng(3)
    for with_reference in (True, False):
        alarms, found = [], []
        for _ in range(100):
            held = prior_reference("multiclass", four_classes(rng, 300, TRAIN)) if with_reference else None
            alarms.append(detect_prior_shift("multiclass", four_classes(rng, 200, TRAIN), TRAIN, held).differs)
            found.append(detect_prior_shift("multiclass", four_classes(rng, 200, TRAIN[::-1]), TRAIN, held).differs)
        assert np.mean(alarms) <= 0.05 + 3 * 0.022
        assert np.mean(found) >= 0.95


def test_a_shift_is_seen_and_said_in_numbers() -> None:
    rng = np.random.default_rng(4)
    held = prior_reference("binary", two_classes(rng, 500, 0.12, 0.12))
    for reference, how in ((held, "against 500 held-back rows"), (None, "by likelihood")):
        found = detect_prior_shift("binary", two_classes(rng, 800, 0.4, 0.12), [0.12], reference, names=("binder",))
        assert found.differs
        assert found.low[0] < 0.4 < found.high[0]
        assert found.why.startswith(f"prevalence of binder in this table ({found.test[0]:.1%}, 95 % CI ")
        assert "differs from training (12.0%): probabilities are off (p " in found.why
        assert found.why.endswith(f"800 rows {how})")
    same = detect_prior_shift("binary", two_classes(rng, 300, 0.12, 0.12), [0.12], held)
    assert not same.differs
    assert "does not detectably differ from training (12.0%)" in same.why


def test_probabilities_that_are_off_alarm_without_a_reference_only() -> None:
    rng = np.random.default_rng(5)
    held, new = (two_classes(rng, 2_000, 0.1, 0.1, 3.0) for _ in range(2))
    assert detect_prior_shift("binary", new, [0.1]).differs
    assert not detect_prior_shift("binary", new, [0.1], prior_reference("binary", held)).differs


def test_a_shift_that_moves_no_probability_is_not_worth_a_warning() -> None:
    rng = np.random.default_rng(6)
    found = detect_prior_shift("binary", two_classes(rng, 60_000, 0.52, 0.5), [0.5])
    assert found.p_value < 0.05
    assert not found.differs
    assert "differs too little from training (50.0%) to matter" in found.why


def test_the_likelihood_ratio_is_that_of_the_formula() -> None:
    rng = np.random.default_rng(7)
    p = two_classes(rng, 200, 0.3, 0.2)
    found = detect_prior_shift("binary", p, [0.2])
    grid = np.linspace(1e-6, 1 - 1e-6, 20_001)[:, None]
    likely = np.log(grid * p[:, 0] / 0.2 + (1 - grid) * (1 - p[:, 0]) / 0.8).sum(axis=1)
    assert found.test[0] == pytest.approx(grid[likely.argmax(), 0], abs=1e-4)
    assert found.p_value == pytest.approx(chi2.sf(2 * (likely.max() - 0.0), 1), rel=1e-3)
    inside = grid[2 * (likely.max() - likely) <= chi2.ppf(0.95, 1), 0]
    assert (found.low[0], found.high[0]) == pytest.approx((inside.min(), inside.max()), abs=1e-4)


@pytest.mark.parametrize(
    ("task", "p", "train", "words"),
    [
        ("binary", np.zeros((0, 1)), [0.2], "no row has a prediction"),
        ("binary", np.full((9, 1), NAN), [0.2], "no row has a prediction"),
        ("binary", np.full((9, 1), 0.5), [1.0], "training had one class only"),
        ("multilabel", np.full((9, 2), 0.5), [1.0, 1.0], "training had one class only"),
        ("binary", np.full((9, 1), 0.5), [0.5], "(50.0%, 95 % CI 0.0% to 100.0%)"),
    ],
)
def test_where_nothing_can_be_told_it_is_said(task: Task, p: Array, train: list[float], words: str) -> None:
    for reference in (None, prior_reference(task, np.full((50, p.shape[1]), 0.4))):
        found = detect_prior_shift(task, p, train, reference)
        assert isinstance(found, PriorShift)
        assert not found.differs
        assert words in found.why
        json.dumps(found.as_json(), allow_nan=False)


def test_a_reference_goes_through_json_and_one_without_rows_is_none() -> None:
    rng = np.random.default_rng(8)
    held = prior_reference("multiclass", four_classes(rng, 100, TRAIN))
    assert PriorReference.from_json(json.loads(json.dumps(held.as_json()))) == held
    empty = prior_reference("binary", np.full((5, 1), NAN))
    p = two_classes(rng, 100, 0.2, 0.2)
    assert detect_prior_shift("binary", p, [0.2], empty) == detect_prior_shift("binary", p, [0.2])


def test_a_reference_of_other_rows_is_weighted_to_the_prevalence_of_training() -> None:
    rng = np.random.default_rng(0)
    p = np.concatenate([rng.beta(4, 2, 300), rng.beta(2, 4, 100)])[:, None]
    weights = np.repeat([0.2 / 0.75, 0.8 / 0.25], [300, 100])[:, None]
    found = prior_reference("binary", p, weights)
    assert found.mean[0] == pytest.approx(0.2 * p[:300].mean() + 0.8 * p[300:].mean())
    assert found.variance[0] == pytest.approx(np.cov(p[:, 0], aweights=weights[:, 0], ddof=0), rel=0.01)
    assert found.n_rows == int(weights.sum() ** 2 / (weights**2).sum())
    assert prior_reference("binary", p, np.ones_like(p)) == prior_reference("binary", p)
    assert prior_reference("binary", p, np.zeros_like(p)).n_rows == 0
