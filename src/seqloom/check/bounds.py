"""The finding about targets that are bounds, and which rows are none: the column of signs says `>` or `<` for a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.check.rows import row_finding
from seqloom.findings import Finding

if TYPE_CHECKING:
    from seqloom.table import Table


def inequality(table: Table) -> list[Finding]:
    """Rows whose target is a bound rather than a value."""
    if table.roles.inequality is None:
        return []
    signs = pc.utf8_trim_whitespace(table.text(table.roles.inequality))
    rows = np.flatnonzero(pc.fill_null(pc.not_equal(signs, "="), False).to_numpy(zero_copy_only=False))
    if not len(rows):
        return []
    counts = {each["values"]: each["counts"] for each in pc.value_counts(signs.take(pa.array(rows))).to_pylist()}
    listed = ", ".join(f"{count:,} {sign!r}" for sign, count in sorted(counts.items()))
    message = (
        f"rows of column {table.roles.inequality!r} say other than '=' ({listed}); their targets are treated as equal"
    )
    return [row_finding(table, "inequality", "warning", message, rows)]


def measured(table: Table) -> np.ndarray:
    """Rows whose target is a value and not a bound, bool (N,): `=` or nothing in the column of signs, if there is one."""
    if table.roles.inequality is None:
        return np.ones(table.n_rows, bool)
    signs = pc.utf8_trim_whitespace(table.text(table.roles.inequality))
    return np.asarray(pc.fill_null(pc.equal(signs, "="), True).to_numpy(zero_copy_only=False), bool)
