"""Intervals that cover what they claim, differences that are paired, and an order that respects the metric."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats as scipy_stats
from sklearn import metrics as sk

from seqloom.errors import ConfigError
from seqloom.interval import degrees_of_freedom
from seqloom.metrics import Task, default_metrics
from seqloom.stats import Comparison, compare, interval_of

Array = NDArray[np.float64]


def noisy(rng: np.random.Generator, y: Array, noise: float) -> Array:
    return y + noise * rng.normal(size=y.shape)


def test_a_value_is_the_mean_over_folds_of_the_mean_over_seeds() -> None:
    y = [np.zeros((2, 1)), np.zeros((4, 1))]
    ones = [np.ones((2, 1)), np.ones((4, 1))]
    predictions = {"net": [[1 * ones[0], 3 * ones[0]], [10 * ones[1]]], "rule": [[5 * ones[0]], [7 * ones[1]]]}
    result = compare("regression", y, predictions, ["mae"], draws=20)
    assert result.interval("net").value == (2 + 10) / 2
    assert result.interval("rule").value == (5 + 7) / 2
    assert [(m.fold, m.seed, m.metrics["mae"]) for m in result.scores("net").members] == [
        (0, 0, 1.0),
        (0, 1, 3.0),
        (1, 0, 10.0),
    ]
    assert result.resampled == "20 draws over 6 rows in 2 folds and 2 seeds"


def test_the_ensemble_is_the_mean_prediction_and_absent_without_a_second_seed() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(40, 1))
    seeds = [noisy(rng, y, 1.0) for _ in range(3)]
    result = compare("regression", [y], {"net": [seeds], "one": [seeds[:1]]}, ["mae", "rmse"], draws=200)
    ensemble = result.scores("net").ensemble
    assert ensemble is not None
    assert ensemble["mae"].value == pytest.approx(sk.mean_absolute_error(y, np.mean(seeds, axis=0)))
    assert ensemble["mae"].low < ensemble["mae"].value < ensemble["mae"].high
    assert ensemble["mae"].value < result.interval("net", "mae").value
    assert result.scores("one").ensemble is None


@pytest.mark.parametrize(
    ("task", "metric", "of"),
    [
        ("regression", "spearman", lambda y, p: scipy_stats.spearmanr(y, p).statistic),
        ("regression", "rmse", sk.root_mean_squared_error),
        ("binary", "average_precision", sk.average_precision_score),
    ],
)
def test_intervals_and_differences_agree_with_the_bootstrap_of_scipy(
    task: Task, metric: str, of: Callable[[Array, Array], float]
) -> None:
    rng = np.random.default_rng(5)
    y = rng.normal(size=(60, 1))
    a, b = noisy(rng, y, 0.8), noisy(rng, y, 1.2)
    y = (y > 0).astype(float) if task == "binary" else y
    result = compare(task, [y], {"a": [[a]], "b": [[b]]}, [metric], draws=4000)

    def theirs(statistic: Callable[..., float], *columns: Array) -> tuple[float, float]:
        data = tuple(column[:, 0] for column in columns)
        made = scipy_stats.bootstrap(
            data,
            statistic,
            paired=True,
            vectorized=False,
            n_resamples=1500,
            method="percentile",
            confidence_level=expanded_level(statistic, *data),
            rng=1,
        )
        return made.confidence_interval

    width = result.interval("a").high - result.interval("a").low
    got = result.interval("a")
    np.testing.assert_allclose((got.low, got.high), theirs(of, y, a), atol=0.08 * width)
    got = result.difference("a", "b")
    np.testing.assert_allclose(
        (got.low, got.high), theirs(lambda y, a, b: of(y, a) - of(y, b), y, a, b), atol=0.08 * width
    )


def expanded_level(statistic: Callable[..., float], *columns: Array) -> float:
    """How much of the draws 95 % are, from a loop that leaves out one row after the other."""
    n, whole = len(columns[0]), statistic(*columns)
    lost = [whole - statistic(*(np.delete(column, i) for column in columns)) for i in range(n)]
    freedom = 2 / (2 / (n - 1) + max(scipy_stats.kurtosis(lost, bias=False), 0) / n)
    return float(1 - 2 * scipy_stats.norm.cdf(scipy_stats.t.ppf(0.025, freedom) * math.sqrt(n / (n - 1))))


def spearman_of_normals(correlation: float) -> float:
    """The Spearman correlation of a bivariate normal (Pearson 1907)."""
    return 6 / math.pi * math.asin(correlation / 2)


def covers(make: Callable[[np.random.Generator], tuple[Task, Array, Array]], metric: str, truth: float) -> float:
    """The share of 300 simulated tables whose interval holds the truth."""
    hits = 0
    for trial in range(300):
        task, y, p = make(np.random.default_rng(trial))
        interval = compare(task, [y], {"a": [[p]]}, [metric], draws=500, seed=trial).interval("a")
        hits += interval.low <= truth <= interval.high
    return hits / 300


def test_the_interval_of_spearman_covers_95_percent() -> None:
    def make(rng: np.random.Generator) -> tuple[Task, Array, Array]:
        y = rng.normal(size=(60, 1))
        return "regression", y, 0.6 * y + 0.8 * rng.normal(size=y.shape)

    assert 0.92 <= covers(make, "spearman", spearman_of_normals(0.6)) <= 0.98


def test_the_interval_of_mae_covers_95_percent() -> None:
    def make(rng: np.random.Generator) -> tuple[Task, Array, Array]:
        y = rng.normal(size=(50, 1))
        return "regression", y, noisy(rng, y, 1.0)

    assert 0.92 <= covers(make, "mae", math.sqrt(2 / math.pi)) <= 0.98


def test_the_interval_of_auroc_covers_95_percent() -> None:
    def make(rng: np.random.Generator) -> tuple[Task, Array, Array]:
        y = (np.arange(80) % 2).astype(float)[:, None]
        return "binary", y, y + rng.normal(size=y.shape)

    assert 0.92 <= covers(make, "auroc", scipy_stats.norm.cdf(1 / math.sqrt(2))) <= 0.98


def test_over_related_rows_only_drawing_whole_groups_covers() -> None:
    groups, truth = np.repeat(np.arange(80), 4), math.sqrt(2 / math.pi * 1.09)
    hits = {"rows": 0, "groups": 0}
    for trial in range(300):
        rng = np.random.default_rng(trial)
        error = rng.normal(size=(80, 1))[groups] + 0.3 * rng.normal(size=(320, 1))
        for how, clusters in (("rows", None), ("groups", [groups])):
            result = compare(
                "regression", [np.zeros((320, 1))], {"a": [[error]]}, ["mae"], clusters=clusters, draws=300
            )
            hits[how] += result.interval("a").low <= truth <= result.interval("a").high
    assert 0.92 <= hits["groups"] / 300 <= 0.98
    assert hits["rows"] / 300 <= 0.75


def test_where_some_groups_are_much_larger_than_others_intervals_still_cover() -> None:
    groups, truth = np.repeat(np.arange(30), [150, 75, 50, 40, *[10] * 26]), math.sqrt(2 / math.pi)
    hits = {"all alike": 0, "by influence": 0}
    for trial in range(300):
        error = np.random.default_rng(trial).normal(size=(30, 1))[groups]
        result = compare("regression", [np.zeros(error.shape)], {"a": [[error]]}, ["mae"], clusters=[groups], draws=300)
        interval = result.interval("a")
        alike = interval_of(interval.value, result.scores("a").draws["mae"], result.n_units)
        hits["all alike"] += alike.low <= truth <= alike.high
        hits["by influence"] += interval.low <= truth <= interval.high
    assert hits["by influence"] >= hits["all alike"] + 15
    assert 0.9 <= hits["by influence"] / 300 <= 0.98


def test_a_difference_between_equally_good_models_is_seldom_claimed() -> None:
    claims = 0
    for trial in range(300):
        rng = np.random.default_rng(trial)
        y = rng.normal(size=(60, 1))
        predictions = {name: [[noisy(rng, y, 1.0)]] for name in "ab"}
        result = compare("regression", [y], predictions, ["spearman"], draws=400, seed=trial)
        claims += result.difference("a", "b").excludes_zero
    assert claims / 300 <= 0.08


def test_a_paired_difference_is_found_where_the_intervals_overlap() -> None:
    rng = np.random.default_rng(3)
    y = rng.normal(size=(800, 1))
    a = noisy(rng, y, 1.0)
    result = compare("regression", [y], {"a": [[a]], "b": [[noisy(rng, a, 0.4)]]}, ["spearman"])
    assert result.interval("b").high > result.interval("a").low
    assert result.difference("a", "b").excludes_zero


def test_a_variant_does_not_differ_from_its_copy_at_all() -> None:
    rng = np.random.default_rng(0)
    y = [rng.normal(size=(n, 1)) for n in (30, 41)]
    p = [[noisy(rng, part, 1.0)] for part in y]
    result = compare("regression", y, {"a": p, "b": p}, default_metrics("regression"), draws=100)
    for metric in result.metrics:
        difference = result.difference("a", "b", metric)
        assert (difference.value, difference.low, difference.high) == (0, 0, 0)
        assert not difference.excludes_zero


def test_seeds_that_disagree_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(2000, 1))
    good, bad = noisy(rng, y, 0.5), noisy(rng, y, 1.5)
    result = compare("regression", [y], {"both": [[good, bad]], "good": [[good]]}, ["mae"], draws=400)
    both, alone = result.interval("both"), result.interval("good")
    assert both.high - both.low > 5 * (alone.high - alone.low)


def test_numbers_depend_on_the_seed_and_not_on_the_company() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(50, 1))
    a, b = [[noisy(rng, y, 1.0) for _ in range(3)]], [[noisy(rng, y, 1.0) for _ in range(3)]]

    def of_a(predictions: dict[str, list[list[Array]]], seed: int = 0) -> tuple[float, float]:
        interval = compare("regression", [y], predictions, ["r2"], draws=100, seed=seed).interval("a")
        return interval.low, interval.high

    assert of_a({"a": a}) == of_a({"a": a, "b": b}) == of_a({"b": b, "a": a})
    assert of_a({"a": a}) != of_a({"a": a}, seed=1)


@pytest.mark.parametrize(
    ("metric", "order"), [("mae", ("best", "mid", "tie", "worst")), ("r2", ("best", "mid", "tie", "worst"))]
)
def test_the_best_comes_first_whichever_way_is_better(metric: str, order: tuple[str, ...]) -> None:
    y = np.arange(10.0)[:, None]
    wrong = {"worst": 3.0, "tie": 2.0, "mid": 2.0, "best": 0.5}
    result = compare("regression", [y], {name: [[y + by]] for name, by in wrong.items()}, [metric], draws=10)
    assert result.order == order


def test_a_variant_without_a_score_comes_last() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(30, 1))
    predictions = {"constant": [[np.zeros((30, 1))]], "wrong": [[-y]]}
    result = compare("regression", [y], predictions, ["spearman"], draws=10)
    assert result.order == ("wrong", "constant")
    assert math.isnan(result.interval("constant").low)
    assert math.isnan(result.difference("constant", "wrong").value)


def test_a_variant_that_fails_in_one_fold_has_no_score() -> None:
    rng = np.random.default_rng(0)
    y = [rng.normal(size=(30, 1)) for _ in range(2)]
    predictions = {"collapsed": [[y[0]], [np.zeros((30, 1))]], "fine": [[-y[0]], [y[1]]]}
    result = compare("regression", y, predictions, ["spearman"], draws=10)
    assert math.isnan(result.interval("collapsed").value)
    assert result.interval("fine").value == 0.0
    assert result.notes == ()


def test_a_fold_whose_targets_are_of_one_class_is_left_out_for_all_and_noted() -> None:
    rng = np.random.default_rng(0)
    y = [rng.integers(0, 2, (40, 1)).astype(float), np.zeros((40, 1))]
    p = [[rng.random((40, 1))] for _ in y]
    result = compare("binary", y, {"a": p}, ["auroc", "brier"], draws=50)
    assert result.interval("a").value == pytest.approx(sk.roc_auc_score(y[0], p[0][0]))
    assert not math.isnan(result.interval("a").low)
    assert result.notes == ("auroc is left out in fold 1, whose targets do not allow it",)


def test_a_class_that_the_model_does_not_know_is_scored_as_always_wrong() -> None:
    y = np.array([0, 1, 2, 4, -1] * 8, np.float64)[:, None]
    knows = np.isin(y[:, 0], [0, 1, 2])
    p = np.eye(3)[np.where(knows, y[:, 0], 0).astype(int)]
    result = compare("multiclass", [y], {"a": [[p]]}, ["accuracy", "macro_f1"], draws=200)
    assert result.interval("a", "accuracy").value == pytest.approx(knows.mean())
    f1 = sk.f1_score(y, p.argmax(axis=1), average="macro", zero_division=0)
    assert result.interval("a", "macro_f1").value == pytest.approx(f1)
    assert result.interval("a", "accuracy").low < knows.mean() < result.interval("a", "accuracy").high
    assert result.notes == ()


def test_draws_of_one_class_are_left_out_and_their_share_is_told() -> None:
    y = np.array([[1.0], [1.0]] + [[0.0]] * 13)
    p = np.linspace(0, 1, 15)[:, None]
    result = compare("binary", [y], {"a": [[p]]}, ["auroc"], draws=2000)
    interval = result.interval("a")
    assert interval.undefined == pytest.approx((13 / 15) ** 15, abs=0.03)
    assert interval.value == interval.low == 0.0
    assert result.notes[1].startswith("auroc of a is undefined in 1")


def test_there_is_no_interval_when_most_draws_are_undefined() -> None:
    rng = np.random.default_rng(0)
    y = [np.array([[1.0]] + [[0.0]] * 14)] * 3
    result = compare("binary", y, {"a": [[rng.random((15, 1))] for _ in y]}, ["auroc"], draws=300)
    interval = result.interval("a")
    assert not math.isnan(interval.value)
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert interval.as_json() == {"value": interval.value, "low": None, "high": None}


def test_rows_without_any_target_take_no_part() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(60, 2))
    y[::3] = np.nan
    y[1::3, 0] = np.nan
    p = rng.normal(size=(60, 2))
    known = ~np.isnan(y).all(axis=1)
    whole = compare("regression", [y], {"a": [[p]]}, ["spearman", "mae"], draws=50)
    cut = compare("regression", [y[known]], {"a": [[p[known]]]}, ["spearman", "mae"], draws=50)
    assert whole.as_json() == cut.as_json()
    assert whole.resampled == "50 draws over 40 rows"


def test_groups_are_named_and_a_lone_group_is_told() -> None:
    rng = np.random.default_rng(0)
    y = [rng.normal(size=(30, 1)) for _ in range(2)]
    p = {"a": [[noisy(rng, part, 1.0)] for part in y]}
    groups = [np.repeat([f"g{i}" for i in range(15)], 2), np.array(["x"] * 30)]
    result = compare("regression", y, p, ["mae"], clusters=groups, draws=1000)
    assert result.resampled == "1,000 draws over 45 groups of 60 rows in 2 folds"
    assert result.notes == ("all test rows of fold 1 are in one group: rows were drawn, intervals are too narrow",)


def test_one_row_per_fold_gives_no_interval_rather_than_one_of_no_width() -> None:
    y = [np.array([[float(i)]]) for i in range(12)]
    result = compare("regression", y, {"a": [[part + 1] for part in y]}, ["mae"], draws=20)
    assert result.interval("a").value == 1.0
    assert math.isnan(result.interval("a").low)


def every_task() -> list[tuple[Task, Array, Array]]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (50, 3)).astype(float)
    labels[rng.random((50, 3)) < 0.3] = np.nan
    return [
        ("regression", rng.normal(size=(50, 2)), rng.normal(size=(50, 2))),
        ("binary", rng.integers(0, 2, (50, 1)).astype(float), rng.random((50, 1))),
        ("multiclass", rng.integers(0, 3, (50, 1)).astype(float), rng.dirichlet(np.ones(3), 50)),
        ("multilabel", labels, rng.random((50, 3))),
    ]


@pytest.mark.parametrize(("task", "y", "p"), every_task(), ids=lambda value: value if isinstance(value, str) else "")
def test_the_leaderboard_of_every_task_is_plain_json(task: Task, y: Array, p: Array) -> None:
    predictions = {"a": [[p, p[::-1]]], "b": [[p[::-1]]]}
    result = compare(task, [y], predictions, default_metrics(task), draws=60)
    board = json.loads(json.dumps(result.as_json(), allow_nan=False))
    assert [entry["variant"] for entry in board] == list(result.order)
    for entry in board:
        assert set(entry) == {"variant", "members", "metrics", "ensemble", "differences"}
        assert entry["members"] == (2 if entry["variant"] == "a" else 1)
        assert list(entry["metrics"]) == list(default_metrics(task))
        assert all(set(each) == {"value", "low", "high"} for each in entry["metrics"].values())
    ahead, behind = board[0]["differences"], board[1]["differences"]
    assert list(ahead) == [board[1]["variant"]]
    (one,), (other,) = ahead.values(), behind.values()
    assert (one["value"], one["low"], one["high"]) == (-other["value"], -other["high"], -other["low"])
    assert json.dumps(result.scores("a").as_json(), allow_nan=False)


def test_no_draws_an_unknown_metric_and_unfit_shapes_are_refused() -> None:
    y = np.zeros((3, 1))

    def run(predictions: dict[str, list[list[Array]]], metric: str = "mae", draws: int = 5) -> Comparison:
        return compare("regression", [y], predictions, [metric], draws=draws)

    with pytest.raises(ConfigError, match="draws = 0"):
        run({"a": [[y]]}, draws=0)
    with pytest.raises(ConfigError, match="did you mean 'mae'"):
        run({"a": [[y]]}, metric="mea")
    with pytest.raises(ValueError, match="nothing to compare"):
        run({})
    for wrong in ([], [[]], [[y[:2]]], [[y], [y]]):
        with pytest.raises(ValueError, match="a: predictions of"):
            run({"a": wrong})
    with pytest.raises(ValueError, match="clusters of"):
        compare("regression", [y], {"a": [[y]]}, ["mae"], clusters=[np.zeros(2)])


@pytest.mark.parametrize(("n_rows", "n_blocks"), [(150, 150), (1000, 200)])
def test_the_influence_of_rows_is_that_of_leaving_them_out_many_together_where_there_are_many(
    n_rows: int, n_blocks: int
) -> None:
    error = np.random.default_rng(2).exponential(size=(n_rows, 1)) ** 1.5
    result = compare("regression", [np.zeros(error.shape)], {"a": [[error]]}, ["mae"], draws=20)
    influence = result.scores("a").influence["mae"]
    assert influence.shape == (n_blocks,)
    one_by_one = (error[:, 0] - error.mean()) / (n_rows - 1)
    if n_blocks == n_rows:
        np.testing.assert_allclose(influence, one_by_one, atol=1e-12)
    assert degrees_of_freedom(n_rows, influence) == pytest.approx(degrees_of_freedom(n_rows, one_by_one), rel=0.3)


def test_degrees_of_freedom_are_those_of_the_variance_of_the_influence() -> None:
    rng = np.random.default_rng(0)
    tailed = rng.normal(size=40) ** 3
    expected = 2 / (2 / 39 + scipy_stats.kurtosis(tailed, bias=False) / 40)
    assert degrees_of_freedom(40, tailed) == pytest.approx(expected)
    assert degrees_of_freedom(40, np.append(tailed, np.nan)) == pytest.approx(expected)
    for alike in (None, np.zeros(40), rng.uniform(-1, 1, 40), np.array([3.0, -9.0, 1.0]), np.full(40, np.nan)):
        assert degrees_of_freedom(40, alike) == pytest.approx(39)


def test_groups_across_folds_have_one_influence_on_the_mean_of_folds() -> None:
    rng = np.random.default_rng(0)
    group, fold = np.repeat(np.arange(12), 10), np.tile(np.arange(2), 60)
    error = np.abs(rng.normal(size=(120, 1)))
    y = [np.zeros((60, 1)), np.zeros((60, 1))]
    labels = [group[fold == k] for k in range(2)]
    result = compare("regression", y, {"a": [[error[fold == k]] for k in range(2)]}, ["mae"], clusters=labels, draws=20)
    lost = [
        result.interval("a").value - np.mean([error[(fold == k) & (group != each)].mean() for k in range(2)])
        for each in range(12)
    ]
    np.testing.assert_allclose(result.scores("a").influence["mae"], lost, atol=1e-12)


def test_rows_tested_in_several_folds_do_not_count_as_more_rows() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(200, 1))
    p = y + rng.normal(size=(200, 1))
    rows = np.arange(200)
    once = compare("regression", [y], {"a": [[p]]}, ["mae"], clusters=[rows], draws=300)
    nested = compare("regression", [y] * 5, {"a": [[p]] * 5}, ["mae"], clusters=[rows] * 5, draws=300)
    width = [result.interval("a").high - result.interval("a").low for result in (once, nested)]
    assert width[1] == pytest.approx(width[0])
    assert nested.resampled == "300 draws over 200 rows in 5 folds"


def test_groups_that_lie_across_folds_are_drawn_for_all_of_them() -> None:
    rng = np.random.default_rng(1)
    values, widths = [], []
    for _ in range(60):
        group = np.repeat(np.arange(30), 10)
        error = np.abs(rng.normal(size=30)[group])
        fold = rng.integers(0, 5, 300)
        y = [np.zeros((int((fold == k).sum()), 1)) for k in range(5)]
        p = {"a": [[error[fold == k][:, None]] for k in range(5)]}
        result = compare("regression", y, p, ["mae"], clusters=[group[fold == k] for k in range(5)], draws=100)
        values.append(result.interval("a").value)
        widths.append(result.interval("a").high - result.interval("a").low)
    assert np.mean(widths) == pytest.approx(3.92 * np.std(values), rel=0.25)
    assert result.resampled == "100 draws over 30 groups of 300 rows in 5 folds"


def test_one_positive_row_gives_no_interval_and_no_claim():
    y = np.zeros((30, 1))
    y[0] = 1
    rng = np.random.default_rng(0)
    found = compare("binary", [y], {"a": [[np.full((30, 1), 0.5)]], "b": [[rng.random((30, 1))]]}, ["auroc", "f1"])
    assert found.n_units == 1
    assert np.isnan(found.interval("a").low)
    assert not found.difference("a", "b").excludes_zero
    assert "only 1 rows or groups of the rarer class: no interval" in found.notes


def test_few_rows_of_the_rarer_class_are_told():
    rng = np.random.default_rng(0)
    y = (np.arange(400) < 4).astype(float)[:, None]
    p = np.clip(0.3 * y + 0.5 * rng.random((400, 1)), 0, 1)
    found = compare("binary", [y], {"a": [[p]]}, ["auroc"])
    assert "only 4 rows or groups of the rarer class: intervals are too narrow" in found.notes
    groups = np.where(np.arange(400) < 4, np.arange(400) // 2, np.arange(400) % 50)
    grouped = compare("binary", [y], {"a": [[p]]}, ["auroc"], clusters=[groups])
    assert "only 2 rows or groups of the rarer class: intervals are too narrow" in grouped.notes


def test_a_binary_target_whose_rows_are_one_group_is_drawn_by_rows():
    rng = np.random.default_rng(0)
    y = (rng.random((60, 1)) < 0.5).astype(float)
    p = np.clip(0.3 * y + 0.6 * rng.random((60, 1)), 0, 1)
    found = compare("binary", [y], {"a": [[p]]}, ["auroc"], clusters=[np.zeros(60, np.int64)])
    assert found.interval("a").low < found.interval("a").value < found.interval("a").high
