"""Sites of a protein that no training row has mutated: does a model know more than how each site tolerates change?

The schemes are those of ProteinGym (Notin et al. 2023), whose random split its users found to flatter models.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from seqloom.connected import connected
from seqloom.errors import DataError
from seqloom.findings import Finding
from seqloom.mutation.families import Families
from seqloom.mutation.variants import needed_families, told
from seqloom.registry import register
from seqloom.split.base import TEST, TRAIN, Partition, Splitter
from seqloom.split.deal import INNER_SHARE
from seqloom.split.inputs import seen_groups
from seqloom.split.measured import measured
from seqloom.table import Table


class _Sites(NamedTuple):
    """The mutated sites of a table, numbered through all families."""

    rows: np.ndarray  # int64 (M,), the row of each mutation
    numbers: np.ndarray  # int64 (M,), the site of each mutation, 0..n_sites - 1
    family: np.ndarray  # int64 (n_sites,), rising; families whose wild types are near and as long count as one


@register("splitter", "position")
class PositionSplit(Splitter):
    """Sites are tested or trained on, never both.

    Rows with mutations on both sides are unused in that fold; rows without a mutation, and variants of nothing, are trained
    on. An insertion belongs to the site before it.
    """

    scheme: Literal["modulo", "contiguous"] = "modulo"
    """modulo deals the mutated sites in turn; contiguous deals stretches of neighbouring sites."""
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the mutated sites that are tested when there is one fold."""
    folds: Annotated[int, Field(ge=1)] = 1
    """1 holds out `test` of the sites once; k > 1 tests every site once, in k folds."""

    def assign(self, table: Table, strata: np.ndarray | None) -> Partition:
        """Roles by mutated sites; DataError where rows are no variants, sites too few, or a side would be empty."""
        sites = _sites(needed_families(table, self.kind))
        n_sites = len(sites.family)
        if n_sites < max(self.folds, 2):
            raise DataError(
                f"{table.source.name}: {n_sites} mutated sites cannot make {max(self.folds, 2)} parts; "
                "use fewer folds (--folds), or another split such as --set split.kind=random"
            )
        parts = self._parts(sites.family)
        n_mutations = np.bincount(sites.rows, minlength=table.n_rows)
        roles, mixed = [], []
        for fold in range(self.folds):
            tested = parts[sites.numbers] == fold
            n_tested = np.bincount(sites.rows[tested], minlength=table.n_rows)
            mixed.append((n_tested > 0) & (n_tested < n_mutations))
            roles.append(np.where((n_tested > 0) & ~mixed[-1], TEST, TRAIN))
            self._refuse_empty(table, fold, roles[-1], mixed[-1])
        partition = Partition(np.stack(roles).astype(np.int8))
        for fold, rows in enumerate(mixed):
            partition = partition.without(
                np.flatnonzero(rows), "mutated at tested sites and at others", np.array([fold])
            )
        return partition

    def units(self, table: Table) -> np.ndarray:
        """Rows joined by shared sites; equal inputs alone where that would join more rows than an inner split wants."""
        sites = _sites(needed_families(table, self.kind))
        seen = seen_groups(table)
        n_seen = int(seen.max(initial=-1)) + 1
        joined = connected(seen[sites.rows], n_seen + sites.numbers, n_seen + len(sites.family))[seen]
        return joined if np.bincount(joined).max() <= INNER_SHARE * table.n_rows else seen

    def findings(self, table: Table) -> tuple[Finding, ...]:
        """The families of variants."""
        return told(table)

    @property
    def guarantee(self) -> str:
        """What holds for every test row."""
        return "no test row is mutated at a site at which any training row of its family is mutated"

    def _parts(self, family: np.ndarray) -> np.ndarray:
        """The fold that tests each site, int64 (n_sites,); -1 for sites that are never tested."""
        rng = np.random.default_rng([self.seed, 0x517E])
        groups = np.split(np.arange(len(family)), np.flatnonzero(np.diff(family)) + 1)
        parts = np.full(len(family), -1, np.int64)
        for group in groups:
            own = np.arange(len(group))
            # One protein of many sites starts at its first; of many families each starts elsewhere, so that folds are alike.
            shift = 0 if len(groups) == 1 else int(rng.integers(self.folds))
            if self.folds > 1:
                turn = own if self.scheme == "modulo" else own * self.folds // len(own)
                parts[group] = (turn + shift) % self.folds
            else:
                parts[group[self._held_out(own, rng, alone=len(groups) == 1)]] = 0
        if self.folds == 1 and not (parts == 0).any():
            parts[int(rng.integers(len(parts)))] = 0
        return parts

    def _held_out(self, own: np.ndarray, rng: np.random.Generator, *, alone: bool) -> np.ndarray:
        """Which of the sites `own` (0..n - 1) of one family are tested, bool (n,), about `test` of them."""
        n_sites = len(own)
        phase = rng.random()
        n_tested = int(n_sites * self.test + phase)
        if alone:
            n_tested = int(np.clip(n_tested, 1, n_sites - 1))
        start = int(rng.integers(n_sites - n_tested + 1))
        if self.scheme == "contiguous":
            return (own >= start) & (own < start + n_tested)
        turned = (own + start) % n_sites
        return (turned + 1) * n_tested // n_sites > turned * n_tested // n_sites

    def _refuse_empty(self, table: Table, fold: int, roles: np.ndarray, mixed: np.ndarray) -> None:
        counted = measured(table) & ~mixed
        for role, name in ((TEST, "tested"), (TRAIN, "trained on")):
            if not (counted & (roles == role)).any():
                raise DataError(
                    f"{table.source.name}: fold {fold}: no row with a target can be {name}, as {int(mixed.sum()):,} of "
                    f"{table.n_rows:,} rows are mutated at tested sites and at others; use another share (--set "
                    f"split.test=0.5) or number of folds, or another split such as --set split.kind=mutations"
                )


def _sites(families: Families) -> _Sites:
    mutations = families.mutations
    own = families.label[mutations.rows]
    _, alike = np.unique(np.stack([families.kin, families.wild_types.lengths]), axis=1, return_inverse=True)
    width = int(families.wild_types.lengths.max(initial=0)) + 1
    keys, numbers = np.unique(alike.ravel()[own] * width + mutations.sites, return_inverse=True)
    return _Sites(mutations.rows, numbers, keys // width)
