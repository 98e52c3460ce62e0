"""Average precision of parts of a library: equal to scikit-learn's, in every draw too, with draws and intervals that hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from seqloom.errors import ConfigError, DataError
from seqloom.large.draws import Weights
from seqloom.large.scores import Curve, Scored, score
from seqloom.large.spread import spread_of
from seqloom.training.ranking import average_precision

TARGETS = ("brd4", "hsa", "seh")
SIZES = (8, 15, 15)


def library(
    n_rows: int = 900, seed: int = 0, unknown: float = 0.1
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Targets with unknown ones, rounded scores of two models with many ties, and levels some of which are missing."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(-1, SIZES, size=(n_rows, 3))
    blocks = [rng.normal(size=n + 1)[levels[:, k]] for k, n in enumerate(SIZES)]
    drive = np.sum(blocks, axis=0)[:, None] + rng.normal(size=(n_rows, 3))
    y = (drive > 2.5).astype(np.float32)
    y[rng.random(y.shape) < unknown] = np.nan
    p = {
        name: np.round(drive + rng.normal(size=y.shape) * noise, 1).astype(np.float32)
        for name, noise in (("a", 1), ("b", 2))
    }
    return y, p, levels


def test_values_are_those_of_scikit_learn_with_ties_and_unknown_targets() -> None:
    y, p, levels = library()
    found = score(y, p, levels, targets=TARGETS, draws=0)
    assert found.columns == (*TARGETS, "mean", "micro")
    known = ~np.isnan(y)
    for name, own in p.items():
        single = [average_precision_score(y[known[:, t], t], own[known[:, t], t]) for t in range(3)]
        wanted = [*single, np.mean(single), average_precision_score(y[known], own[known])]
        assert [found.value(name, column) for column in found.columns] == pytest.approx(wanted, abs=1e-12)
    assert found.known == tuple(known.sum(axis=0))
    assert found.positives == tuple((y == 1).sum(axis=0))


def test_draws_are_scikit_learns_of_weighted_rows_with_the_same_weights_for_all_models() -> None:
    y, p, levels = library()
    found = score(y, p, levels, targets=TARGETS, draws=11, seed=3)
    weights = Weights(levels, 3).of(range(11))
    known = ~np.isnan(y)
    for m, own in enumerate(p.values()):
        for draw in range(11):
            w = np.repeat(weights[:, draw, None], 3, axis=1)
            single = [average_precision_score(y[k, t], own[k, t], sample_weight=w[k, t]) for t, k in enumerate(known.T)]
            wanted = [*single, np.mean(single), average_precision_score(y[known], own[known], sample_weight=w[known])]
            assert found.draws[draw, m] == pytest.approx(wanted, abs=1e-12)


def test_a_score_known_by_hand() -> None:
    y = np.array([[1], [0], [1], [0]], np.float32)
    p = np.array([[0.9], [0.8], [0.8], [0.1]])
    found = score(y, {"net": p}, np.zeros((4, 0), int), targets=["y"], draws=0)
    assert found.columns == ("y",)
    assert found.value("net", "y") == pytest.approx(
        0.5 * 1 + 0.5 * 2 / 3
    )  # the tie of a positive and a negative is one threshold
    assert all(math.isnan(end) for end in found.interval("net", "y"))


def test_a_target_of_one_class_has_no_score_and_is_left_out_of_the_mean() -> None:
    y, p, levels = library()
    y[:, 0] = np.where(np.isnan(y[:, 0]), np.nan, 0)
    y[:, 2] = 1
    found = score(y, p, levels, targets=TARGETS, draws=5)
    assert math.isnan(found.value("a", "brd4"))
    assert math.isnan(found.value("a", "seh"))
    assert found.value("a", "mean") == found.value("a", "hsa")
    assert (found.note("brd4"), found.note("hsa"), found.note("seh")) == ("no positive", "", "no negative")
    assert found.note("mean") == "without brd4 (no positive), seh (no negative)"
    assert found.note("micro") == ""
    assert not math.isnan(found.value("a", "micro"))
    assert all(math.isnan(end) for end in (*found.interval("a", "brd4"), *found.difference("a", "b", "seh")))
    empty = score(np.full((3, 1), np.nan), {"a": np.zeros((3, 1))}, np.zeros((3, 1), int), targets=["y"], draws=2)
    assert empty.note("y") == "no known row"
    assert math.isnan(empty.value("a", "y"))


def test_weights_of_a_level_depend_on_nothing_but_seed_draw_and_level() -> None:
    _, _, levels = library()
    every = Weights(levels, 1).of(range(20))
    assert np.array_equal(every[:, 13:17], Weights(levels, 1).of(range(13, 17)))
    whole = (levels >= 0).any(axis=1)
    some = np.flatnonzero(whole)[::7]
    assert np.array_equal(every[some], Weights(levels[some], 1).of(range(20)))
    assert not np.array_equal(every, Weights(levels, 2).of(range(20)))
    assert every.min() > 0
    assert every.mean() == pytest.approx(1, abs=0.2)


def test_a_row_weighs_the_product_of_its_components_and_one_without_any_is_its_own_unit() -> None:
    levels = np.array([[0, 0], [0, -1], [-1, 0], [-1, -1], [-1, -1]])
    both, first, second, own, other = Weights(levels, 0).of(range(9))
    assert both == pytest.approx(first * second)
    assert not np.isclose(own, other).any()
    assert Weights(levels, 0).counts() == (1, 1, 2)


def test_one_block_in_two_components_of_one_vocabulary_is_one_unit() -> None:
    levels = np.array([[0, 1], [1, 0], [1, 1], [-1, 1]])
    a, b, twice, once = Weights(levels, 0, vocabularies=(0, 0)).of(range(9))
    assert a == pytest.approx(b)
    assert twice == pytest.approx(once)
    assert Weights(levels, 0, vocabularies=(0, 0)).counts() == (2,)
    a, b, *_ = Weights(levels, 0).of(range(9))
    assert not np.isclose(a, b).any()


def test_influence_is_the_change_of_the_score_by_the_weight_of_a_row() -> None:
    y, p, _ = library(n_rows=120, unknown=0)
    curve = Curve(y[:, 0], p["a"][:, 0], np.arange(120), 120)
    step = 1e-6
    nudged = 1 + step * np.eye(120)
    weighted = np.array([average_precision_score(y[:, 0], p["a"][:, 0], sample_weight=w) for w in nudged])
    lowered = np.array([average_precision_score(y[:, 0], p["a"][:, 0], sample_weight=2 - w) for w in nudged])
    assert curve.influence() == pytest.approx((weighted - lowered) / (2 * step), abs=1e-8)


@pytest.mark.parametrize("vocabularies", [None, (0, 1, 1)])
def test_spreads_are_sums_over_all_pairs_of_rows_by_what_they_share(vocabularies: tuple[int, ...] | None) -> None:
    _, _, levels = library(n_rows=70)
    influence = np.random.default_rng(0).normal(size=(70, 2))
    kinds = vocabularies or (0, 1, 2)
    units = [
        {(kinds[k], level) for k, level in enumerate(row) if level >= 0} or {("own", i)}
        for i, row in enumerate(levels.tolist())
    ]
    shared = np.array([[len(a & b) for b in units] for a in units])
    spread = spread_of(Weights(levels, 0, vocabularies), influence)
    assert spread.single.sum(axis=0) == pytest.approx(influence.T @ shared @ influence)
    assert spread.drawn == pytest.approx(influence.T @ (2.0**shared - 1) @ influence)


def test_the_spread_of_the_draws_is_what_they_have() -> None:
    y, p, levels = library(n_rows=20_000, unknown=0)
    levels = np.random.default_rng(0).integers(
        0, 300, size=levels.shape
    )  # many levels: the first order is all there is
    found = score(y, p, levels, targets=TARGETS, draws=400)
    assert found.spread is not None
    predicted = np.sqrt(np.diag(found.spread.drawn)).reshape(2, 5)
    assert found.draws.std(axis=0) == pytest.approx(predicted, rel=0.15)


def test_rows_without_components_have_the_interval_of_independent_rows() -> None:
    y, p, _ = library(n_rows=3_000, unknown=0)
    found = score(y, p, np.zeros((3_000, 0), int), targets=TARGETS, draws=400)
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, 3_000, 3_000) for _ in range(300)]
    single = [average_precision_score(y[rows, 0], p["a"][rows, 0]) for rows in drawn]
    low, high = found.interval("a", "brd4")
    assert high - low == pytest.approx(np.subtract(*np.quantile(single, [0.975, 0.025])), rel=0.2)
    assert found.units == (3_000,)


def test_shared_blocks_widen_an_interval_and_a_model_does_not_differ_from_itself() -> None:
    y, p, levels = library(n_rows=3_000, unknown=0)
    blocks = score(y, p | {"again": p["a"]}, levels, targets=TARGETS, draws=300)
    rows = score(y, p, np.full_like(levels, -1), targets=TARGETS, draws=300)
    assert width(blocks) > 2 * width(rows)
    assert blocks.difference("a", "again", "mean") == (0, 0, 0)
    value, low, high = blocks.difference("a", "b", "mean")
    assert low < value == blocks.value("a", "mean") - blocks.value("b", "mean") < high
    back = blocks.difference("b", "a", "mean")
    assert (-back[0], -back[2], -back[1]) == pytest.approx((value, low, high))
    low90, high90 = blocks.interval("a", "mean", level=0.9)
    low, high = blocks.interval("a", "mean")
    assert low < low90 < high90 < high


def test_one_block_alone_gives_no_interval() -> None:
    y, p, levels = library()
    found = score(y, p, np.zeros_like(levels), targets=TARGETS, draws=5)
    assert all(math.isnan(end) for end in found.interval("a", "mean"))


def test_intervals_hold_where_rows_share_blocks() -> None:
    """Of 100 libraries of fresh blocks, where rows taken for independent say far too much."""

    def drawn(sizes: tuple[int, int], n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        levels = rng.integers(0, sizes, size=(n_rows, 2))
        truth, error = (sum(rng.normal(size=n)[levels[:, k]] for k, n in enumerate(sizes)) for _ in range(2))
        return (truth > 1.5).astype(np.float32)[:, None], (truth + error + rng.normal(size=n_rows))[:, None], levels

    y, p, levels = drawn((2_000, 2_000), 300_000, 1_000)
    truth = score(y, {"net": p}, levels, targets=["y"], draws=0).value("net", "y")
    held = np.zeros(2)
    for seed in range(100):
        y, p, levels = drawn((40, 40), 2_000, seed)
        for place, own in enumerate((levels, levels[:, :0])):
            low, high = score(y, {"net": p}, own, targets=["y"], draws=200, seed=seed).interval("net", "y")
            held[place] += low <= truth <= high
    assert held[0] >= 0.9 * 100
    assert held[1] <= 0.6 * 100


def test_what_cannot_be_scored_is_named() -> None:
    y, p, levels = library()
    wrong = p["b"].copy()
    wrong[[4, 7], 1] = np.nan
    odd = y.copy()
    odd[2, 0] = 0.5
    with pytest.raises(
        DataError, match=r"1 targets are neither 0 nor 1: rows 3\n2 predictions of b are no numbers: rows 5, 8"
    ):
        score(odd, p | {"b": wrong}, levels, targets=TARGETS, draws=0)
    with pytest.raises(ValueError, match="for 900 rows of 3 targets"):
        score(y, {"a": p["a"][:-1]}, levels, targets=TARGETS, draws=0)
    with pytest.raises(ConfigError, match="draws = -1"):
        score(y, p, levels, targets=TARGETS, draws=-1)
    with pytest.raises(ConfigError, match="called mean or micro"):
        score(y, p, levels, targets=["a", "b", "mean"], draws=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_on_a_device_average_precision_is_scikit_learns_too(dtype: torch.dtype) -> None:
    y, p, _ = library()
    scores = torch.from_numpy(p["b"]).to(dtype)
    scores[:5] = 0.0
    scores[5:9] = -0.0
    scores[9:12] = -torch.inf
    found = average_precision(scores, torch.from_numpy(y))
    seen = scores.double().numpy().clip(-1e9)
    wanted = [average_precision_score(y[k, t], seen[k, t]) for t, k in enumerate(~np.isnan(y).T)]
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(wanted, abs=1e-12)


def test_on_a_device_a_target_of_one_class_or_a_score_that_is_no_number_gives_none() -> None:
    y, p, _ = library()
    y[:, 0] = 0
    scores = torch.from_numpy(p["a"]).clone()
    scores[0, 1] = torch.nan
    y[0, 1] = 1
    y[1, 2] = torch.nan
    scores[1, 2] = torch.nan  # of an unknown target: no matter
    none, lost, kept = average_precision(scores, torch.from_numpy(y)).tolist()
    assert math.isnan(none)
    assert math.isnan(lost)
    own = ~np.isnan(y[:, 2])
    assert kept == pytest.approx(average_precision_score(y[own, 2], p["a"][own, 2]), abs=1e-12)
    assert average_precision(torch.zeros(0, 2), torch.zeros(0, 2)).isnan().all()
    with pytest.raises(ValueError, match="both must be"):
        average_precision(scores, torch.zeros(3))


def width(found: Scored) -> float:
    low, high = found.interval("a", "mean")
    return high - low
