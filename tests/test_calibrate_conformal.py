"""Conformal intervals and sets that hold what they promise, and the error to expect at an identity."""

from __future__ import annotations

import json
import math
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from seqloom.calibrate import (
    ConformalIntervals,
    ConformalSets,
    ErrorByIdentity,
    conformal_quantile,
    expected_error,
    fit_intervals,
    fit_sets,
)
from seqloom.errors import ConfigError, DataError

Array = NDArray[np.float64]
NAN = float("nan")


def column(*values: float) -> Array:
    return np.array(values)[:, None]


def again(result: Any) -> Any:
    """The same by way of JSON."""
    return type(result).from_json(json.loads(json.dumps(result.as_json(), allow_nan=False)))


@pytest.mark.parametrize(
    ("n", "level", "rank"),
    [(9, 0.9, 9), (10, 0.9, 10), (99, 0.9, 90), (19, 0.95, 19), (4, 0.8, 4), (100, 0.07, 8), (3, 0.5, 2)],
)
def test_the_quantile_has_the_rank_of_finite_samples(n: int, level: float, rank: int) -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    assert conformal_quantile(scores, level) == rank


def test_too_few_rows_for_a_level_make_it_infinite_and_a_note_says_so() -> None:
    y = np.arange(18.0)[:, None]
    fitted = fit_intervals(y, y + 1, (0.9, 0.95))
    assert [fitted.halfwidth(1, level)[0, 0] for level in (0.9, 0.95)] == [1.0, math.inf]
    assert fitted.notes == ("a level of 0.95 needs 19 held-back rows, there are 18: its intervals are infinite",)
    assert again(fitted) == fitted
    one_more = fit_intervals(np.arange(19.0)[:, None], np.arange(19.0)[:, None] + 1, (0.95,))
    assert (one_more.halfwidth(1)[0, 0], one_more.notes) == (1.0, ())
    assert fit_intervals(np.zeros((0, 1)), np.zeros((0, 1))).halfwidth(2).tolist() == [[math.inf], [math.inf]]


def test_intervals_are_prediction_plus_or_minus_a_residual() -> None:
    y = np.zeros((9, 1))
    fitted = fit_intervals(y, column(*range(-4, 5)), (0.9, 0.5))
    low, high = fitted.interval(column(10, NAN))
    assert (low[:, 0].tolist(), high[:, 0].tolist()) == ([6.0, -math.inf], [14.0, math.inf])
    assert fitted.halfwidth(1, 0.5)[0, 0] == 2.0
    with pytest.raises(ConfigError, match=r"level 0.8: fitted at 0.9, 0.5"):
        fitted.halfwidth(1, 0.8)


def test_missing_targets_are_left_out_and_missing_predictions_are_errors_without_bound() -> None:
    y = np.zeros((40, 2))
    p = np.tile(np.arange(40.0)[:, None], 2)
    y[20:, 0] = NAN
    p[:10, 1] = NAN
    fitted = fit_intervals(y, p, (0.7, 0.8))
    assert [each.n_rows for each in fitted.columns] == [20, 40]
    assert fitted.halfwidth(1, 0.7).tolist() == [[14.0, 38.0]]
    assert fitted.halfwidth(1, 0.8).tolist() == [[16.0, math.inf]]


def test_groups_have_their_own_quantile_when_they_have_the_rows() -> None:
    sizes = np.repeat([1.0, 5.0, 9.0], [50, 40, 6])
    labels = np.repeat(["calm", "wild", "few"], [50, 40, 6])
    y = np.zeros((96, 1))
    fitted = fit_intervals(y, sizes[:, None], groups=labels)
    got = fitted.halfwidth(4, groups=np.array(["calm", "wild", "few", "new"]))[:, 0]
    assert got.tolist() == [1.0, 5.0, 5.0, 5.0]
    assert fitted.halfwidth(1)[0, 0] == 5.0
    assert fitted.notes == ("groups with fewer than 30 held-back rows take the pooled quantile: few (6)",)
    assert again(fitted) == fitted


def test_a_group_needs_as_many_rows_as_its_level() -> None:
    y = np.zeros((140, 1))
    labels = np.repeat([1, 2], [60, 80])
    fitted = fit_intervals(y, y + 1, (0.9, 0.99), groups=labels)
    assert fitted.notes == ("groups with fewer than 99 held-back rows take the pooled quantile: 1 (60), 2 (80)",)


def test_width_follows_the_spread_down_to_a_floor() -> None:
    rng = np.random.default_rng(0)
    spread = rng.uniform(1, 3, (200, 1))
    y = spread * rng.normal(size=(200, 1))
    fitted = fit_intervals(y, np.zeros((200, 1)), spread=spread)
    q = conformal_quantile(np.abs(y / spread)[:, 0], 0.9)
    floor = 0.1 * np.median(spread)
    got = fitted.halfwidth(3, spread=column(2.0, 0.0, 30.0))[:, 0]
    np.testing.assert_allclose(got, [2 * q, floor * q, 30 * q])
    assert again(fitted) == fitted
    with pytest.raises(ValueError, match="give `spread`"):
        fitted.halfwidth(3)
    with pytest.raises(ValueError, match="spread of 0 or more"):
        fit_intervals(y, y, spread=-spread)


def test_a_spread_of_zeros_is_not_used_and_a_note_says_so() -> None:
    y = np.arange(20.0)[:, None]
    fitted = fit_intervals(y, y + 1, spread=np.zeros((20, 1)))
    assert not fitted.is_normalised
    assert fitted.notes == ("the spread is 0 in half of the held-back rows or more: intervals are of one width",)
    assert fitted.halfwidth(1, spread=column(0.0))[0, 0] == 1.0


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("kind", ["plain", "spread", "groups"])
def test_intervals_cover_new_rows_as_promised(level: float, kind: str) -> None:
    rng = np.random.default_rng(7)
    n, n_new, shares = 99, 50, []
    for _ in range(300):
        scale = rng.uniform(0.5, 2, n + n_new)
        y = rng.standard_t(4, n + n_new) * scale
        labels = (scale > 1.25).astype(int)
        given: dict[str, Any] = (
            {"spread": scale[:, None]} if kind == "spread" else {"groups": labels} if kind == "groups" else {}
        )
        held, new = slice(n), slice(n, None)
        zero = np.zeros((n + n_new, 1))
        fitted = fit_intervals(y[held, None], zero[held], (level,), **{key: each[held] for key, each in given.items()})
        low, high = fitted.interval(zero[new], **{key: each[new] for key, each in given.items()})
        inside = (low[:, 0] <= y[new]) & (y[new] <= high[:, 0])
        shares.append([inside.mean(), inside[labels[new] == 1].mean()] if kind == "groups" else [inside.mean()])
    # At least the level; at most one rank more in the smallest group. Monte-Carlo error: of 300 sets, about .003.
    got = np.mean(shares, axis=0)
    error = np.std(shares, axis=0) / np.sqrt(300)
    assert (got >= level - 3 * error).all()
    assert (got <= level + (1 / 30 if kind == "groups" else 1 / (n + 1)) + 3 * error).all()


def rows_of_classes(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    """Four classes, and probabilities that are too sure."""
    centres = np.array([[0.0, 0], [2, 0], [0, 2], [1, 1]])
    y = rng.choice(4, size=n, p=[0.4, 0.3, 0.2, 0.1])
    x = centres[y] + rng.normal(size=(n, 2))
    p = np.exp(-((x[:, None] - centres) ** 2).sum(axis=2))
    return y[:, None].astype(float), p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("score", ["lac", "aps"])
def test_sets_hold_the_true_class_as_promised(score: Literal["lac", "aps"], level: float) -> None:
    rng = np.random.default_rng(11)
    n, shares = 99, []
    for _ in range(300):
        y, p = rows_of_classes(rng, n + 50)
        inside = fit_sets("multiclass", y[:n], p[:n], (level,), score=score).contains(p[n:])
        shares.append(inside[np.arange(50), y[n:, 0].astype(int)].mean())
    error = np.std(shares) / np.sqrt(300)
    assert level - 3 * error <= np.mean(shares) <= level + 1 / (n + 1) + 3 * error


def test_sets_by_class_hold_what_they_promise_in_each_class() -> None:
    rng = np.random.default_rng(13)
    hits, rows, pooled_hits = np.zeros(4), np.zeros(4), np.zeros(4)
    for _ in range(60):
        y, p = rows_of_classes(rng, 600)
        true = y[500:, 0].astype(int)
        fitted = fit_sets("multiclass", y[:500], p[:500], by_class=True)
        rows += np.bincount(true, minlength=4)
        hits += np.bincount(true, fitted.contains(p[500:])[np.arange(100), true], 4)
        pooled = fit_sets("multiclass", y[:500], p[:500]).contains(p[500:])
        pooled_hits += np.bincount(true, pooled[np.arange(100), true], 4)
    assert (hits / rows > 0.9 - 0.03).all()
    assert (pooled_hits / rows).min() < 0.85


def test_lac_takes_classes_of_enough_probability_and_aps_the_likeliest_up_to_a_sum() -> None:
    p = np.array([[0.5, 0.3, 0.2], [0.9, 0.06, 0.04], [0.4, 0.4, 0.2]])
    y = np.zeros((9, 1))
    lac = fit_sets("multiclass", y, np.tile([0.3, 0.4, 0.3], (9, 1)))
    assert lac.contains(p).tolist() == [[True, True, False], [True, False, False], [True, True, False]]
    aps = fit_sets("multiclass", y, np.tile([0.8, 0.1, 0.1], (9, 1)), score="aps")
    assert aps.contains(p).tolist() == [[True, True, False], [False] * 3, [True, True, False]]
    assert again(lac) == lac
    assert again(aps) == aps


def test_aps_agrees_with_a_loop_over_rows() -> None:
    rng = np.random.default_rng(0)
    p = np.round(rng.dirichlet(np.ones(5), 300), 1)
    y = rng.integers(0, 5, (300, 1)).astype(float)
    sums = np.array([[row[row >= each].sum() for each in row] for row in p])
    limit = conformal_quantile(sums[np.arange(300), y[:, 0].astype(int)], 0.9)
    got = fit_sets("multiclass", y, p, score="aps").contains(p)
    np.testing.assert_array_equal(got, sums <= limit + 1e-9)


def test_a_binary_set_has_the_negative_first() -> None:
    fitted = fit_sets("binary", np.ones((9, 1)), np.full((9, 1), 0.6), names=("no", "yes"))
    assert fitted.contains(column(0.7, 0.1, 0.5)).tolist() == [[False, True], [True, False], [False, False]]
    assert fitted.classes == ("no", "yes")


def test_too_few_rows_or_a_nan_make_full_sets() -> None:
    fitted = fit_sets("binary", np.ones((8, 1)), np.full((8, 1), 0.6))
    assert fitted.contains(column(0.99)).all()
    assert fitted.notes == ("a level of 0.9 needs 9 held-back rows, there are 8: its sets have all classes",)
    assert again(fitted) == fitted
    fitted = fit_sets("multiclass", np.zeros((20, 1)), np.tile([0.6, 0.4], (20, 1)), score="aps")
    assert fitted.contains(np.array([[NAN, 1.0], [0.1, 0.9]])).tolist() == [[True, True], [False, False]]
    blank = fit_sets("binary", np.ones((20, 1)), np.full((20, 1), NAN))
    assert blank.contains(column(0.99)).all()


def test_groups_and_classes_with_few_rows_are_pooled_and_named() -> None:
    y = np.repeat([0.0, 1.0], [50, 10])[:, None]
    p = np.tile([0.5, 0.3, 0.2], (60, 1))
    fitted = fit_sets("multiclass", y, p, by_class=True, names=("a", "b", "c"))
    assert fitted.notes == (
        "classes with fewer than 30 held-back rows take the pooled quantile: b (10)",
        "no held-back row is c: the pooled quantile stands in",
    )
    grouped = fit_sets("multiclass", y, p, groups=np.repeat(["x", "y"], [50, 10]))
    assert grouped.contains(p[:2], groups=np.array(["x", "y"])).tolist() == [[True, False, False], [True, True, False]]
    assert again(grouped) == grouped


def test_what_cannot_be_fitted_is_refused() -> None:
    y, p = np.ones((20, 1)), np.full((20, 1), 0.6)
    with pytest.raises(ConfigError, match=r"levels \[1.0\]"):
        fit_sets("binary", y, p, (1.0,))
    with pytest.raises(ConfigError, match="levels"):
        fit_intervals(y, p, ())
    with pytest.raises(ValueError, match="not both"):
        fit_sets("binary", y, p, groups=np.ones(20), by_class=True)
    with pytest.raises(ValueError, match="multilabel"):
        fit_sets("multilabel", y, p)
    with pytest.raises(DataError, match="outside"):
        fit_sets("binary", y, 2 * p)
    with pytest.raises(ValueError, match="do not fit"):
        fit_intervals(y, np.ones((20, 2)))
    with pytest.raises(ValueError, match="labels"):
        fit_intervals(y, p, groups=np.ones(3))
    with pytest.raises(ValueError, match="3 names for 2 classes"):
        fit_sets("binary", y, p, names=("a", "b", "c"))


def test_results_cannot_be_changed() -> None:
    fitted = fit_intervals(np.zeros((20, 1)), np.zeros((20, 1)))
    assert isinstance(fitted, ConformalIntervals)
    assert isinstance(fit_sets("binary", np.ones((9, 1)), np.full((9, 1), 0.6)), ConformalSets)
    with pytest.raises(AttributeError):
        fitted.notes = ()  # type: ignore[misc]


def test_error_is_the_mean_of_the_rows_of_a_band() -> None:
    identity = np.repeat([0.15, 0.42, 0.7, 0.9, 1.0], [40, 31, 10, 25, 50])
    error = np.repeat([4.0, 2.0, 1.0, 2.0, 0.5], [40, 31, 10, 25, 50]) + np.tile([-0.25, 0.25], 78)
    found = expected_error(identity, error, draws=200)
    assert [(band.low, band.high, band.rows) for band in found.bands] == [
        (0.1, 0.2, 40),
        (0.4, 0.5, 31),
        (0.7, 1.0, 35),
        (1.0, 1.0, 50),
    ]
    for band, inside in zip(
        found.bands, (identity < 0.2, identity == 0.42, (identity > 0.6) & (identity < 1), identity == 1), strict=True
    ):
        assert band.error.value == pytest.approx(error[inside].mean())
        assert band.error.low < band.error.value < band.error.high
    got = found.at(np.array([0.0, 0.15, 0.3, 0.42, 0.65, 0.71, 1.0, NAN]))
    means = [band.error.value for band in found.bands]
    np.testing.assert_array_equal(got.value, [means[k] for k in (0, 0, 0, 1, 1, 2, 3)] + [NAN])
    assert (got.low[:-1] < got.value[:-1]).all()
    assert found.is_beyond(np.array([0.14, 0.15, 0.9, NAN])).tolist() == [True, False, False, False]
    assert (found.farthest, found.nearest, found.n_rows) == (0.15, 1.0, 156)
    assert found.resampled == "200 draws over 156 rows"


def test_an_identity_on_an_edge_stands_in_the_band_that_begins_there() -> None:
    found = expected_error(np.repeat([0.3 - 1e-9, 0.7, 0.1 + 0.2], 30), np.repeat([1.0, 2.0, 1.0], 30), draws=10)
    assert [(band.low, band.rows) for band in found.bands] == [(0.3, 60), (0.7, 30)]
    assert found.at(np.array([0.7 - 1e-9])).value[0] == 2.0


def test_the_interval_of_a_band_covers_the_mean() -> None:
    rng = np.random.default_rng(3)
    covered = []
    for seed in range(150):
        found = expected_error(np.full(60, 0.5), rng.exponential(size=60), draws=200, seed=seed)
        covered.append(found.bands[0].error.low <= 1 <= found.bands[0].error.high)
    assert 0.86 <= np.mean(covered) <= 0.99  # percentile bootstrap of 60 skewed rows: near 0.93; error .02


def test_it_is_said_whether_error_rises_as_identity_falls() -> None:
    rng = np.random.default_rng(0)
    identity = rng.random(300)
    rising = expected_error(identity, np.abs(rng.normal(size=300)) * (1.5 - identity), draws=300)
    assert rising.rises
    assert "it rises as identity falls" in rising.why
    assert rising.rank_correlation.value < 0
    error = np.abs(rng.normal(size=300)) * (0.5 + identity)
    falling = expected_error(identity, error, draws=300)
    assert not falling.rises
    assert "it falls as identity falls" in falling.why
    assert falling.rank_correlation.value == pytest.approx(spearmanr(identity, error).statistic)
    flat = [expected_error(identity, rng.random(300), edges=(), draws=100, seed=seed).rises for seed in range(100)]
    assert sum(flat) <= 9  # 2.5 expected, 97.5 % interval on one side


def test_errors_that_do_not_rise_are_reported_as_they_are() -> None:
    found = expected_error(np.repeat([0.1, 0.5, 0.9], 40), np.repeat([1.0, 3.0, 2.0], 40), draws=10)
    assert [band.error.value for band in found.bands] == [1.0, 3.0, 2.0]


def test_related_rows_are_drawn_together() -> None:
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(30), 10)
    error = np.repeat(rng.exponential(size=30), 10)
    alone = expected_error(np.full(300, 0.5), error).bands[0].error
    joint = expected_error(np.full(300, 0.5), error, clusters=clusters)
    assert joint.bands[0].error.high - joint.bands[0].error.low > 2 * (alone.high - alone.low)
    assert joint.resampled == "1,000 draws over 30 groups of 300 rows"


def test_few_rows_make_one_band_and_none_make_none() -> None:
    few = expected_error(np.array([0.1, 0.9, 0.5, NAN]), np.array([1.0, 2.0, NAN, 3.0]), draws=10)
    assert [(band.low, band.high, band.rows) for band in few.bands] == [(0.1, 1.0, 2)]
    assert "fewer than 30 rows in all" in few.why
    nothing = expected_error(np.array([NAN]), np.array([1.0]))
    assert (nothing.bands, nothing.n_rows, nothing.rises) == ((), 0, False)
    assert np.isnan(nothing.at(np.array([0.5])).value).all()
    constant = expected_error(np.full(40, 0.5), np.ones(40), draws=10)
    assert "cannot be told" in constant.why
    for found in (few, nothing, constant):
        copy = again(found)
        assert isinstance(copy, ErrorByIdentity)
        assert copy.as_json() == found.as_json()
    with pytest.raises(ValueError, match="errors of 0 or more"):
        expected_error(np.array([0.5]), np.array([-1.0]))
