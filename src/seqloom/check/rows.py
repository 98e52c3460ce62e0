"""How findings about rows are worded: counts first, then the first rows by number and identifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from seqloom.findings import N_NAMED_ROWS, Finding, Severity

if TYPE_CHECKING:
    from seqloom.table import Table


def row_finding(table: Table, code: str, severity: Severity, what: str, rows: np.ndarray) -> Finding:
    """`12 of 100 <what>: row 3 (id), row 4 (id), ...`; `rows` int (M,) from 0."""
    message = f"{table.source.name}: {len(rows):,} of {table.n_rows:,} {what}: {first_rows(table, rows)}"
    return finding_at(table, code, severity, message, rows)


def finding_at(table: Table, code: str, severity: Severity, message: str, rows: np.ndarray) -> Finding:
    """A finding that counts `rows` (int (M,) from 0) and keeps the numbers of the first few."""
    numbers = tuple(int(each) for each in table.row_numbers[rows[:N_NAMED_ROWS]])
    return Finding(code, severity, message, len(rows), numbers)


def first_rows(table: Table, rows: np.ndarray, values: np.ndarray | None = None) -> str:
    """`row 3 (id), row 4 (id), ...`, with `: 5.1` behind each where `values` (M,) are given."""
    first = rows[:N_NAMED_ROWS]
    ids = table.ids.take(pa.array(first)).to_pylist() if table.roles.id else []
    named = [f"row {table.row_numbers[row]}" + (f" ({ids[index]})" if ids else "") for index, row in enumerate(first)]
    if values is not None:
        named = [f"{name}: {value:g}" for name, value in zip(named, values, strict=False)]
    return ", ".join(named) + (", ..." if len(rows) > N_NAMED_ROWS else "")
