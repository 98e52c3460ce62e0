"""Families of proteins whose history is known: simulated by descent, with pairs of columns that depend on each other.

Decides how a family grows: an ancestor, clades that split off it in turn, and members of clades, each step changing residues by
how conserved their columns are. Coupled columns change together, to another of the pairs of residues that go together, so that a
model of single columns cannot be right about them.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field

from seqloom.registry import Recipe
from seqloom.rule import AMINO_ACIDS
from seqloom.simulate import FREQUENCIES

CONSERVED = 0.15
"""Share of columns that hardly ever change."""
ALLOWED = 6
"""Residues that a column that does change may hold."""
PAIRS = 3
"""Pairs of residues that go together in two coupled columns."""
SUBFAMILY_CHANGES, MEMBER_CHANGES = 0.8, 0.25
"""Shares of changeable columns that change from the ancestor to a clade, and from the founder of a clade to a member."""
DELETED = 0.2
"""Share of clades that lack a stretch of up to four columns."""


class FamilySettings(Recipe):
    """A family of proteins that descend from one ancestor, no two alike in every residue."""

    rows: Annotated[int, Field(ge=2)] = 1000
    """Number of sequences."""
    length: Annotated[int, Field(ge=20, le=2000)] = 60
    """Columns of the family, the first of which is always M."""
    clades: Annotated[int, Field(ge=1)] = 60
    """Groups of closer relatives, of unequal sizes."""
    couplings: Annotated[int, Field(ge=0)] = 10
    """Pairs of columns that change together."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Same settings and seed, same table."""

    def table(self) -> pa.Table:
        """Columns `id`, `sequence`, `clade` (text) and `charge` (float64: K and R less D and E)."""
        random = np.random.default_rng([self.seed, 7])
        columns = _Columns(self, random)
        founders = [columns.changed(columns.ancestor, SUBFAMILY_CHANGES, random) for _ in range(self.clades)]
        gaps = [_gap(self.length, random) for _ in founders]
        sizes = random.pareto(1.5, self.clades) + 1
        found: dict[str, int] = {}
        while len(found) < self.rows:
            clade = int(random.choice(self.clades, p=sizes / sizes.sum()))
            residues = np.delete(columns.changed(founders[clade], MEMBER_CHANGES, random), gaps[clade])
            found.setdefault("".join(AMINO_ACIDS[each] for each in residues), clade)
        sequences = list(found)
        charge = [float(sum(each in "KR" for each in text) - sum(each in "DE" for each in text)) for text in sequences]
        return pa.table(
            {
                "id": [f"member-{number}" for number in range(1, self.rows + 1)],
                "sequence": sequences,
                "clade": [f"clade-{each}" for each in found.values()],
                "charge": charge,
            }
        )


class _Columns:
    """What each column may hold, and which columns change together."""

    def __init__(self, settings: FamilySettings, random: np.random.Generator) -> None:
        length = settings.length
        share = FREQUENCIES / FREQUENCIES.sum()
        self.allowed = np.stack([random.choice(20, ALLOWED, replace=False, p=share) for _ in range(length)])
        self.ancestor = self.allowed[:, 0].copy()
        self.ancestor[0] = AMINO_ACIDS.index("M")
        self.free = np.flatnonzero(random.random(length) >= CONSERVED)
        self.free = self.free[self.free > 0]
        n_coupled = min(settings.couplings, len(self.free) // 3)
        self.coupled = random.permutation(self.free)[: 2 * n_coupled].reshape(-1, 2)
        self.free = np.setdiff1d(self.free, self.coupled.ravel())
        self.together = self.allowed[self.coupled][:, :, :PAIRS]  # (pairs, 2, PAIRS)
        for pair, columns in enumerate(self.coupled):
            self.ancestor[columns] = self.together[pair, :, 0]

    def changed(self, residues: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
        """Residues (L,) of a descendant of the given ones."""
        out = residues.copy()
        moved = self.free[random.random(len(self.free)) < share]
        out[moved] = self.allowed[moved, random.integers(ALLOWED, size=len(moved))]
        for pair in np.flatnonzero(random.random(len(self.coupled)) < share):
            out[self.coupled[pair]] = self.together[pair, :, random.integers(PAIRS)]
        return out


def _gap(length: int, random: np.random.Generator) -> np.ndarray:
    """Columns that a clade lacks."""
    if random.random() >= DELETED:
        return np.zeros(0, np.int64)
    start, n = int(random.integers(2, length - 6)), int(random.integers(1, 5))
    return np.arange(start, start + n)
