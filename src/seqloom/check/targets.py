"""Findings about targets as columns: empty ones, missing values, and words among numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from seqloom.check.rows import finding_at, row_finding
from seqloom.findings import Finding
from seqloom.read.numbers import parsed

if TYPE_CHECKING:
    from seqloom.table import Table


def targets(table: Table) -> list[Finding]:
    """Target columns that are empty, that lack values, or that hold words among their numbers."""
    found = []
    empty = [name for name in table.roles.targets if table.data[name].null_count == table.n_rows]
    n_rows, n_targets = table.n_rows, len(table.roles.targets)
    if empty and len(empty) == n_targets:
        named = ", ".join(map(repr, empty[:5]))
        message = f"{table.source.name}: target column {named} is empty in all {n_rows} rows; name another with --target COLUMN"
        found.append(Finding("no-target", "error", message, n_rows))
    elif empty:
        named = f"{', '.join(empty[:10])}{', ...' if len(empty) > 10 else ''}"
        what = f"{len(empty)} of {n_targets} target columns are empty in all {n_rows} rows and left out"
        message = f"{table.source.name}: {what}: {named}"
        found.append(Finding("empty-targets", "warning", message, len(empty)))
    for name in table.roles.targets:
        found += _stray_words(table, name)
    return [*found, *_missing_targets(table)]


def _missing_targets(table: Table) -> list[Finding]:
    """One finding, of however many target columns: which rows lack some value, and which column lacks most."""
    holes = [name for name in table.roles.targets if 0 < table.data[name].null_count < table.n_rows]
    if not holes:
        return []
    empty = np.any([pc.is_null(table.data[name]).to_numpy() for name in holes], axis=0)
    worst = max(holes, key=lambda name: table.data[name].null_count)
    what = f"rows have no value of the target {worst!r}"
    if len(holes) > 1:
        most = f"most in {worst!r}, {table.data[worst].null_count:,} rows"
        what = f"rows lack a value in one or more of {len(holes)} targets ({most})"
    return [row_finding(table, "missing-target", "info", what, np.flatnonzero(empty))]


def _stray_words(table: Table, name: str) -> list[Finding]:
    """A target of numbers with a few odd values: an error, for it would pass as a column of many classes."""
    values, odd = parsed(table.data[name].combine_chunks())
    n_numbers = int(np.isfinite(values).sum())
    if not odd.any() or odd.sum() > 0.2 * (n_numbers + odd.sum()):
        return []
    from seqloom.table import not_numbers

    return [finding_at(table, "not-a-number", "error", not_numbers(table, name, odd), np.flatnonzero(odd))]
