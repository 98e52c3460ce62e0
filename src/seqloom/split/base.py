"""Partition: the role of every row in every fold, and why a row is unused. Splitter: a recipe for one.

A splitter decides which rows are tested (and, if it knows, which are valid). What is done for all of them alike is in
`seqloom.split.make`, what is found out about the result in `seqloom.split.audit`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from seqloom.findings import Finding
from seqloom.registry import Recipe
from seqloom.split.inputs import input_hashes, seen_groups
from seqloom.table import Table

TRAIN, VALID, TEST, UNUSED = range(4)
ROLE_NAMES = ("train", "valid", "test", "unused")


@dataclass(frozen=True)
class Partition:
    """The role of each row in each fold."""

    roles: np.ndarray  # int8 (folds, N): TRAIN, VALID, TEST or UNUSED
    reasons: tuple[str, ...] = ()  # why a row is unused, by code
    reason: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int16))  # (folds, N), -1 = in use

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return len(self.roles)

    def rows(self, fold: int, role: int) -> np.ndarray:
        """Rows with this role in this fold, int64."""
        return np.flatnonzero(self.roles[fold] == role)

    def counts(self, fold: int) -> dict[str, int]:
        """Rows by role."""
        numbers = np.bincount(self.roles[fold], minlength=4)
        return dict(zip(ROLE_NAMES, numbers.tolist(), strict=True))

    def without(self, rows: np.ndarray, why: str, folds: np.ndarray | None = None) -> Partition:
        """The partition with `rows` unused (in `folds`, default all), for the reason given."""
        chosen = np.zeros(self.roles.shape, bool)
        chosen[np.ix_(np.arange(self.n_folds) if folds is None else folds, rows)] = True
        chosen &= self.roles != UNUSED
        if not chosen.any():
            return self
        reason = self.reason if self.reason.size else np.full(self.roles.shape, -1, np.int16)
        reasons = self.reasons if why in self.reasons else (*self.reasons, why)
        return Partition(
            np.where(chosen, UNUSED, self.roles).astype(np.int8),
            reasons,
            np.where(chosen, reasons.index(why), reason).astype(np.int16),
        )

    def as_table(self, table: Table) -> pa.Table:
        """`partition.parquet`: row, id, fold, role, reason, and a hash of the row's inputs (see `input_hashes`)."""
        folds, n_rows = self.roles.shape
        names = pa.array([*ROLE_NAMES])
        why = pa.array([*self.reasons, ""])
        codes = self.reason if self.reason.size else np.full(self.roles.shape, -1)
        return pa.table(
            {
                "row": np.tile(table.row_numbers, folds),
                "id": pa.concat_arrays([table.ids.cast(pa.large_string())] * folds),
                "fold": np.repeat(np.arange(folds, dtype=np.int32), n_rows),
                "role": names.take(pa.array(self.roles.ravel())),
                "inputs": np.tile(input_hashes(table), folds),
                "reason": why.take(pa.array(np.where(codes < 0, len(self.reasons), codes).ravel())),
            }
        )


class Splitter(Recipe, ABC):
    """A recipe for a partition: the `[split]` section."""

    seed: int = 0
    """Seed of every random choice of the split."""
    shared: Literal["stop", "unused", "allow"] = "stop"
    """Test rows whose inputs also stand in training: stop the run, leave those training rows unused, or allow it."""
    inner: Annotated[int, Field(ge=1)] = 1
    """1 sets a tenth of the training rows aside as valid; k > 1 is nested cross-validation: of every fold k are made, in each
    of which another k-th of the training rows is valid."""

    @abstractmethod
    def assign(self, table: Table, strata: np.ndarray | None) -> Partition:
        """Roles of all rows. `strata`: class of each row, float64 (N,), NaN if unknown, or None for regression.

        A splitter may leave VALID empty; an inner split of its training rows is then made for it.
        """

    @property
    @abstractmethod
    def guarantee(self) -> str:
        """What holds for every test row of this partition, in one sentence."""

    def units(self, table: Table) -> np.ndarray:
        """What no part may divide: a number for each row, int64 (N,); rows that look alike to a model by default."""
        return seen_groups(table)

    def looser_units(self, table: Table) -> Iterator[tuple[np.ndarray, str]]:
        """Ever smaller units for the valid rows of a fold where `units` leave too few, with what is done in words; at last rows
        that look alike to a model, which are never divided."""
        yield seen_groups(table), "training rows were made valid rows at random"

    def findings(self, table: Table) -> tuple[Finding, ...]:
        """What to know of how the table was divided, beside the guarantee; nothing by default."""
        return ()
