"""One group after another: how well does a model do on a group it has never seen?"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pyarrow.compute as pc
from pydantic import Field

from seqloom.errors import ConfigError, DataError
from seqloom.findings import Finding
from seqloom.registry import register
from seqloom.split.base import TEST, TRAIN, UNUSED, Partition, Splitter
from seqloom.split.inputs import joined, seen_groups
from seqloom.split.measured import measured
from seqloom.table import Table

N_NAMED_GROUPS = 10
WHY_ALIKE = "same inputs as a test row"


@register("splitter", "leave-one-group-out")
class LeaveOneGroupOut(Splitter):
    """One fold for each of the largest groups: its rows are tested, all others are trained on.

    Groups are read from the table's group column (`--group COLUMN`). Rows without a group, and groups that are not tested,
    are always trained on, but for rows whose inputs are those of a test row, which are unused in that fold.
    """

    largest: Annotated[int, Field(ge=1)] = 10
    """Most folds; the groups of most rows with a target are tested, in that order."""
    fewest: Annotated[int, Field(ge=1)] = 10
    """Fewest rows with a target of a group that is tested; scores of fewer say little."""

    def assign(self, table: Table, strata: np.ndarray | None) -> Partition:
        """A fold per tested group; DataError if there is one group only, or none of enough rows."""
        names, codes = _groups(table)
        tested = self._tested(table, names, codes)
        roles = np.stack([np.where(codes == group, TEST, TRAIN) for group in tested]).astype(np.int8)
        seen = seen_groups(table)
        alike = np.stack([np.isin(seen, seen[codes == group]) for group in tested]) & (roles == TRAIN)
        if not alike.any():
            return Partition(roles)
        # All folds at once: `Partition.without` for each of a hundred folds copies a hundred folds a hundred times.
        reason = np.where(alike, 0, -1).astype(np.int16)
        return Partition(np.where(alike, UNUSED, roles).astype(np.int8), (WHY_ALIKE,), reason)

    def units(self, table: Table) -> np.ndarray:
        """Groups, joined where they share inputs; equal inputs alone where that would join half of the table or more."""
        _, codes = _groups(table)
        alone = codes < 0
        codes[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
        seen = seen_groups(table)
        together = joined(codes, seen)
        return together if 2 * np.bincount(together).max() < table.n_rows else seen

    def findings(self, table: Table) -> tuple[Finding, ...]:
        """Which group each fold tests, and how many groups are never tested."""
        names, codes = _groups(table)
        tested = self._tested(table, names, codes)
        sizes = np.bincount(codes[(codes >= 0) & measured(table)], minlength=len(names))
        told = [f"fold {fold}: {names[group]!r} ({sizes[group]:,} rows)" for fold, group in enumerate(tested)]
        more = "; ..." if len(told) > N_NAMED_GROUPS else ""
        message = f"{len(tested)} of {len(names)} groups are tested, one in each fold: {'; '.join(told[:N_NAMED_GROUPS])}{more}"
        if len(tested) < len(names):
            message += "; the others are always trained on"
        return (Finding("tested-groups", "info", message, len(tested)),)

    @property
    def guarantee(self) -> str:
        """What holds for every test row."""
        return "no test row shares its group or its inputs with a training row"

    def _tested(self, table: Table, names: list[str], codes: np.ndarray) -> np.ndarray:
        """Codes of the tested groups, int64 (folds,), largest first and of equal ones by name."""
        column, source = table.roles.group, table.source.name
        if len(names) < 2:
            one = f"has one group ({names[0]!r})" if names else "is empty"
            raise DataError(
                f"{source}: column {column!r} {one}; leave-one-group-out and group need at least two; name another column with "
                f"--group COLUMN, or another split"
            )
        sizes = np.bincount(codes[(codes >= 0) & measured(table)], minlength=len(names))
        order = np.lexsort((np.argsort(np.argsort(np.array(names))), -sizes))
        chosen: np.ndarray = order[sizes[order] >= self.fewest][: self.largest]
        if not len(chosen):
            largest = int(sizes[order[0]])
            raise DataError(
                f"{source}: no group of column {column!r} has {self.fewest} rows with a target; the largest, "
                f"{names[order[0]]!r}, has {largest}; lower the bound with --set split.fewest={max(largest, 1)}"
            )
        return chosen


def _groups(table: Table) -> tuple[list[str], np.ndarray]:
    """Names of the groups, and the number of each row's, int64 (N,), -1 where it has none."""
    if table.roles.group is None:
        raise ConfigError("[split] kind = 'leave-one-group-out' needs a group column; name it with --group COLUMN")
    encoded = table.text(table.roles.group).dictionary_encode()
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return encoded.dictionary.to_pylist(), codes
