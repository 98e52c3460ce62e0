"""Columns, pairs and intervals against slow loops, scipy and scikit-learn."""

import itertools

import numpy as np
import pytest
from scipy.stats import linregress, spearmanr
from sklearn.metrics import mutual_info_score

from seqloom.quality.columns import (
    agreement,
    divergence,
    entropies,
    frequencies,
    mutual_information,
    pair_columns,
    pair_counts,
    pair_covariances,
    root_mean_square,
    sequence_weights,
    word_agreement,
)
from seqloom.quality.fidelity import Target, fidelity, halves, pair_correlation
from seqloom.quality.intervals import bootstrap, bootstrap_difference, jackknife_of

SYMBOLS = 5


def coupled(n, seed, n_columns=8):
    """Columns 0 and 1 are equal nine times in ten, and so are 2 and 3; the others are independent."""
    rng = np.random.default_rng(seed)
    found = rng.choice(SYMBOLS, (n, n_columns), p=[0.4, 0.3, 0.15, 0.1, 0.05]).astype(np.uint8)
    for left, right in ((0, 1), (2, 3)):
        same = rng.random(n) < 0.9
        found[same, right] = found[same, left]
    return found


@pytest.mark.parametrize("weighted", [False, True])
def test_covariances_are_those_of_a_slow_loop(weighted):
    aligned = coupled(60, 0, n_columns=4)
    weights = np.random.default_rng(1).uniform(0.2, 1, 60) if weighted else None
    share = np.full(60, 1 / 60) if weights is None else weights / weights.sum()
    found = pair_covariances(aligned, SYMBOLS, weights)
    single = frequencies(aligned, SYMBOLS, weights)
    for pair, (i, j) in enumerate(itertools.combinations(range(4), 2)):
        for a in range(SYMBOLS):
            assert single[i, a] == pytest.approx(share[aligned[:, i] == a].sum())
            for b in range(SYMBOLS):
                joint = share[(aligned[:, i] == a) & (aligned[:, j] == b)].sum()
                assert found[pair, a, b] == pytest.approx(joint - single[i, a] * single[j, b], abs=1e-6)


def test_weights_count_alike_sequences_as_a_slow_loop_does():
    aligned = coupled(200, 2, n_columns=10)
    aligned[50:80] = aligned[0]
    aligned[60:80, 0] = (aligned[0, 0] + 1) % SYMBOLS
    alike = (aligned[:, None] == aligned[None]).mean(axis=2) >= 0.8 - 1e-9
    assert sequence_weights(aligned, SYMBOLS) == pytest.approx(1 / alike.sum(axis=1))
    assert alike[50, 79]


def test_mutual_information_is_that_of_scikit_learn_less_the_product_of_averages():
    aligned = coupled(300, 3, n_columns=5)
    plain = np.zeros((5, 5))
    for i in range(5):
        for j in range(5):
            plain[i, j] = mutual_info_score(aligned[:, i], aligned[:, j]) if i != j else 0
    mean = plain.sum(axis=1) / 4
    upper = np.triu_indices(5, 1)
    expected = (plain - np.outer(mean, mean) / plain[upper].mean())[upper]
    assert mutual_information(pair_counts(aligned, SYMBOLS), SYMBOLS) == pytest.approx(expected, abs=1e-5)


def test_agreement_is_correlation_and_regression_on_the_reference():
    rng = np.random.default_rng(4)
    x = rng.normal(size=500)
    y = 0.6 * x + rng.normal(size=500)
    expected = linregress(x, y)
    found = agreement(x, y)
    assert (found.r, found.slope) == pytest.approx((expected.rvalue, expected.slope))
    assert np.isnan(agreement(x, np.ones(500)).r)
    assert np.isnan(agreement(np.ones(500), x).slope)
    assert np.isnan(agreement(np.zeros(0), np.zeros(0)).r)


def test_entropy_divergence_and_distance_of_known_columns():
    even, sure = np.array([[0.5, 0.5, 0, 0]]), np.array([[1.0, 0, 0, 0]])
    assert entropies(np.concatenate([even, sure])).tolist() == [1.0, 0.0]
    assert divergence(even, even, 0.01) == 0.0
    assert divergence(sure, even, 1e-9) == pytest.approx(np.log(2), abs=1e-6)
    assert root_mean_square(even, sure) == pytest.approx(np.sqrt(0.5 / 4))


def test_words_of_many_columns_agree_with_themselves_and_less_with_independent_columns():
    aligned, again = coupled(3000, 5), coupled(3000, 6)
    independent = np.stack([np.random.default_rng(i).permutation(column) for i, column in enumerate(again.T)], axis=1)
    own, same, apart = (
        word_agreement(aligned, each, SYMBOLS, seed=0, n_sets=20) for each in (aligned, again, independent)
    )
    assert own[2] == own[8] == pytest.approx(1.0)
    assert same[2] > 0.97
    assert apart[2] < same[2] - 0.02
    assert apart[5] < same[5] - 0.02
    assert np.isnan(own[9])  # of eight columns


def test_fidelity_knows_resampled_from_independent_columns():
    target = Target.of(coupled(2000, 7), SYMBOLS)
    again = fidelity(coupled(1000, 8), target, seed=0)
    shuffled = np.stack(
        [np.random.default_rng(i).permutation(column) for i, column in enumerate(coupled(1000, 8).T)], axis=1
    )
    independent = fidelity(shuffled, target, seed=0)
    assert again["pair_r"].value > 0.95
    assert again["pair_slope"].value == pytest.approx(1, abs=0.1)
    assert independent["f1_r"].value > 0.99
    assert abs(independent["pair_slope"].value) < 0.1
    assert again["pair_r"].value == pytest.approx(pair_correlation(coupled(1000, 8), target))
    assert again["entropy_gap"].low < 0 < again["entropy_gap"].high
    assert halves(coupled(2000, 7), SYMBOLS, 0)["pair_r"] > 0.95


def test_rank_correlation_of_mutual_information_is_that_of_scipy():
    one, two = coupled(500, 9), coupled(500, 10)
    expected = spearmanr(*(mutual_information(pair_counts(each, SYMBOLS), SYMBOLS) for each in (one, two))).statistic
    assert fidelity(two, Target.of(one, SYMBOLS), 0, blocks=0)["mi_spearman"].value == pytest.approx(expected)


def test_no_sequence_and_no_column_have_no_fidelity():
    target = Target.of(coupled(50, 0), SYMBOLS)
    assert fidelity(np.zeros((0, 8), np.uint8), target, 0) == {}
    lone = fidelity(coupled(1, 0), target, 0)
    assert np.isnan(lone["pair_r"].value)
    assert lone["entropy_gap"].value < 0


def test_of_many_columns_a_fixed_number_is_paired():
    assert len(pair_columns(90)) == 90
    chosen = pair_columns(3000)
    assert len(chosen) == 150 == len(set(chosen.tolist()))
    assert (chosen[0], chosen[-1]) == (0, 2999)


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    held = {"mean": 0, "median": 0, "jackknife": 0}
    for draw in range(200):
        values = rng.exponential(size=150)
        mean, median = (bootstrap(values, middle, draw, 300) for middle in ("mean", "median"))
        spread = jackknife_of(lambda rows, own=values: float(own[rows].std()), 150, draw)
        held["mean"] += mean.low <= 1 <= mean.high
        held["median"] += median.low <= np.log(2) <= median.high
        held["jackknife"] += spread.low <= 1 <= spread.high
    assert min(held.values()) >= 0.86 * 200


def test_intervals_are_the_same_for_the_same_seed_and_missing_below_two_values():
    values = np.random.default_rng(0).normal(size=40)
    assert bootstrap(values, "mean", 3) == bootstrap(values, "mean", 3)
    assert bootstrap(values, "mean", 3) != bootstrap(values, "mean", 4)
    assert bootstrap(values[:1], "mean", 3).as_json() == {
        "value": float(values[0]),
        "low": None,
        "high": None,
        "how": "none",
    }
    assert np.isnan(bootstrap(values[:0], "mean", 3).value)
    assert bootstrap(np.array([1.0, np.nan, 3.0]), "mean", 0).value == 2.0
    gap = bootstrap_difference(values + 1, values, 0)
    assert gap.value == pytest.approx(1)
    assert gap.low < 1 < gap.high
    assert np.isnan(bootstrap_difference(values, values[:0], 0).value)
