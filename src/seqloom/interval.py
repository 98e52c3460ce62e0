"""Where the ends of a 95 % interval stand among the draws, when few units decide the score.

The middle 95 % of the draws (percentile bootstrap, Efron and Tibshirani 1993) are too few where the draws' spread is itself
known badly. As for a mean, Student's t then stands for the normal distribution (the expanded percentile interval of Hesterberg
2015, doi:10.1080/00031305.2015.1089789), with the degrees of freedom that the spread has (Satterthwaite 1946,
doi:10.2307/3002019): one less than the units if all matter alike, fewer if some rows, rare positives or large groups matter
much more than others. How much each unit matters is its influence, measured in `bootstrap` by leaving it out.

Tried and not taken: bias-corrected (BC) and accelerated (BCa) percentiles. They hold more often for a skewed error of many
rows, and less often over groups and for differences of two models.
"""

from __future__ import annotations

import math

import numpy as np

from seqloom.resample import Floats

LEVEL = 0.95


def tail(n_units: int, influence: Floats | None = None) -> float:
    """The share of draws left out at either end: 2.5 %, less if few rows or clusters decide; 0 below two of them.

    `influence` float64 (J,) as for `degrees_of_freedom`.

    >>> round(tail(1000), 4), round(tail(10), 4)
    (0.0248, 0.0086)
    """
    from scipy.special import ndtr, stdtrit

    if n_units < 2:
        return 0.0
    freedom = degrees_of_freedom(n_units, influence)
    return float(ndtr(stdtrit(freedom, (1 - LEVEL) / 2) * math.sqrt(n_units / (n_units - 1))))


def degrees_of_freedom(n_units: int, influence: Floats | None = None) -> float:
    """Those of a variance estimated from `n_units` > 1 units: `n_units - 1`, less where their influence has heavy tails.

    `influence` float64 (J,): what the score loses without each unit, or block of units; NaN where there is no score without
    it. None: all matter alike. A variance with f degrees of freedom varies by 2 / f of its square; one of n values by
    2 / (n - 1) + k / n, where k is their excess kurtosis (the unbiased G2 of Joanes and Gill 1998, doi:10.1111/1467-9884.00122).

    >>> round(degrees_of_freedom(10, np.array([1.0, -1.0] * 5)), 1)
    9.0
    >>> round(degrees_of_freedom(10, np.array([8.0, -8.0] + [1.0, -1.0] * 4)), 1)
    3.5
    """
    known = np.empty(0) if influence is None else influence[~np.isnan(influence)]
    # Blocks of units have a kurtosis as much smaller as they are fewer: k / n is the same of units and of blocks.
    extra = max(_excess_kurtosis(known), 0.0) / max(len(known), 1)
    return 2 / (2 / (n_units - 1) + extra)


def _excess_kurtosis(values: Floats) -> float:
    """G2, unbiased for normal values; 0 of fewer than four values, or of equal ones."""
    n = len(values)
    squares = (values - values.mean()) ** 2 if n > 3 else np.zeros(1)
    if not squares.any():
        return 0.0
    biased = float((squares**2).mean() / squares.mean() ** 2) - 3
    return (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * biased + 6)
