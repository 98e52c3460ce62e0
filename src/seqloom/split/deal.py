"""Dealing: units of rows into parts of given shares, classes balanced, the same for the same seed."""

from __future__ import annotations

import numpy as np

OVERFULL = 1.1
"""A unit goes to a part it would fill beyond this multiple of its goal only where it would overfill all parts."""
INNER_SHARE = 0.1
"""Share of training rows set aside for early stopping and penalties when the user names no valid rows."""


def inner_split(units: np.ndarray, strata: np.ndarray | None, seed: int) -> np.ndarray:
    """Which of the training rows become valid, bool (N,): about `INNER_SHARE` of them; none of fewer than four rows."""
    n_rows = len(units)
    if n_rows < 4:
        return np.zeros(n_rows, bool)
    chosen = deal(units, strata, [1 - INNER_SHARE, INNER_SHARE], seed) == 1
    if not chosen.any():
        chosen = units == smallest_unit(units, seed)
    return chosen if not chosen.all() else np.zeros(n_rows, bool)


def shuffled_units(units: np.ndarray, seed: int) -> np.ndarray:
    """The distinct `units`, int64, in an order that depends on the seed alone."""
    distinct = np.unique(units)
    return distinct[np.random.default_rng([seed, 0x5EED]).permutation(len(distinct))]


def smallest_unit(units: np.ndarray, seed: int) -> int:
    """The unit of the fewest rows, of several the first in random order."""
    order = shuffled_units(units, seed)
    distinct, counts = np.unique(units, return_counts=True)
    return int(order[np.argmin(counts[np.searchsorted(distinct, order)])])


def deal(units: np.ndarray, strata: np.ndarray | None, shares: list[float], seed: int) -> np.ndarray:
    """A part number for each row, int64 (N,), so that parts hold about `shares` of the rows of every stratum.

    Rows of one unit (equal inputs, or a group) go to one part. Units are dealt, largest first and ties in random order, to
    the part that is furthest below its share in the unit's own stratum.
    """
    order = shuffled_units(units, seed)
    place = np.empty(int(units.max(initial=-1)) + 1, np.int64)
    place[order] = np.arange(len(order))
    unit_of_row = place[units]
    sizes = np.bincount(unit_of_row, minlength=len(order))
    stratum = np.zeros(len(order), np.int64)
    if strata is not None:
        known = np.where(np.isnan(strata), -1, strata).astype(np.int64)
        stratum[unit_of_row[::-1]] = known[::-1] + 1
    part_of_unit = np.zeros(len(order), np.int64)
    for each in np.unique(stratum):
        own = np.flatnonzero(stratum == each)
        own = own[np.argsort(-sizes[own], kind="stable")]
        part_of_unit[own] = _deal_one_stratum(sizes[own], shares, seed + int(each))
    return part_of_unit[unit_of_row]


def _deal_one_stratum(sizes: np.ndarray, shares: list[float], seed: int) -> np.ndarray:
    parts = np.empty(len(sizes), np.int64)
    goal = np.array(shares) * sizes.sum()
    filled = np.zeros(len(shares))
    n_large = int((sizes > 1).sum())
    for index in range(n_large):
        part = _neediest(goal, filled, int(sizes[index]))
        parts[index] = part
        filled[part] += sizes[index]
    single = len(sizes) - n_large
    missing = np.maximum(goal - filled, 0)
    bounds = np.cumsum(missing / missing.sum() * single) if missing.sum() > 0 else np.full(len(shares), single)
    # A random start of the rounding, so that tiny strata do not all fall into the same part.
    offset = np.random.default_rng([seed, 0xDEA1]).random()
    parts[n_large:] = np.minimum(np.searchsorted(bounds, np.arange(single) + offset, side="right"), len(shares) - 1)
    return parts


def _neediest(goal: np.ndarray, filled: np.ndarray, size: int) -> int:
    """The part furthest below its goal, as a share of the goal, of those that `size` rows do not fill far beyond it.

    By numbers of rows the largest part would take all large units, and the test would hold only rows without relatives.
    """
    fits = filled + size <= OVERFULL * goal
    if not fits.any():
        return int(np.argmax(goal - filled))
    return int(np.argmax(np.where(fits, (goal - filled) / goal, -np.inf)))
