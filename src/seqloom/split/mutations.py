"""Far from what was seen: more mutations than any training row has, or a higher target than the wild type's.

The schemes of FLIP (Dallago et al. 2021): few mutations against many, and low targets against high ones. Families and their
wild types are told from the sequences by `seqloom.mutation`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from seqloom.errors import DataError
from seqloom.findings import Finding
from seqloom.mutation.families import Families
from seqloom.mutation.variants import needed_families, told
from seqloom.registry import register
from seqloom.split.base import TEST, TRAIN, Partition, Splitter
from seqloom.split.inputs import seen_groups
from seqloom.split.measured import measured
from seqloom.table import Table

N_NAMED_FAMILIES = 3


@register("splitter", "mutations")
class MutationSplit(Splitter):
    """Few mutations are trained on and many tested, or low targets and high ones.

    Mutations are counted from the wild type of each row's family; rows that are variants of nothing are unused.
    """

    scheme: Literal["n_vs_rest", "low_vs_high"] = "n_vs_rest"
    """n_vs_rest tests rows of more than `n` mutations; low_vs_high tests targets above the wild type's, or above the median of
    the family where its wild type is not measured."""
    n: Annotated[int, Field(ge=0)] = 1
    """Most mutations of a training row, for n_vs_rest."""

    def assign(self, table: Table, strata: np.ndarray | None) -> Partition:
        """Roles by mutations or by target; DataError where the rows are no variants, or one side would be empty."""
        families = needed_families(table, self.kind)
        tested = families.edits > self.n if self.scheme == "n_vs_rest" else self._above(table, families)
        variants = families.label >= 0
        counted = variants & measured(table)
        self._refuse_empty(table, families, counted & tested, counted & ~tested)
        partition = Partition(np.where(tested, TEST, TRAIN).astype(np.int8)[None])
        return partition.without(np.flatnonzero(~variants), "variant of no wild type")

    def findings(self, table: Table) -> tuple[Finding, ...]:
        """The families, and what targets are compared with by low_vs_high."""
        if self.scheme == "n_vs_rest":
            return told(table)
        families = needed_families(table, self.kind)
        bounds, by_wild_type = _bounds(_levels(table), families)
        named = [
            f"{bounds[each]:g} ({'its wild type' if by_wild_type[each] else 'the median of its rows'})"
            for each in range(min(len(families), N_NAMED_FAMILIES))
        ]
        more = ", ..." if len(families) > N_NAMED_FAMILIES else ""
        message = f"rows are tested whose {table.roles.targets[0]!r} is above, by family: {', '.join(named)}{more}"
        message += f"; the wild type is measured in {int(by_wild_type.sum()):,} of {len(families):,} families"
        return (*told(table), Finding("bounds", "info", message, len(families)))

    @property
    def guarantee(self) -> str:
        """What holds for every test row."""
        if self.scheme == "n_vs_rest":
            return f"every test row has more than {self.n} mutations from its wild type, and no training row has"
        return (
            "the target of every test row is above its wild type's (its family's median where that is not measured), and no "
            "training row's is"
        )

    def _above(self, table: Table, families: Families) -> np.ndarray:
        """Whether the target of each row is above the bound of its family, bool (N,)."""
        if len(table.roles.targets) != 1:
            listed = ", ".join(map(repr, table.roles.targets)) or "none"
            raise DataError(
                f"{table.source.name}: [split] scheme = 'low_vs_high' needs one target of numbers, and there are: {listed}; name "
                "one with --target COLUMN, or type --set split.scheme=n_vs_rest"
            )
        levels = _levels(table)
        bounds, _ = _bounds(levels, families)
        above: np.ndarray = levels > np.append(bounds, np.nan)[families.label]
        return above

    def _refuse_empty(self, table: Table, families: Families, tested: np.ndarray, trained: np.ndarray) -> None:
        if tested.any() and trained.any():
            return
        if self.scheme == "n_vs_rest":
            counts = np.bincount(families.edits[tested | trained], minlength=1)
            listed = ", ".join(f"{each}: {count:,}" for each, count in enumerate(counts.tolist()) if count)
            side = "more than" if not tested.any() else "at most"
            raise DataError(
                f"{table.source.name}: no row has {side} {self.n} mutations (rows by number of "
                f"mutations: {listed}); change it with --set split.n=N, or use --set split.scheme=low_vs_high or "
                f"--set split.kind=position"
            )
        side = "above" if not tested.any() else "at or below"
        raise DataError(
            f"{table.source.name}: no row has a {table.roles.targets[0]!r} {side} that of its wild type (or the median of its "
            "family); use --set split.scheme=n_vs_rest, or another split"
        )


def _levels(table: Table) -> np.ndarray:
    """The target of each row, float64 (N,): the mean of rows that look alike to a model, so that they stand on one side."""
    values = table.numeric(table.roles.targets[0])
    seen = seen_groups(table)
    known = ~np.isnan(values)
    sums = np.bincount(seen[known], values[known], minlength=int(seen.max(initial=-1)) + 1)
    counts = np.bincount(seen[known], minlength=len(sums))
    means = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    # A mean of equal values may differ from them in the last digit, and equal is not above.
    first = np.full(len(sums), np.nan)
    first[seen[known][::-1]] = values[known][::-1]
    return np.where(counts == 1, first, means)[seen]


def _bounds(levels: np.ndarray, families: Families) -> tuple[np.ndarray, np.ndarray]:
    """What targets of each family are compared with, float64 (F,), and whether it is its wild type's, bool (F,)."""
    bounds = np.full(len(families), np.nan)
    by_wild_type = np.zeros(len(families), bool)
    known = ~np.isnan(levels)
    order = np.argsort(families.label, kind="stable")
    starts = np.searchsorted(families.label[order], np.arange(len(families) + 1))
    for family in range(len(families)):
        rows = order[starts[family] : starts[family + 1]]
        rows = rows[known[rows]]
        wild = rows[families.edits[rows] == 0]
        by_wild_type[family] = len(wild) > 0
        if len(rows):
            bounds[family] = levels[wild].mean() if len(wild) else np.median(levels[rows])
    return bounds, by_wild_type
