"""The top of a ranking against rdkit, ProteinGym's definitions and every order that ties could stand in."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sk

from seqloom.metrics import score, scores

Array = NDArray[np.float64]


def column(values: object) -> Array:
    return np.asarray(values, np.float64).reshape(-1, 1)


def drawn(rng: np.random.Generator, n: int, draws: int) -> NDArray[np.int32]:
    return rng.multinomial(n, np.full(n, 1 / n), size=draws).astype(np.int32)


def best_first(y: Array, p: Array) -> list[list[bool]]:
    return [[bool(y[row])] for row in np.argsort(-p, kind="stable")]


@pytest.mark.parametrize(("n", "positives"), [(700, 40), (1234, 3), (90, 60)])
def test_bedroc_and_enrichment_are_those_of_rdkit_on_repeated_rows(n: int, positives: int) -> None:
    scoring = pytest.importorskip("rdkit.ML.Scoring.Scoring", reason="rdkit is not installed")
    rng = np.random.default_rng(n)
    y, p = (rng.permutation(n) < positives).astype(float), rng.permutation(n) / n
    p += 0.3 * y + 1e-6 * y  # no positive ties with a negative
    counts = drawn(rng, n, 20)
    bedroc = scores("bedroc", "binary", column(y), column(p), counts).value
    enrichment = scores("enrichment", "binary", column(y), column(p), counts).value
    for draw, own in enumerate(counts):
        ranked = best_first(np.repeat(y, own), np.repeat(p, own))
        assert bedroc[draw] == pytest.approx(scoring.CalcBEDROC(ranked, 0, 20.0), rel=1e-9)
        assert enrichment[draw] == pytest.approx(scoring.CalcEnrichment(ranked, 0, [0.01])[0], rel=1e-9)


@pytest.mark.parametrize("name", ["bedroc", "enrichment", "top_recall", "ndcg"])
def test_ties_count_as_the_mean_over_all_their_orders(name: str) -> None:
    y = np.array([1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0]) + (
        0.0 if name in ("bedroc", "enrichment") else np.arange(7)[::-1] / 9
    )
    p = np.array([3.0, 3.0, 3.0, 3.0, 2.0, 2.0, 1.0])
    task = "binary" if name in ("bedroc", "enrichment") else "regression"
    alone = []
    for order in itertools.product(itertools.permutations(range(4)), itertools.permutations(range(2))):
        broken = p + np.array([*order[0], *order[1], 0]) / 10
        alone.append(score(name, task, column(y), column(broken)))  # type: ignore[arg-type]
    assert max(alone) > min(alone)
    assert score(name, task, column(y), column(p)) == pytest.approx(np.mean(alone))  # type: ignore[arg-type]


def proteingym_ndcg(y: Array, p: Array) -> float:
    """Gains scaled to 0..1, ranks from 1, the first tenth of them."""
    gains, k = (y - y.min()) / (y.max() - y.min()), len(y) // 10
    discounts = 1 / np.log2(np.arange(k) + 2)
    return float(gains[np.argsort(-p)][:k] @ discounts / (np.sort(gains)[::-1][:k] @ discounts))


def proteingym_top_recall(y: Array, p: Array) -> float:
    """Rows from the 90th percentile of the targets on, found from the 90th percentile of the predictions on."""
    wanted, chosen = y >= np.percentile(y, 90), p >= np.percentile(p, 90)
    return float((wanted & chosen).sum() / wanted.sum())


@pytest.mark.parametrize("n", [10, 11, 19, 20, 57, 400, 1001])
def test_without_ties_the_top_is_that_of_proteingym(n: int) -> None:
    rng = np.random.default_rng(n)
    y = rng.normal(size=n)
    p = y + rng.normal(size=n)
    assert score("top_recall", "regression", column(y), column(p)) == pytest.approx(proteingym_top_recall(y, p))
    if n % 10 == 0:  # it rounds its tenth down, which is no row at all below 10
        assert score("ndcg", "regression", column(y), column(p)) == pytest.approx(proteingym_ndcg(y, p))


def test_ndcg_is_that_of_scikit_learn_for_many_tied_and_missing_rows() -> None:
    rng = np.random.default_rng(5)
    y, p = np.round(rng.normal(size=900), 1), np.round(rng.normal(size=900), 1)
    p += np.round(y)
    y[rng.random(900) < 0.1] = np.nan
    counts = drawn(rng, 900, 30)
    got = scores("ndcg", "regression", column(y), column(p), counts).value
    for draw, own in enumerate(counts):
        rows = np.repeat(np.arange(900), own)
        rows = rows[~np.isnan(y[rows])]
        gains = y[rows] - y[rows].min()
        assert got[draw] == pytest.approx(sk.ndcg_score([gains], [p[rows]], k=math.ceil(len(rows) / 10)), rel=1e-9)


def test_draws_of_unequal_size_each_have_their_own_top() -> None:
    rng = np.random.default_rng(6)
    y, p = rng.normal(size=(300, 1)), rng.normal(size=(300, 1))
    counts = rng.poisson(rng.choice([0.0, 0.1, 1.0, 4.0], size=(40, 1)), (40, 300))
    assert (counts.sum(axis=1) == 0).any()
    positive = (y > 0.5).astype(float)
    for name in ("ndcg", "top_recall", "bedroc", "enrichment"):
        task, target = ("regression", y) if name in ("ndcg", "top_recall") else ("binary", positive)
        together = scores(name, task, target, p, counts).value  # type: ignore[arg-type]
        alone = [score(name, task, np.repeat(target, own, 0), np.repeat(p, own, 0)) for own in counts]  # type: ignore[arg-type]
        np.testing.assert_allclose(together, alone, rtol=1e-9)
        assert not np.isnan(together).all()


@pytest.mark.parametrize("name", ["ndcg", "top_recall"])
def test_a_perfect_order_has_1_in_every_draw_and_a_scale_changes_nothing(name: str) -> None:
    rng = np.random.default_rng(7)
    y = np.round(rng.normal(size=(60, 1)), 1)
    counts = drawn(rng, 60, 200)
    np.testing.assert_allclose(scores(name, "regression", y, np.exp(y), counts).value, 1.0)
    p = y + rng.normal(size=y.shape)
    expected = scores(name, "regression", y, p, counts).value
    np.testing.assert_allclose(scores(name, "regression", 5 * y - 70, p, counts).value, expected)


def test_a_constant_prediction_finds_the_top_as_often_as_chance() -> None:
    y, p = column(np.arange(100.0)), np.zeros((100, 1))
    assert score("top_recall", "regression", y, p) == pytest.approx(0.1)
    assert score("enrichment", "binary", (y > 90).astype(float), p) == pytest.approx(1.0)
    shuffled = [score("ndcg", "regression", y, column(np.random.default_rng(i).random(100))) for i in range(400)]
    assert score("ndcg", "regression", y, p) == pytest.approx(np.mean(shuffled), abs=0.01)


def test_tied_targets_at_the_cut_are_all_in_the_true_top() -> None:
    y = column([9.0, 8, 8, 8, *range(6), *[-1] * 10])  # the best two of 20 are 9 and any of three 8
    p = column(np.arange(20.0)[::-1])
    assert score("top_recall", "regression", y, p) == 1.0
    p[3] = -1.0
    assert score("top_recall", "regression", y, p) == 0.75


def test_where_nearly_all_targets_are_lowest_the_top_is_what_lies_above() -> None:
    y = column([1.0] + [0.0] * 39)
    p = column(np.arange(40.0)[::-1])
    assert score("top_recall", "regression", y, p) == 1.0
    assert score("top_recall", "regression", y, -p) == 0.0
    assert score("top_recall", "regression", y, np.zeros((40, 1))) == pytest.approx(1 / 40)


def test_a_far_low_outlier_costs_ndcg_no_digits() -> None:
    y, p = column([0.0, 1.0, 2.0, 3.0, -1e12]), column([1.0, 0.0, 3.0, 2.0, 0.5])
    counts = np.array([[1, 1, 1, 1, 0]])
    assert scores("ndcg", "regression", y, p, counts).value[0] == pytest.approx(2 / 3, rel=1e-14)
