"""The finding about covariates without a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seqloom.check.rows import row_finding
from seqloom.findings import Finding
from seqloom.read.numbers import parsed

if TYPE_CHECKING:
    from seqloom.table import Table


def covariates(table: Table) -> list[Finding]:
    """Rows whose covariate is missing, infinite or no number."""
    found = []
    for name in table.roles.covariates:
        values, odd = parsed(table.data[name].combine_chunks())
        rows = np.flatnonzero(odd | ~np.isfinite(values))
        if len(rows):
            message = (
                f"rows have no finite number in the covariate {name!r}; "
                "mend them, filter them with --where, or leave the covariate out"
            )
            found.append(row_finding(table, "covariate", "error", message, rows))
    return found
