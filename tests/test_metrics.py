"""Every metric against scikit-learn, scipy or a plain loop, on the rows as they are and on rows repeated as often as drawn.

More of the top of a ranking is in `test_metrics_top`, of classes in `test_metrics_classes`, of groups in `test_metrics_within`.
"""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics as sk

from seqloom.errors import ConfigError, DataError
from seqloom.metrics import METRICS, Metric, Task, as_ranking, default_metrics, find_metric, macro, score, scores

Array = NDArray[np.float64]
TASKS: tuple[Task, ...] = ("regression", "binary", "multiclass", "multilabel")
N_CLASSES = 4

numbers = st.one_of(st.integers(-3, 3).map(float), st.integers(-8000, 8000).map(lambda i: i / 8))
probabilities = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1, allow_subnormal=False))


@st.composite
def tables(draw: st.DrawFn, task: Task) -> tuple[Array, Array, NDArray[np.int64]]:
    """Targets with ties, gaps and single classes, predictions, and counts of three draws."""
    n, c = draw(st.integers(1, 25)), 1 if task in ("binary", "multiclass") else draw(st.integers(1, 3))
    missing = draw(st.sampled_from([0.0, 0.0, 0.3]))
    top = draw(st.integers(0, 1 if task != "multiclass" else N_CLASSES - 1))
    values = numbers if task == "regression" else st.integers(0, top).map(float)
    gap = st.floats(0, 1).map(lambda u: u < missing)
    y = draw(hnp.arrays(np.float64, (n, c), elements=values))
    y[draw(hnp.arrays(np.bool_, (n, c), elements=gap))] = np.nan
    n_outputs = N_CLASSES if task == "multiclass" else c
    p = draw(hnp.arrays(np.float64, (n, n_outputs), elements=numbers if task == "regression" else probabilities))
    if task == "multiclass":
        p = (p + 1e-3) / (p + 1e-3).sum(axis=1, keepdims=True)
    return y, p, draw(hnp.arrays(np.int64, (3, n), elements=st.integers(0, 3)))


def of_sklearn(name: str, y: Array, p: Array) -> float:
    """The metric of one column by scikit-learn or scipy; NaN where this project says undefined."""
    if not len(y):
        return math.nan
    flat = p[:, 0] if p.ndim == 2 and p.shape[1] == 1 else p
    called = flat.argmax(axis=1) if flat.ndim == 2 else (flat >= 0.5).astype(float)
    constant = len(set(y)) < 2 or (flat.ndim == 1 and len(set(flat)) < 2)
    one_class = len(set(y)) < 2
    table: dict[str, Callable[[], float]] = {
        "spearman": lambda: math.nan if constant else stats.spearmanr(y, flat).statistic,
        "pearson": lambda: math.nan if constant else stats.pearsonr(y, flat).statistic,
        "r2": lambda: math.nan if one_class else sk.r2_score(y, flat),
        "rmse": lambda: sk.root_mean_squared_error(y, flat),
        "mae": lambda: sk.mean_absolute_error(y, flat),
        "ndcg": lambda: math.nan if one_class else sk.ndcg_score([y - y.min()], [flat], k=math.ceil(len(y) / 10)),
        "top_recall": lambda: math.nan if one_class else plain_top_recall(y, flat),
        "auroc": lambda: math.nan if one_class else sk.roc_auc_score(y, flat),
        "average_precision": lambda: math.nan if not y.any() else sk.average_precision_score(y, flat),
        "bedroc": lambda: math.nan if one_class else plain_bedroc(y, flat),
        "enrichment": lambda: math.nan if one_class else plain_enrichment(y, flat),
        "mcc": lambda: sk.matthews_corrcoef(y, called),
        "f1": lambda: sk.f1_score(y, called, zero_division=np.nan),
        "macro_f1": lambda: sk.f1_score(y, called, average="macro", zero_division=0),
        "weighted_f1": lambda: sk.f1_score(y, called, average="weighted", zero_division=0),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(y, called),
        "accuracy": lambda: sk.accuracy_score(y, called),
        "log_loss": lambda: sk.log_loss(
            y, flat if flat.ndim == 2 else np.stack([1 - flat, flat], 1), labels=range(max(2, p.shape[1]))
        ),
        "brier": lambda: sk.brier_score_loss(y, flat, pos_label=1),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(table[name]())


def chances(p: Array) -> Array:
    """The chance of each row (N,) to stand at each rank (N,) from the best, over all orders of equal predictions."""
    table = np.zeros((len(p), len(p)))
    for i, own in enumerate(p):
        above, equal = sum(p > own), sum(p == own)
        table[i, above : above + equal] = 1 / equal
    return table


def plain_top_recall(y: Array, p: Array) -> float:
    """The rows whose target is at least the last of the best tenth, found in a predicted top of as many rows."""
    best = sorted(y, reverse=True)[math.ceil(len(y) / 10) - 1]
    wanted = y >= best if min(y) < best else y > best
    return float(chances(p)[wanted, : wanted.sum()].sum() / wanted.sum())


def plain_bedroc(y: Array, p: Array, alpha: float = 20.0) -> float:
    """Robust initial enhancement between its least and its most, each a sum over ranks."""
    n, positives = len(y), int(y.sum())
    weights = [math.exp(-alpha * (rank + 1) / n) for rank in range(n)]
    got = sum(chances(p)[y == 1] @ weights)
    least, most = sum(weights[n - positives :]), sum(weights[:positives])
    return float((got - least) / (most - least))


def plain_enrichment(y: Array, p: Array) -> float:
    first = math.ceil(len(y) / 100)
    return float(chances(p)[y == 1, :first].sum() / first / y.mean())


def every_metric(task: Task) -> list[str]:
    return [name for name, metric in METRICS.items() if task in metric.tasks]


def reference(name: str, task: Task, y: Array, p: Array) -> list[float]:
    """`of_sklearn` column by column, missing targets taken out."""
    columns = []
    for c in range(y.shape[1]):
        known = ~np.isnan(y[:, c])
        columns.append(of_sklearn(name, y[known, c], p[known] if task == "multiclass" else p[known, c : c + 1]))
    return columns


@pytest.mark.parametrize(
    ("name", "task"),
    [
        (each.name, task) for each in METRICS.values() for task in each.tasks if each.name != "ece"
    ],  # its bins are not redrawn
)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_metric_is_that_of_scikit_learn_on_rows_repeated_as_often_as_drawn(
    name: str, task: Task, data: st.DataObject
) -> None:
    y, p, counts = data.draw(tables(task))
    got = scores(name, task, y, p, counts)
    for draw, row in enumerate(counts):
        repeated = np.repeat(np.arange(len(y)), row)
        expected = reference(name, task, y[repeated], p[repeated])
        np.testing.assert_allclose(got.per_target[draw], expected, rtol=1e-9, atol=1e-9)
        assert got.n_undefined[draw] == np.isnan(expected).sum()
        defined = [value for value in expected if not math.isnan(value)]
        mean = sum(defined) / len(defined) if defined else math.nan
        np.testing.assert_allclose(got.value[draw], mean, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        score(name, task, y, p), macro(np.array(reference(name, task, y, p))), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("task", TASKS)
def test_many_draws_at_once_are_the_draws_one_by_one(task: Task) -> None:
    rng = np.random.default_rng(1)
    n, k = 700, {"regression": 2, "binary": 1, "multiclass": 3, "multilabel": 2}[task]
    y = rng.normal(size=(n, k)) if task == "regression" else rng.integers(0, 2, (n, k)).astype(float)
    y = rng.integers(0, 3, (n, 1)).astype(float) if task == "multiclass" else y
    p = rng.dirichlet(np.ones(3), n) if task == "multiclass" else rng.random((n, k))
    counts = rng.poisson(1.0, (400, n))
    for name in every_metric(task):
        together = scores(name, task, y, p, counts).value
        for draw in (0, 187, 399):
            alone = scores(name, task, y, p, counts[draw : draw + 1]).value[0]
            assert together[draw] == pytest.approx(alone, rel=1e-12)


@pytest.mark.parametrize("name", ["pearson", "r2", "spearman", "ndcg", "top_recall"])
def test_a_far_outlier_or_a_large_mean_costs_no_digits(name: str) -> None:
    rng = np.random.default_rng(2)
    y = np.round(rng.normal(size=(200, 1)), 6) + 4096.0
    p = y + np.round(rng.normal(size=(200, 1)), 6)
    y[17], p[17] = 1e9, -3e8
    counts = rng.multinomial(200, np.full(200, 1 / 200), size=40)
    assert (counts[:, 17] == 0).any()
    assert (counts[:, 17] > 0).any()
    expected = [reference(name, "regression", np.repeat(y, c, 0), np.repeat(p, c, 0))[0] for c in counts]
    np.testing.assert_allclose(scores(name, "regression", y, p, counts).value, expected, rtol=1e-9)


def test_a_constant_that_binary_fractions_cannot_hold_is_still_constant() -> None:
    y, p = np.full((7, 1), 0.1), np.arange(7.0)[:, None] / 3
    counts = np.random.default_rng(0).poisson(2, (20, 7))
    for name in ("spearman", "pearson", "r2", "ndcg", "top_recall"):
        assert np.isnan(scores(name, "regression", y, p, counts).value).all()
    for name in ("spearman", "pearson"):
        assert find_metric(name, "regression").undefined == "the targets or the predictions are constant"
        assert np.isnan(scores(name, "regression", p, y, counts).value).all()
    assert not np.isnan(scores("r2", "regression", p, y, counts).value).all()


def test_a_draw_of_one_row_again_and_again_has_no_correlation() -> None:
    y, p = np.array([[0.1], [0.7], [1.3]]), np.array([[0.3], [0.2], [0.9]])
    counts = np.diag([3, 3, 3])
    for name in ("spearman", "pearson", "r2", "ndcg", "top_recall"):
        assert np.isnan(scores(name, "regression", y, p, counts).value).all()


def test_single_classes_are_undefined_where_the_field_says_so_and_0_for_mcc() -> None:
    y, p = np.zeros((4, 1)), np.array([[0.1], [0.2], [0.3], [0.4]])
    assert math.isnan(score("auroc", "binary", y, p))
    assert math.isnan(score("average_precision", "binary", y, p))
    assert math.isnan(score("f1", "binary", y, p))
    for name in ("bedroc", "enrichment"):
        assert math.isnan(score(name, "binary", y, p))
        assert math.isnan(score(name, "binary", y + 1, p))
    assert score("mcc", "binary", y, p) == 0.0
    assert score("balanced_accuracy", "binary", y, p) == 1.0


def test_no_known_target_is_undefined_in_every_metric() -> None:
    for task in TASKS:
        y, p = np.full((3, 1), np.nan), np.full((3, 1), 0.5)
        for name in every_metric(task):
            assert math.isnan(score(name, task, y, p))
            assert math.isnan(score(name, task, y[:0], p[:0]))


def test_columns_without_a_value_are_left_out_of_the_mean_and_counted() -> None:
    y = np.array([[0.0, 1.0, np.nan], [1.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
    p = np.array([[0.1, 0.5, 0.2], [0.9, 0.5, 0.8], [0.8, 0.5, 0.9]])
    got = scores("auroc", "multilabel", y, p)
    np.testing.assert_array_equal(got.per_target, [[1.0, np.nan, 0.0]])
    assert (got.value[0], got.n_undefined[0]) == (0.5, 1)


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_of_200_targets_of_which_30_are_empty_the_mean_is_over_170(task: Task) -> None:
    rng = np.random.default_rng(4)
    y = rng.normal(size=(60, 200)) if task == "regression" else rng.integers(0, 2, (60, 200)).astype(float)
    y[rng.random((60, 200)) < 0.2] = np.nan
    y[:, rng.permutation(200)[:30]] = np.nan
    p = rng.random((60, 200))
    for name in every_metric(task):
        got = scores(name, task, y, p, np.ones((2, 60), int))
        assert got.n_undefined.tolist() == [30, 30]
        np.testing.assert_allclose(got.value, np.nanmean(got.per_target, axis=1))


def test_one_positive_is_enough_for_a_ranking() -> None:
    y, p = np.zeros((200, 1)), np.arange(200.0)[:, None] / 200
    y[198] = 1.0
    assert score("auroc", "binary", y, p) == 198 / 199
    assert score("average_precision", "binary", y, p) == 1 / 2
    assert score("enrichment", "binary", y, p) == 0.5 / (1 / 200)
    least, most = math.exp(-20), math.exp(-20 / 200)
    assert score("bedroc", "binary", y, p) == pytest.approx((math.exp(-40 / 200) - least) / (most - least))


def test_ranking_metrics_take_any_scores_even_infinite_ones() -> None:
    y = np.array([[0.0], [1.0], [1.0], [0.0]])
    p = np.array([[-np.inf], [12.0], [np.inf], [-3.5]])
    assert score("auroc", "binary", y, p) == 1.0
    assert score("average_precision", "binary", y, p) == 1.0
    assert score("bedroc", "binary", y, p) == pytest.approx(1.0)
    assert score("enrichment", "binary", y, p) == 2.0
    assert score("spearman", "regression", y, p) == pytest.approx(2 / math.sqrt(5))
    assert score("ndcg", "regression", y, p) == score("top_recall", "regression", y, p) == 1.0
    assert math.isnan(score("pearson", "regression", y, p))


def test_a_prediction_that_is_not_a_number_leaves_nothing_to_score() -> None:
    y, p = np.array([[0.0], [1.0], [2.0]]), np.array([[0.0], [1.0], [np.nan]])
    for name in every_metric("regression"):
        assert math.isnan(score(name, "regression", y, p))
    for task in ("binary", "multilabel"):
        for name in every_metric(task):
            assert math.isnan(score(name, task, y.clip(0, 1), p))
    of_classes = np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.2, np.nan, 0.8]])
    for name in every_metric("multiclass"):
        assert math.isnan(score(name, "multiclass", y, of_classes))
    y[2] = np.nan
    assert score("mae", "regression", y, p) == 0.0


def test_an_infinite_target_has_a_rank_and_no_distance() -> None:
    y, p = np.array([[0.0], [1.0], [np.inf]]), np.array([[0.0], [1.0], [2.0]])
    defined = {name for name in every_metric("regression") if not math.isnan(score(name, "regression", y, p))}
    assert defined == {"spearman", "top_recall"}


def test_scores_that_are_no_probabilities_are_refused_where_they_matter() -> None:
    y, p = np.array([[0.0], [1.0]]), np.array([[-2.0], [3.0]])
    with pytest.raises(
        DataError, match=r"'brier'.*from -2 to 3.*auroc, average_precision, bedroc, enrichment take any scores"
    ):
        score("brier", "binary", y, p)
    assert score("brier", "binary", y, np.array([[0.0], [1.0 + 1e-8]])) < 1e-12


def test_an_unknown_metric_is_answered_with_the_nearest_and_all_that_fit() -> None:
    with pytest.raises(ConfigError, match=r"'spearmann': no such metric; did you mean 'spearman'\? available"):
        find_metric("spearmann", "regression")
    with pytest.raises(ConfigError, match=r"no such metric; available for binary: auroc, .*brier"):
        find_metric("zzz", "binary")


def test_a_metric_of_another_task_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'auroc': not for a regression target \(it is for binary, multilabel\)"):
        score("auroc", "regression", np.zeros((2, 1)), np.zeros((2, 1)))


def test_shapes_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"targets \(2, 1\) and predictions \(3, 1\)"):
        score("mae", "regression", np.zeros((2, 1)), np.zeros((3, 1)))


def test_targets_that_are_no_classes_are_an_error() -> None:
    y = np.array([[0.0], [np.nan], [-1.0], [2.0]])
    for task in ("binary", "multilabel"):
        with pytest.raises(ValueError, match=f"{task}: 2 targets, the first -1, are not 0 or 1 or NaN"):
            score("auroc", task, y, np.zeros((4, 1)))
    with pytest.raises(ValueError, match=r"multiclass: 1 targets, the first 0\.5, are not class indices or NaN"):
        score("accuracy", "multiclass", np.array([[0.5], [1.0]]), np.full((2, 2), 0.5))


@pytest.mark.parametrize("task", TASKS)
def test_default_metrics_exist_fit_and_are_described(task: Task) -> None:
    assert default_metrics(task)
    assert set(default_metrics(task)) <= set(every_metric(task))
    for name in every_metric(task):
        metric = find_metric(name, task)
        assert metric.description
        assert metric.undefined


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_every_metric_is_in_the_table_of_the_documentation(metric: Metric) -> None:
    page = (Path(__file__).parents[1] / "docs" / "comparisons.md").read_text()
    cells = (f"`{metric.name}`", ", ".join(metric.tasks), "higher" if metric.higher_is_better else "lower")
    assert f"| {' | '.join((*cells, metric.description, metric.undefined))} |" in page


@pytest.mark.parametrize(("name", "task"), [(each.name, task) for each in METRICS.values() for task in each.tasks])
def test_a_metric_that_needs_unequal_targets_tells_no_predictions_apart_without(name: str, task: Task) -> None:
    rng = np.random.default_rng(0)
    outputs = [rng.dirichlet(np.ones(3), 12) if task == "multiclass" else rng.random((12, 1)) for _ in range(20)]
    values = [score(name, task, np.ones((12, 1)), p) for p in outputs]
    assert (len(set(map(str, values))) == 1) == METRICS[name].needs_variation


def test_a_regression_with_a_threshold_is_a_ranking() -> None:
    ic50 = np.array([[20.0], [499.0], [500.0], [9000.0], [np.nan]])
    predicted = np.array([[90.0], [700.0], [600.0], [4000.0], [1.0]])
    task, y, p = as_ranking(ic50, predicted, 500.0, "below")
    assert task == "binary"
    np.testing.assert_array_equal(y[:, 0], [1, 1, 0, 0, np.nan])
    assert score("auroc", task, y, p) == 0.75
    task, y, p = as_ranking(ic50, predicted, 500.0, "above")
    np.testing.assert_array_equal(y[:, 0], [0, 0, 0, 1, np.nan])
    assert score("average_precision", task, y, p) == 1.0
    assert as_ranking(np.zeros((2, 2)), np.zeros((2, 2)), 1.0, "above").task == "multilabel"


def test_measured_fitness_ranks_its_own_two_classes(data: Path) -> None:
    with (data / "fitness" / "proteingym_B2L11_HUMAN_Dutta_2010.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    fitness = np.array([[float(row["DMS_score"])] for row in rows])
    classes = np.array([[float(row["DMS_score_bin"])] for row in rows])
    length = np.array([[float(row["mutant"].count(":"))] for row in rows])
    assert score("auroc", "binary", classes, fitness) == 1.0
    for name, task, y in (("auroc", "binary", classes), ("spearman", "regression", fitness)):
        got = scores(name, task, y, length)  # type: ignore[arg-type]
        np.testing.assert_allclose(got.per_target[0], reference(name, task, y, length))  # type: ignore[arg-type]
