"""Scores of few rows against permuted targets."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from seqloom.chance import Chance, by_chance
from seqloom.stats import compare
from seqloom.verdict import verdict


def test_the_p_value_is_that_of_a_permutation_test_by_scipy() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(25, 1))
    p = 0.4 * y + rng.normal(size=(25, 1))
    found = by_chance("pearson", "regression", [y], [p], n=2000)
    other = scipy_stats.permutation_test(
        (y[:, 0],), lambda each: np.corrcoef(each, p[:, 0])[0, 1], permutation_type="pairings", n_resamples=2000,
        alternative="greater", rng=np.random.default_rng(1),
    )  # fmt: skip
    assert found.value == pytest.approx(float(other.statistic))
    assert found.p_value == pytest.approx(float(other.pvalue), abs=0.03)


def test_models_that_know_nothing_are_called_chance_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(2)
    surprised = 0
    for seed in range(200):
        y, p = rng.normal(size=(12, 1)), rng.normal(size=(12, 1))
        surprised += not by_chance("spearman", "regression", [y], [p], seed, n=99).is_likely
    assert surprised <= 20  # 10 expected; 20 is beyond three standard errors


def test_where_lower_is_better_a_small_error_is_no_chance() -> None:
    y = np.arange(12.0)[:, None]
    found = by_chance("rmse", "regression", [y], [y + 0.1])
    assert not found.is_likely
    assert found.value < found.reached


def test_a_metric_without_a_score_has_no_p_value() -> None:
    found = by_chance("spearman", "regression", [np.arange(5.0)[:, None]], [np.zeros((5, 1))])
    assert math.isnan(found.p_value)
    assert found.as_json() == {"value": None, "reached": None, "p_value": None}


def test_the_verdict_says_that_the_best_model_may_be_chance() -> None:
    rng = np.random.default_rng(3)
    y, p = rng.normal(size=(15, 1)), rng.normal(size=(15, 1))
    board = compare("regression", [y], {"cnn": [[p]]}, ["spearman"])
    words = verdict(board, (), {"cnn": Chance(0.2, 0.44, 0.231)})
    assert words.endswith(
        "cnn may be chance: one in twenty models that know nothing reaches 0.440 spearman on these few rows (permutation p = 0.23)"
    )
    assert "chance" not in verdict(board, (), {"cnn": Chance(0.9, 0.44, 0.001)})
