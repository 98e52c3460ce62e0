"""Partitions by similarity: nothing that is tested is alike to anything trained on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from pydantic import Field

from seqloom.errors import ConfigError, DataError
from seqloom.findings import Finding
from seqloom.registry import register
from seqloom.similarity.effort import Search
from seqloom.similarity.rows import alike_groups
from seqloom.split.base import TEST, TRAIN, VALID, Partition
from seqloom.split.deal import INNER_SHARE, deal
from seqloom.split.inputs import joined, seen_groups
from seqloom.split.random import DealtSplitter
from seqloom.table import Table

WANTED_TEST = 0.2
"""Share of rows that there should be to test before anything is said of a split."""
LOOSER = 0.9
"""Identity at which valid rows are divided from training rows where the wanted one leaves too few of them."""


@register("splitter", "similarity")
class SimilaritySplit(DealtSplitter):
    """Connected components of alike rows: two rows that are alike, or are joined by a chain of alike rows, stand on one side.

    Clusters about representatives do not give this: of two clusters members can be alike. Identity is the number of identical
    residues of the best local alignment over the length of the shorter sequence, where the alignment covers four fifths of
    both or is beyond chance (E-value 0.001 among the rows of the table); for molecules it is the Tanimoto similarity of Morgan
    fingerprints.
    """

    identity: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Rows at or above this identity are alike."""
    search: Search = "auto"
    """words aligns pairs that share words; auto also short sequences, which share few words even when alike, with all others
    as long as that takes some seconds; exact aligns all pairs; mmseqs is auto, and what mmseqs2 (on the PATH) proposes."""

    largest: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Components of more than this share of the rows are trained on, and neither tested nor valid, so that what is held out is of
    many kinds rather than one large relation; one fold only."""

    def strata(self, strata: np.ndarray | None) -> np.ndarray | None:
        """The classes."""
        return strata

    def units(self, table: Table) -> np.ndarray:
        """Components of alike rows, joined where rows have equal inputs."""
        return joined(alike_groups(table, self.identity, self.search).label, seen_groups(table))

    def looser_units(self, table: Table) -> Iterator[tuple[np.ndarray, str]]:
        """Components at a higher identity, then rows."""
        if self.identity < LOOSER:
            units = joined(alike_groups(table, LOOSER, self.search).label, seen_groups(table))
            yield units, f"training rows alike at {LOOSER:.0%} identity were kept together only"
        yield from super().looser_units(table)

    def assign(self, table: Table, strata: np.ndarray | None) -> Partition:
        """Roles by dealing the components; DataError where one of them leaves too little to test."""
        units = self.units(table)
        sizes = np.bincount(units)
        if self.folds == 1 and not leaves_enough(sizes, self.test):
            raise DataError(self._one_component(table, units, sizes))
        if self.folds > 1 and not leaves_enough(sizes, 1 / self.folds):
            raise DataError(self._one_component(table, units, sizes))
        return super().assign(table, strata) if self.largest == 1 else self._of_small(units, sizes, strata)

    def _of_small(self, units: np.ndarray, sizes: np.ndarray, strata: np.ndarray | None) -> Partition:
        """Test and valid rows from components that are not too large; of larger ones where those are too few."""
        if self.folds > 1 or self.inner > 1:
            raise ConfigError(f"[split] largest = {self.largest:g} is for one fold; leave it out, or folds and inner")
        n_rows, shares = len(units), [self.test, (1 - self.test) * INNER_SHARE]
        largest = self.largest
        while (small := np.flatnonzero(sizes[units] <= largest * n_rows)).size < 1.5 * sum(
            shares
        ) * n_rows and largest < 1:
            largest *= 2
        wanted = [each * n_rows / max(small.size, 1) for each in shares]
        parts = deal(units[small], None if strata is None else strata[small], [1 - sum(wanted), *wanted], self.seed)
        roles = np.full(n_rows, TRAIN, np.int8)
        roles[small] = np.array([TRAIN, TEST, VALID], np.int8)[parts]
        return Partition(roles[None])

    @property
    def guarantee(self) -> str:
        """What holds for every test row."""
        return f"no test row has a training row at {self.identity:.0%} identity or more, among all pairs that were compared"

    def findings(self, table: Table) -> tuple[Finding, ...]:
        """Groups, the largest of them, and how thoroughly rows were compared."""
        groups = alike_groups(table, self.identity, self.search)
        sizes = np.bincount(groups.label)
        more = ", and those mmseqs2 proposes," if self.search == "mmseqs" else ""
        compared = (
            "all pairs were compared"
            if groups.exact
            else f"pairs that share words{more} were compared, so that an alike pair may have been missed; "
            "compare all with --set split.search=exact"
        )
        message = (
            f"{len(sizes):,} groups of rows that are alike at {self.identity:.0%} identity, the largest of {sizes.max():,} "
            f"rows ({sizes.max() / table.n_rows:.0%}); {compared}"
        )
        return (Finding("similarity", "info", message, len(sizes)),)

    def _unit_name(self, table: Table) -> str:
        return f"groups of rows alike at {self.identity:.0%} identity"

    def _one_component(self, table: Table, units: np.ndarray, sizes: np.ndarray) -> str:
        largest = int(np.argmax(sizes))
        row = int(np.flatnonzero(units == largest)[0])
        return (
            f"{table.source.name}: at {self.identity:.0%} identity {sizes[largest]:,} of {table.n_rows:,} rows are one "
            f"connected component (with row {table.row_numbers[row]}, {table.ids[row].as_py()}), which leaves "
            f"{table.n_rows - sizes[largest]:,} rows to test. If they are variants of one protein use --split position or "
            "--split mutations; otherwise raise the threshold, as in --set split.identity=0.9"
        )


def leaves_enough(sizes: np.ndarray, share: float) -> bool:
    """Whether the components outside the largest (all sizes, (C,)) hold half of the `share` of rows wanted for a part."""
    n_rows = int(sizes.sum())
    return len(sizes) > 1 and n_rows - int(sizes.max()) >= 0.5 * share * n_rows
