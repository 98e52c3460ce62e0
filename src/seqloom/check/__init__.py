"""Findings about the rows of a table: what was mended on reading, what to know, and what stops a fit.

Nothing here raises and nothing is dropped; `seqloom.findings.raise_errors` is for callers that cannot go on with errors. One
idea per file: sequences, repeats and the noise they show, missing targets, classes, limits of an assay, scale, impossible
values, covariates, bounds, columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqloom.check.bounds import inequality
from seqloom.check.classes import uneven_classes
from seqloom.check.columns import unused_columns
from seqloom.check.covariates import covariates
from seqloom.check.impossible import impossible_values
from seqloom.check.limits import assay_limits
from seqloom.check.repeats import repeats
from seqloom.check.scale import wide_ranges
from seqloom.check.sequences import bad_symbols, rows_with, sequences
from seqloom.check.targets import targets
from seqloom.findings import Finding
from seqloom.read.section import ReplicateRule

if TYPE_CHECKING:
    from seqloom.table import Table

__all__ = ["bad_symbols", "check", "rows_with"]


def check(table: Table, replicates: ReplicateRule = "keep") -> list[Finding]:
    """Everything worth knowing about the rows, as the table stands; sequences first, then the other roles.

    `replicates` is the rule that will merge rows of equal inputs; here it is only named.
    """
    return [
        *sequences(table),
        *repeats(table, replicates),
        *targets(table),
        *uneven_classes(table),
        *assay_limits(table),
        *wide_ranges(table),
        *impossible_values(table),
        *covariates(table),
        *inequality(table),
        *unused_columns(table),
    ]
