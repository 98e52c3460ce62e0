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
    the part that is furthest below its share in the strata of the unit's own rows.
    """
    order = shuffled_units(units, seed)
    place = np.empty(int(units.max(initial=-1)) + 1, np.int64)
    place[order] = np.arange(len(order))
    unit_of_row = place[units]
    stratum = np.zeros(len(units), np.int64)
    if strata is not None:
        stratum = np.where(np.isnan(strata), -1, strata).astype(np.int64) + 1
    sizes = np.bincount(unit_of_row, minlength=len(order))
    goal = np.outer(shares, np.bincount(stratum))
    part_of_unit, filled = _deal_large_units(unit_of_row, stratum, sizes, goal)
    single = sizes == 1
    for each in np.unique(stratum):
        own = np.unique(unit_of_row[(stratum == each) & single[unit_of_row]])
        part_of_unit[own] = _deal_single_rows(len(own), goal[:, each] - filled[:, each], seed + int(each))
    return part_of_unit[unit_of_row]


def _deal_large_units(
    unit_of_row: np.ndarray, stratum: np.ndarray, sizes: np.ndarray, goal: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A part for each unit of several rows, int64 (units,), the others' to be filled in; and rows by part and stratum."""
    n_strata = goal.shape[1]
    pairs, counts = np.unique(unit_of_row * n_strata + stratum, return_counts=True)
    bounds = np.searchsorted(pairs, np.arange(len(sizes) + 1) * n_strata)
    parts, filled = np.zeros(len(sizes), np.int64), np.zeros(goal.shape)
    large = np.flatnonzero(sizes > 1)
    for unit in large[np.argsort(-sizes[large], kind="stable")].tolist():
        own = slice(bounds[unit], bounds[unit + 1])
        strata, rows = pairs[own] % n_strata, counts[own]
        part = _neediest(goal[:, strata], filled[:, strata], rows)
        parts[unit] = part
        filled[part, strata] += rows
    return parts, filled


def _deal_single_rows(n_rows: int, missing: np.ndarray, seed: int) -> np.ndarray:
    """A part for each of the rows of a stratum that are units by themselves, in proportion to what parts (P,) still miss."""
    missing = np.maximum(missing, 0)
    bounds = np.cumsum(missing / missing.sum() * n_rows) if missing.sum() > 0 else np.full(len(missing), n_rows)
    # A random start of the rounding, so that tiny strata do not all fall into the same part.
    offset = np.random.default_rng([seed, 0xDEA1]).random()
    found: np.ndarray = np.searchsorted(bounds, np.arange(n_rows) + offset, side="right")
    return np.minimum(found, len(missing) - 1)


def _neediest(goal: np.ndarray, filled: np.ndarray, rows: np.ndarray) -> int:
    """The part furthest below its goals (P, K), as a share of them, of those that a unit does not fill far beyond any.

    `rows` (K,): of the unit in each of its strata. By numbers of rows the largest part would take all large units, and the test
    would hold only rows without relatives.
    """
    weights = rows / rows.sum()
    fits = (filled + rows <= OVERFULL * goal).all(axis=1)
    if not fits.any():
        return int(np.argmax((goal - filled) @ weights))
    return int(np.argmax(np.where(fits, ((goal - filled) / goal) @ weights, -np.inf)))
