"""The words of a verdict, on comparisons whose draws are laid out by hand."""

from __future__ import annotations

import math

import numpy as np

from seqloom.stats import Comparison, Interval, VariantScores, compare
from seqloom.verdict import verdict

WIDEN = 1.0 / 0.95  # evenly spread draws whose middle 95 % are the wanted bounds


def variant(name: str, metric: str, value: float, low: float, high: float) -> VariantScores:
    """A variant whose draws have exactly this interval."""
    middle, half = (low + high) / 2, (high - low) / 2 * WIDEN
    draws = np.linspace(middle - half, middle + half, 1001)
    return VariantScores(name, (), {metric: Interval(value, low, high)}, None, {metric: draws})


def board(metric: str, *variants: VariantScores) -> Comparison:
    """A comparison of variants given best first."""
    task = "regression" if metric in ("spearman", "rmse", "mae") else "binary"
    return Comparison(task, (metric,), variants, 1001, 10**9, "1,001 draws over 9 rows", ())  # type: ignore[arg-type]


def fixed(name: str, metric: str, value: float) -> VariantScores:
    """A variant that is the same in every draw, so that differences have the other's interval."""
    return variant(name, metric, value, value, value)


def test_a_better_variant_is_called_better() -> None:
    result = board("spearman", variant("cnn", "spearman", 0.712, 0.701, 0.723), fixed("linear", "spearman", 0.671))
    assert verdict(result) == (
        "cnn has the best spearman, 0.712 (95 % CI 0.701..0.723); "
        "cnn is better than linear by 0.041 spearman (95 % CI 0.030..0.052)"
    )


def test_a_difference_within_its_error_is_not_called_one() -> None:
    result = board("spearman", variant("cnn", "spearman", 0.712, 0.702, 0.721), fixed("rnn", "spearman", 0.708))
    assert verdict(result) == (
        "cnn has the best spearman, 0.712 (95 % CI 0.702..0.721); "
        "no detectable difference between cnn and rnn (0.004 spearman, 95 % CI -0.006..0.013, a true one of 0.016 would be detected four times in five)"
    )


def test_where_lower_is_better_an_advantage_is_still_positive() -> None:
    result = board("rmse", variant("cnn", "rmse", 0.459, 0.448, 0.47), fixed("linear", "rmse", 0.5))
    assert verdict(result) == (
        "cnn has the best rmse, 0.459 (lower is better, 95 % CI 0.448..0.470); "
        "cnn is better than linear by 0.041 rmse (95 % CI 0.030..0.052)"
    )


def test_no_better_than_the_baseline_comes_first() -> None:
    result = board(
        "spearman",
        variant("cnn", "spearman", 0.42, 0.38, 0.46),
        variant("rnn", "spearman", 0.415, 0.4, 0.43),
        fixed("nearest", "spearman", 0.41),
    )
    assert verdict(result, ["nearest", "constant"]) == (
        "no model is detectably better than the baseline 'nearest': "
        "the advantage of cnn is 0.010 spearman (95 % CI -0.030..0.050); "
        "cnn has the best spearman, 0.420 (95 % CI 0.380..0.460); "
        "no detectable difference between cnn and rnn (0.005 spearman, 95 % CI -0.020..0.030, a true one of 0.043 would be detected four times in five)"
    )


def test_a_baseline_that_leads_is_told_once() -> None:
    result = board("rmse", fixed("nearest", "rmse", 0.5), variant("cnn", "rmse", 0.52, 0.51, 0.53))
    assert verdict(result, ["nearest"]) == (
        "the baseline 'nearest' is better than every model: "
        "than cnn, the best of them, by 0.020 rmse (95 % CI 0.010..0.030); "
        "nearest has the best rmse, 0.500 (lower is better, 95 % CI 0.500..0.500)"
    )


def test_the_gain_over_the_best_baseline_follows_the_nearest_rival() -> None:
    result = board(
        "auroc",
        variant("cnn", "auroc", 0.9, 0.88, 0.92),
        fixed("rnn", "auroc", 0.89),
        fixed("nearest", "auroc", 0.8),
        fixed("constant", "auroc", 0.5),
    )
    assert verdict(result, ["constant", "nearest"]).endswith(
        "no detectable difference between cnn and rnn (0.010 auroc, 95 % CI -0.010..0.030, a true one of 0.034 would be detected four times in five); "
        "cnn is better than the baseline 'nearest' by 0.100 auroc (95 % CI 0.080..0.120)"
    )


def test_a_surer_second_is_named_when_the_first_does_not_beat_the_baseline_detectably() -> None:
    result = board(
        "auroc",
        variant("shaky", "auroc", 0.9, 0.7, 1.0),
        fixed("steady", "auroc", 0.85),
        fixed("nearest", "auroc", 0.8),
    )
    assert "shaky is not detectably better than the baseline 'nearest'" in verdict(result, ["nearest"])
    assert verdict(result, ["nearest"]).endswith("but steady is (0.050 auroc, 95 % CI 0.050..0.050)")


def test_a_lone_variant_states_its_score() -> None:
    assert verdict(board("auroc", variant("cnn", "auroc", 0.9, 0.88, 0.92))) == (
        "cnn has 0.900 auroc (95 % CI 0.880..0.920); there is no other variant to compare it with"
    )


def test_a_lone_model_is_held_against_its_baselines() -> None:
    result = board("auroc", variant("cnn", "auroc", 0.9, 0.88, 0.92), fixed("nearest", "auroc", 0.8))
    assert verdict(result, ["nearest"]) == (
        "cnn has the best auroc, 0.900 (95 % CI 0.880..0.920); "
        "cnn is better than nearest by 0.100 auroc (95 % CI 0.080..0.120)"
    )


def test_nothing_defined_says_why() -> None:
    y = np.ones((5, 1))
    result = compare("regression", [y], {"a": [[y]], "b": [[y]]}, ["spearman"], draws=5)
    assert verdict(result) == (
        "no verdict: spearman is undefined for every variant (the targets or the predictions are constant)"
    )


def test_a_model_without_a_score_is_named_and_a_constant_baseline_is_not() -> None:
    y = np.arange(40.0)[:, None]
    flat = np.zeros((40, 1))
    result = compare("regression", [y], {"up": [[y]], "flat": [[flat]], "constant": [[flat]]}, ["spearman"], draws=9)
    assert verdict(result, ["constant"]) == (
        "up has 1.000 spearman (95 % CI 1.000..1.000); "
        "spearman is undefined for flat (the targets or the predictions are constant)"
    )
    only = compare("regression", [y], {"flat": [[flat]], "nearest": [[y]]}, ["spearman"], draws=9)
    assert verdict(only, ["nearest"]).startswith("spearman is undefined for flat")


def test_without_an_interval_nothing_is_claimed() -> None:
    nan = math.nan
    cnn = VariantScores("cnn", (), {"auroc": Interval(0.9, nan, nan, 1.0)}, None, {"auroc": np.full(9, nan)})
    other = VariantScores("rnn", (), {"auroc": Interval(0.8, nan, nan, 1.0)}, None, {"auroc": np.full(9, nan)})
    assert verdict(board("auroc", cnn, other)) == (
        "cnn has the best auroc, 0.900 (no 95 % CI); "
        "whether cnn is better than rnn cannot be told (0.100 auroc, no 95 % CI)"
    )


def test_numbers_keep_the_digits_that_matter() -> None:
    large = board("mae", variant("cnn", "mae", 13_900_000, 1.2e7, 1.6e7), fixed("rnn", "mae", 2.0e7))
    assert "cnn is better than rnn by 6,100,000 mae (95 % CI 4,000,000..8,000,000)" in verdict(large)
    small = board("mae", variant("cnn", "mae", 0.0012, 0.001, 0.0014), fixed("rnn", "mae", 0.00145))
    assert "cnn is better than rnn by 0.00025 mae (95 % CI 0.00005..0.00045)" in verdict(small)
