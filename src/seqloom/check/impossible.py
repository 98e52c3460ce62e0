"""The finding about values that cannot be: told from what a column is called, by few and sure rules.

A column where most values break its rule is another thing than its name says, and is left alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from seqloom.check.rows import finding_at, first_rows
from seqloom.findings import Finding
from seqloom.read.numbers import is_text, parsed

if TYPE_CHECKING:
    from seqloom.table import Table

NEVER = float("inf")


class Rule(NamedTuple):
    """What a column called so may hold."""

    words: frozenset[str]
    """Words of a column's name, in lower case, one of which is enough."""
    what: str
    low: float
    high: float
    largest: float = -NEVER
    """The rule holds for columns whose largest value is above this: logarithms, which may be negative, never are."""


RULES = (
    Rule(frozenset(("ph",)), "pH", 0, 14),
    Rule(frozenset(("tm", "temp", "temperature", "topt", "ogt", "celsius")), "temperature", -273.15, NEVER),
    Rule(frozenset(("ic50", "ec50", "kd", "ki", "nm", "conc", "concentration")), "concentration", 0, NEVER, largest=30),
    Rule(frozenset(("prob", "probability", "pvalue", "pval")), "probability", 0, 1),
    Rule(frozenset(("pident", "identity")), "percent identity", 0, 100),
)
RELATIVE = frozenset((
    "log", "log2", "log10", "ln", "delta", "d", "dd", "diff", "difference", "change", "shift", "fold", "ratio", "z", "zscore",
    "norm", "normalised", "normalized", "scaled", "standardised", "standardized", "rank", "score",
))  # fmt: skip
"""Words that make a column another quantity than its other words say."""
TEMPERATURES = RULES[1]


def impossible_values(table: Table) -> list[Finding]:
    """Columns, with a role or without, that hold values which their names forbid; swapped pH and temperature are named."""
    found = []
    for name in table.data.column_names:
        for rule in RULES:
            if _is_called(name, rule):
                found += _outside(table, name, rule)
    return found


def _is_called(name: str, rule: Rule) -> bool:
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    return bool(words & rule.words) and not words & RELATIVE


def _outside(table: Table, name: str, rule: Rule) -> list[Finding]:
    values = _numbers(table, name)
    known = np.isfinite(values)
    outside = np.flatnonzero(known & ((values < rule.low) | (values > rule.high)))
    if not len(outside) or len(outside) > known.sum() / 2 or values[known].max() <= rule.largest:
        return []
    limits = f"0 to {rule.high:g}" if rule.high < NEVER else f"{rule.low:g} and above"
    swapped = _swapped(table, name, values, rule)
    advice = "mend them, with a patch file (--set data.patch=FILE) or in the table, or leave the cells empty"
    message = (
        f"{table.source.name}: {len(outside):,} of {int(known.sum()):,} values of {name!r} cannot be: a {rule.what} lies within "
        f"{limits}: {first_rows(table, outside, values[outside])}; {swapped}{advice}"
    )
    return [finding_at(table, "impossible-values", "warning", message, outside)]


def _swapped(table: Table, name: str, values: np.ndarray, rule: Rule) -> str:
    """`29 rows have ph > 14 and tm within 0 to 14: pH and tm look swapped; `, or nothing."""
    if rule.what != "pH":
        return ""
    above = values > rule.high
    for other in table.data.column_names:
        if other == name or not _is_called(other, TEMPERATURES):
            continue
        temperatures = _numbers(table, other)
        small = (temperatures >= rule.low) & (temperatures <= rule.high)
        n_small = int((small & above).sum())
        # Where temperatures are small anyway, small ones say nothing.
        if n_small > above.sum() / 2 and small[~above].sum() < 0.5 * np.isfinite(temperatures[~above]).sum():
            return (
                f"{n_small:,} rows have {name} > {rule.high:g} and {other} within 0 to {rule.high:g}: "
                f"{name} and {other} look swapped; "
            )
    return ""


def _numbers(table: Table, name: str) -> np.ndarray:
    """The column as float64 (N,), NaN where there is no number; all NaN for a column of words."""
    column = table.data[name].combine_chunks()
    if pa.types.is_boolean(column.type) or (is_text(column.type) and parsed(column)[1].mean() > 0.2):
        return np.full(table.n_rows, np.nan)
    return parsed(column)[0]
