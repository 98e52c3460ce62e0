"""The finding about targets that span many orders of magnitude."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seqloom.check.classes import class_targets
from seqloom.findings import Finding
from seqloom.read.numbers import parsed

if TYPE_CHECKING:
    from seqloom.table import Table

ORDERS = 4
"""Orders of magnitude from which errors of the largest values drown all others."""
TAILS = (0.5, 99.5)
"""Percentiles between which the orders are counted, so that one odd value does not make them."""


def is_wide(values: np.ndarray) -> bool:
    """Whether `values`, float64 (N,) without NaN, are all positive and span more than four orders of magnitude."""
    return len(values) > 0 and bool(values.min() > 0) and _orders(values) > ORDERS


def wide_ranges(table: Table) -> list[Finding]:
    """Targets of numbers that a logarithm would make easier to learn and to score."""
    found = []
    classes = class_targets(table)
    for name in table.roles.targets:
        if name in classes:
            continue
        values, odd = parsed(table.data[name].combine_chunks())
        known = values[np.isfinite(values)]
        if odd.any() or not is_wide(known):
            continue
        low, high = np.percentile(known, TAILS)
        message = (
            f"{table.source.name}: {name!r} spans {_orders(known):.1f} orders of magnitude ({low:.3g} to {high:.3g}, the "
            "middle 99 %), all above 0; unless it is learnt on the log scale, only its largest values count: "
            "--set target.transform=log (log50k for affinities in nM)"
        )
        found.append(Finding("wide-range", "info", message, len(known)))
    return found


def _orders(values: np.ndarray) -> float:
    low, high = np.percentile(values, TAILS)
    return float(np.log10(high / low))
