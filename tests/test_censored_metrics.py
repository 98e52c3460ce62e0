"""Targets that are bounds: how predictions are scored against them."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import mean_squared_error, r2_score

from seqloom.metrics import METRICS, find_metric, left_out, score, scores, within_groups
from seqloom.metrics.bounds import target_of
from seqloom.stats import compare as compare_scores


def some_scores(n=60, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(n, 1))
    return y, y + rng.normal(size=(n, 1)), rng.integers(-1, 2, (n, 1)).astype(np.int8)


def test_errors_count_only_the_wrong_side_of_a_bound():
    y, p, bounds = np.array([[1.0]] * 4), np.array([[3.0], [3.0], [0.0], [0.0]]), np.array([[1], [-1], [1], [0]])
    assert score("mae", "regression", y, p, bounds) == (0 + 2 + 1 + 1) / 4
    assert score("rmse", "regression", y, p, bounds) == pytest.approx(np.sqrt((0 + 4 + 1 + 1) / 4))


@pytest.mark.parametrize("name", ["spearman", "pearson", "r2", "ndcg", "top_recall"])
def test_other_metrics_are_those_of_measured_rows(name):
    y, p, bounds = some_scores()
    own = bounds[:, 0] == 0
    assert score(name, "regression", y, p, bounds) == score(name, "regression", y[own], p[own])
    assert left_out(METRICS[name], y, bounds) == (~own).sum()
    reference = {"spearman": stats.spearmanr(y[own], p[own])[0], "r2": r2_score(y[own], p[own])}
    if name in reference:
        assert score(name, "regression", y, p, bounds) == pytest.approx(reference[name])


@pytest.mark.parametrize("name", ["spearman", "pearson", "r2", "rmse", "mae", "ndcg", "top_recall"])
def test_a_draw_of_rows_with_bounds_is_the_metric_of_the_rows_drawn(name):
    y, p, bounds = some_scores()
    y[:3] = np.nan
    counts = np.random.default_rng(1).integers(0, 3, (5, len(y)))
    drawn = scores(name, "regression", y, p, counts, bounds).value
    for own, value in zip(counts, drawn, strict=True):
        rows = np.repeat(np.arange(len(y)), own)
        assert value == pytest.approx(score(name, "regression", y[rows], p[rows], bounds[rows]))
        held = target_of(find_metric(name, "regression"), y, p, bounds)[rows]
        assert value == pytest.approx(score(name, "regression", held, p[rows]))


def test_no_bounds_change_no_score():
    y, p, bounds = some_scores()
    for name in ("spearman", "rmse"):
        assert score(name, "regression", y, p, 0 * bounds) == score(name, "regression", y, p)
    with pytest.raises(ValueError, match="binary: bounds"):
        score("auroc", "binary", (y > 0).astype(float), p, bounds)


def test_columns_of_targets_have_bounds_of_their_own():
    one, p, bounds = some_scores()
    other, q, _ = some_scores(seed=5)
    y, both, none = np.hstack([one, other]), np.hstack([p, q]), np.zeros_like(bounds)
    got = scores("rmse", "regression", y, both, bounds=np.hstack([bounds, none])).per_target[0]
    held = np.where(bounds * (p - one) > 0, p, one)
    np.testing.assert_allclose(got, [np.sqrt(mean_squared_error(held, p)), np.sqrt(mean_squared_error(other, q))])


def test_groups_are_scored_without_their_bounds():
    y, p, bounds = some_scores()
    groups = np.repeat(["a", "b"], 30)
    found = within_groups("spearman", "regression", y, p, groups, bounds=bounds)
    for place, own in enumerate((slice(0, 30), slice(30, 60))):
        assert found.values[place] == score("spearman", "regression", y[own], p[own], bounds[own])
        assert found.sizes[place] == (bounds[own] == 0).sum()


def test_a_comparison_counts_the_rows_each_metric_leaves_out():
    y, p, bounds = some_scores()
    got = compare_scores("regression", [y], {"a": [[p]]}, ["spearman", "rmse"], draws=100, bounds=[bounds])
    n = int((bounds != 0).sum())
    assert f"spearman: {n} of 60 test rows are left out, whose targets are bounds" in got.notes
    assert any(note.startswith("rmse: of targets that are bounds, only") for note in got.notes)
    assert got.interval("a", "spearman").value == score("spearman", "regression", y, p, bounds)
    low, high = got.interval("a", "rmse").low, got.interval("a", "rmse").high
    assert low < score("rmse", "regression", y, p, bounds) < high
