"""Findings about targets that are bounds of the true value (see `seqloom.censored`), and which rows are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seqloom.check.rows import finding_at, first_rows, row_finding
from seqloom.findings import Finding
from seqloom.read.signs import signs

if TYPE_CHECKING:
    from seqloom.table import Table


def inequality(table: Table) -> list[Finding]:
    """Which targets are bounds and what is done with them; signs that are none, or of which nobody knows what they are about."""
    return [*_signs(table), *(_bounds(table, name, own) for name, own in table.bounds.items() if own.any())]


def measured(table: Table, target: str) -> np.ndarray:
    """Rows whose value of the target is one and no bound, bool (N,)."""
    own = table.bounds.get(target)
    return np.ones(table.n_rows, bool) if own is None else own == 0


def _bounds(table: Table, name: str, own: np.ndarray) -> Finding:
    rows = np.flatnonzero(own)
    listed = ", ".join(f"{int((own == sign).sum()):,} {symbol!r}" for sign, symbol in ((-1, "<"), (1, ">")))
    message = (
        f"{table.source.name}: {len(rows):,} of {table.n_rows:,} values of {name!r} are bounds of the true one ({listed}): "
        f"beyond its bound a prediction is right; metrics of order leave these rows out: {first_rows(table, rows)}"
    )
    return finding_at(table, "inequality", "info", message, rows)


def _signs(table: Table) -> list[Finding]:
    column = table.roles.inequality
    if column is None:
        return []
    own, odd = signs(table.data[column])
    found = []
    if odd.any():
        what = f"rows of column {column!r} hold no sign such as <, = and >"
        found.append(row_finding(table, "not-a-sign", "error", what, np.flatnonzero(odd)))
    if own.any() and len(table.roles.targets) > 1:
        what = (
            f"rows of column {column!r} say other than '=', and there are {len(table.roles.targets)} targets: all values are "
            "treated as equal; write the signs before the values (>20000)"
        )
        found.append(row_finding(table, "inequality", "warning", what, np.flatnonzero(own)))
    return found
