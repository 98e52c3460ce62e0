"""The finding about columns that nobody uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqloom.findings import Finding

if TYPE_CHECKING:
    from seqloom.table import Table


def unused_columns(table: Table) -> list[Finding]:
    """Columns without a role; what a FASTA header says beside the name is no column of its own."""
    told = {*table.roles.columns, "description"} if table.source.format == "fasta" else set(table.roles.columns)
    names = [name for name in table.data.column_names if name not in told]
    if not names:
        return []
    listed = ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
    return [
        Finding(
            "unused-columns",
            "info",
            f"{table.source.name}: columns without a role, kept but not used: {listed}",
            len(names),
        )
    ]
