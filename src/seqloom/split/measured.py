"""Rows that were measured, for splitters that count rows: a row without any target is tested and trained on by none."""

from __future__ import annotations

import numpy as np

from seqloom.table import Table


def measured(table: Table) -> np.ndarray:
    """Which rows have a value of some target column, bool (N,); all of them when the table has no target column."""
    if not table.roles.targets:
        return np.ones(table.n_rows, bool)
    present = [table.data[name].is_valid().to_numpy() for name in table.roles.targets]
    known: np.ndarray = np.any(present, axis=0)
    return known
