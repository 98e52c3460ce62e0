"""A metric group by group: each group by itself, every group left out with its reason, summaries drawn in pairs."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from seqloom.errors import ConfigError, DataError
from seqloom.metrics import WithinGroups, draw_summaries, score, within_groups

Array = NDArray[np.float64]


def assays(seed: int = 0) -> tuple[Array, Array, NDArray[np.str_]]:
    """Targets, predictions and labels of groups: good, weak, small, constant, ranked by a constant, one row, no target."""
    rng = np.random.default_rng(seed)
    sizes = {"good": 30, "weak": 20, "small": 4, "constant": 8, "flat": 6, "one": 1, "blank": 9}
    groups = np.repeat(list(sizes), list(sizes.values()))
    y = rng.normal(size=(len(groups), 1))
    p = y + np.where(groups == "good", 0.3, 2.0)[:, None] * rng.normal(size=y.shape)
    y[groups == "constant"], p[groups == "flat"], y[groups == "blank"] = 4.0, 1.5, np.nan
    y[np.flatnonzero(groups == "good")[:3]] = np.nan
    order = rng.permutation(len(groups))
    return y[order], p[order], groups[order]


def test_each_group_has_the_score_of_its_own_rows() -> None:
    y, p, groups = assays()
    got = within_groups("spearman", "regression", y, p, groups)
    assert got.labels.tolist() == ["blank", "constant", "flat", "good", "one", "small", "weak"]
    assert got.sizes.tolist() == [0, 8, 6, 27, 1, 4, 20]
    assert got.reasons == ("small", "constant", "undefined", "", "small", "small", "")
    for label, value in zip(got.labels, got.values, strict=True):
        own = (groups == label) & ~np.isnan(y[:, 0])
        if label in ("good", "weak"):
            assert value == pytest.approx(stats.spearmanr(y[own, 0], p[own, 0]).statistic)
        else:
            assert math.isnan(value)


def test_summaries_are_over_the_groups_that_count() -> None:
    y, p, groups = assays()
    got = within_groups("spearman", "regression", y, p, groups)
    good, weak = got.values[3], got.values[6]
    assert got.n_counted == 2
    assert got.mean == pytest.approx((good + weak) / 2)
    assert got.median == pytest.approx((good + weak) / 2)
    assert got.weighted_mean == pytest.approx((27 * good + 20 * weak) / 47)


def test_what_is_left_out_is_said_in_words() -> None:
    y, p, groups = assays()
    assert within_groups("spearman", "regression", y, p, groups).note == (
        "spearman within 2 of 7 groups; left out: 3 with fewer than 5 known targets, 1 whose targets are all equal,"
        " 1 without a score (the targets or the predictions are constant, or a prediction is not a number)"
    )
    labels = groups.astype(object)
    labels[groups == "good"] = None
    note = within_groups("mae", "regression", y, p, labels, fewest=1).note
    assert note == "mae within 5 of 6 groups; left out: 1 with fewer than 1 known targets; 30 rows are in no group"


def test_constant_targets_are_left_out_only_where_the_metric_says_nothing_of_them() -> None:
    y, p, groups = assays()
    place = 1
    for name, reason in (("mae", ""), ("rmse", ""), ("r2", "constant"), ("ndcg", "constant")):
        assert within_groups(name, "regression", y, p, groups).reasons[place] == reason
    y01, p01, labels = np.array([[1.0]] * 6 + [[0.0], [1.0]] * 3), np.linspace(0, 1, 12)[:, None], np.repeat([0, 1], 6)
    for name in ("auroc", "mcc", "average_precision", "bedroc", "enrichment"):
        got = within_groups(name, "binary", y01, p01, labels)
        assert got.reasons == ("constant", "")
        assert got.mean == score(name, "binary", y01[6:], p01[6:])
    assert within_groups("accuracy", "binary", y01, p01, labels).reasons == ("", "")


def test_groups_of_one_row_and_constant_groups_leave_nothing_and_say_so() -> None:
    y, p = np.arange(12.0)[:, None], np.arange(12.0)[:, None]
    alone = within_groups("spearman", "regression", y, p, np.arange(12))
    assert set(alone.reasons) == {"small"}
    assert alone.note == "spearman within 0 of 12 groups; left out: 12 with fewer than 5 known targets"
    constant = within_groups("spearman", "regression", y // 6, p, np.repeat([3, 4], 6))
    assert constant.reasons == ("constant", "constant")
    nobody = within_groups("spearman", "regression", y, p, np.full(12, np.nan))
    assert nobody.note == "spearman within 0 of 0 groups; 12 rows are in no group"
    for each in (alone, constant, nobody):
        assert math.isnan(each.mean)
        assert math.isnan(each.median)
        assert math.isnan(each.weighted_mean)
        assert np.isnan(draw_summaries([each], 7, 0)).all()


def test_of_several_columns_those_count_that_have_enough_targets_in_the_group() -> None:
    rng = np.random.default_rng(2)
    y, p, groups = rng.normal(size=(20, 3)), rng.normal(size=(20, 3)), np.repeat([0, 1], 10)
    y[:6, 1] = np.nan  # four known in group 0
    y[:10, 2] = 1.0
    got = within_groups("spearman", "regression", y, p, groups)
    assert got.values[0] == pytest.approx(stats.spearmanr(y[:10, 0], p[:10, 0]).statistic)
    assert got.values[1] == pytest.approx(score("spearman", "regression", y[10:], p[10:]))
    assert got.sizes.tolist() == [10, 10]


def test_a_missing_prediction_leaves_its_own_group_without_a_score() -> None:
    y, p, groups = assays()
    p[np.flatnonzero(groups == "weak")[0]] = np.nan
    got = within_groups("mae", "regression", y, p, groups)
    assert got.reasons == ("small", "", "", "", "small", "small", "undefined")


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_every_task_has_groups(task: str) -> None:
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, (60, 2 if task == "multilabel" else 1)).astype(float)
    p = rng.dirichlet(np.ones(2), 60)[:, : 1 if task == "binary" else 2]
    groups = rng.integers(0, 4, 60)
    got = within_groups("mcc", task, y, p, groups)  # type: ignore[arg-type]
    expected = [score("mcc", task, y[groups == g], p[groups == g]) for g in range(4)]  # type: ignore[arg-type]
    np.testing.assert_allclose(got.values, expected)


def test_a_result_cannot_be_changed() -> None:
    y, p, groups = assays()
    got = within_groups("mae", "regression", y, p, groups)
    with pytest.raises(ValueError, match="read-only"):
        got.values[0] = 1.0
    with pytest.raises(AttributeError):
        got.fewest = 2  # type: ignore[misc]


def test_misfits_are_refused() -> None:
    y, p, groups = assays()
    with pytest.raises(ValueError, match=r"groups \(3,\) for 78 rows"):
        within_groups("mae", "regression", y, p, groups[:3])
    with pytest.raises(ConfigError, match="fewest = 0"):
        within_groups("mae", "regression", y, p, groups, fewest=0)
    with pytest.raises(ConfigError, match="did you mean 'mae'"):
        within_groups("mea", "regression", y, p, groups)
    with pytest.raises(DataError, match="needs probabilities"):
        within_groups("brier", "binary", (y > 0).astype(float), p, np.arange(len(y)))


def many(rng: np.random.Generator, noise: float, y: Array, groups: NDArray[np.int64]) -> WithinGroups:
    return within_groups("spearman", "regression", y, y + noise * rng.normal(size=y.shape), groups)


def test_draws_of_groups_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(4)
    groups = rng.integers(0, 30, 300)
    y = rng.normal(size=(300, 1))
    results = [many(rng, noise, y, groups) for noise in (0.5, 1.0)]
    p = y.copy()
    p[groups == 7] = 0.0  # no score there
    results.append(within_groups("spearman", "regression", y, p, groups))
    got = draw_summaries(results, 200, 11)
    counted = np.flatnonzero([reason not in ("small", "constant") for reason in results[0].reasons])
    drawn = counted[np.random.default_rng(11).integers(0, len(counted), (200, len(counted)))]
    for i, result in enumerate(results):
        values, sizes = result.values[drawn], result.sizes[drawn].astype(float)
        np.testing.assert_allclose(got.mean[i], np.nanmean(values, axis=1))
        np.testing.assert_allclose(got.median[i], np.nanmedian(values, axis=1))
        sizes[np.isnan(values)] = 0
        np.testing.assert_allclose(got.weighted_mean[i], np.nansum(values * sizes, axis=1) / sizes.sum(axis=1))


def test_draws_are_shared_so_that_a_difference_is_sharper_than_either() -> None:
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(60), 15)
    spread = rng.choice([0.3, 3.0], 60)[groups][:, None]  # some groups are hard for all
    y = rng.normal(size=(900, 1))
    p = y + spread * rng.normal(size=y.shape)
    one = within_groups("spearman", "regression", y, p, groups)
    other = within_groups("spearman", "regression", y, p + 0.1 * rng.normal(size=y.shape), groups)
    for summary in draw_summaries([one, other], 500, 0):
        assert np.std(summary[0] - summary[1]) < 0.3 * np.std(summary[0])
    np.testing.assert_array_equal(draw_summaries([one, other], 500, 0).mean[0], draw_summaries([one], 500, 0).mean[0])


def test_draws_of_the_mean_spread_as_theory_says() -> None:
    rng = np.random.default_rng(6)
    groups = np.repeat(np.arange(400), 10)
    result = many(rng, 1.0, rng.normal(size=(4000, 1)), groups)
    draws = draw_summaries([result], 2000, 0)
    assert np.std(draws.mean[0]) == pytest.approx(np.std(result.values) / math.sqrt(400), rel=0.06)
    assert np.mean(draws.median[0]) == pytest.approx(result.median, abs=0.01)


def test_results_of_other_groups_or_metrics_are_not_drawn_together() -> None:
    y, p, groups = assays()
    one = within_groups("spearman", "regression", y, p, groups)
    others = (
        within_groups("mae", "regression", y, p, groups),
        within_groups("spearman", "regression", y[1:], p[1:], groups[1:]),
        within_groups("spearman", "regression", np.where(groups[:, None] == "weak", 0.0, y), p, groups),
    )
    for other in others:
        with pytest.raises(ValueError, match="cannot be drawn together"):
            draw_summaries([one, other], 10, 0)


def test_thousands_of_groups_take_seconds_at_most() -> None:
    rng = np.random.default_rng(7)
    groups = rng.integers(0, 3000, 30_000)
    y = rng.normal(size=(30_000, 1))
    start = time.process_time()
    result = many(rng, 1.0, y, groups)
    draw_summaries([result] * 4, 1000, 0)
    assert result.n_counted > 2500
    assert time.process_time() - start < 10
