"""The finding about replicates: how far measurements of one input lie apart, which no model can be expected to go below.

The measure is the median standard deviation of groups of equal inputs, as a share of the standard deviation of all rows; on
the log scale where a target spans many orders of magnitude.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seqloom.check.bounds import measured
from seqloom.check.rows import finding_at
from seqloom.check.scale import is_wide
from seqloom.findings import Finding
from seqloom.read.numbers import parsed
from seqloom.read.section import ReplicateRule

if TYPE_CHECKING:
    from seqloom.table import Table

UNRELATED = 0.5
"""Replicates whose median spread is at least this share of the spread of all rows are hardly replicates."""
SAME = 0.01
"""Values closer than this share of that spread are one measurement that was rounded, or converted, in two ways: of 13,246
groups of a table merged from two databases 10,043 were."""
FEW_GROUPS = 10
"""Fewer groups say little about the noise."""


def noise(table: Table, codes: np.ndarray, target: str, rule: ReplicateRule) -> list[Finding]:
    """One finding about the target's replicates, or none if no rows with equal inputs differ; bounds do not count.

    `codes` int64 (N,) are equal where inputs are; `rule` is what will be done about replicates.
    """
    values, odd = parsed(table.data[target].combine_chunks())
    if odd.any():
        return []
    rows = np.flatnonzero(np.isfinite(values) & measured(table, target))
    wide = is_wide(values[rows])
    y = np.log(values[rows]) if wide else values[rows]
    deviations, members = _deviations(codes[rows], y)
    if not len(deviations):
        return []
    shares = deviations / np.std(y, ddof=1)
    apart = shares >= SAME
    told = _noise_text(target, shares[apart], deviations[apart], int((~apart).sum()), wide=wide)
    unrelated = apart.any() and np.median(shares[apart]) >= UNRELATED
    n_groups = "1 group" if len(deviations) == 1 else f"{len(deviations):,} groups"
    done = _KEPT if rule == "keep" and unrelated else _RULES[rule]
    message = (
        f"{table.source.name}: {n_groups} of replicates ({len(members):,} rows of equal inputs) differ in {target!r}: "
        f"{told}; {done}"
    )
    return [finding_at(table, "replicates", "info", message, rows[members])]


def _noise_text(target: str, shares: np.ndarray, deviations: np.ndarray, n_same: int, *, wide: bool) -> str:
    """The spread of the groups (`shares` of the spread of all rows, and `deviations`, float64 (groups,)) in words."""
    same = f"less than {SAME:.0%} of the SD of all rows apart, as one measurement rounded in two ways is"
    if not len(shares):
        return f"all lie {same}"
    unit = " on the log scale" if wide else ""
    share = float(np.median(shares))
    text = f"the median SD is {np.median(deviations):.3g}, {share:.0%} of the SD of all rows{unit}"
    if n_same:
        text = f"{n_same:,} of them {'lies' if n_same == 1 else 'lie'} {same}; of the other {len(shares):,}, {text}"
    if share >= UNRELATED:
        return (
            f"{text}: they lie nearly as far apart as unrelated rows, so either another column tells them apart "
            f"(add --set data.context=COLUMN), or little of {target!r} can be predicted"
        )
    return (
        f"{text}: too few groups to be sure of the noise"
        if len(shares) < FEW_GROUPS
        else f"{text}: the noise floor of any model"
    )


_KEPT = "they stay rows of their own, always on one side of a split"
_MERGED = "[data] replicates = {!r} makes one row of each group"
_RULES = {
    "keep": f"{_KEPT}; to make one row of each group, type: --set data.replicates=mean (or median, first)",
    "mean": _MERGED.format("mean"),
    "median": _MERGED.format("median"),
    "first": _MERGED.format("first"),
    "drop-conflicting": "[data] replicates = 'drop-conflicting' leaves these groups out",
}


def _deviations(codes: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviation of each group whose values are not all equal, float64 (groups,), and the positions (int64) of all
    rows in these groups, in order."""
    _, group, counts = np.unique(codes, return_inverse=True, return_counts=True)
    mean = np.bincount(group, y) / counts
    squares = np.bincount(group, (y - mean[group]) ** 2)
    low = np.full(len(counts), np.inf)
    high = np.full(len(counts), -np.inf)
    np.minimum.at(low, group, y)
    np.maximum.at(high, group, y)
    differ = low < high
    return np.sqrt(squares[differ] / (counts[differ] - 1)), np.flatnonzero(differ[group])
