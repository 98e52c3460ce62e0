"""Long tables, with a row for each molecule and target, folded to one row for each molecule.

Consecutive rows of equal sequence and components are one molecule, also across pieces and tables. Rows of a molecule that do
not stand together are found at the end, in `seqloom.store.repeats`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.store.intake import DISAGREEMENT, ENTITY, LABEL, Columns, Rows, component_ids, texts
from seqloom.store.labels import read_labels
from seqloom.store.levels import Levels


class Entries(NamedTuple):
    """n rows of a long table."""

    sequences: pa.Array  # large_string (n,)
    ids: np.ndarray  # int32 (C, n)
    target: np.ndarray  # int32 (n,), -1 where it is none that is known
    ones: np.ndarray  # bool (n,)
    known: np.ndarray  # bool (n,)
    note: np.ndarray  # int32 (n,): 0, or 1 + which of `notes` says what is wrong with the row
    file: np.ndarray  # int32 (n,)
    row: np.ndarray  # int64 (n,)

    def slice(self, start: int, stop: int) -> Entries:
        """Rows start, ..., stop - 1."""
        part = slice(start, stop)
        return Entries(self.sequences.slice(start, stop - start), self.ids[:, part], *(each[part] for each in self[2:]))


class Fold:
    """Takes pieces of long tables in turn, and gives the molecules that are complete."""

    def __init__(self, columns: Columns, levels: Sequence[Levels]) -> None:
        self.columns, self.levels = columns, levels
        self.held: Entries | None = None
        """Rows of the last molecule, which may go on in the next piece."""
        self.notes: list[tuple[str, str]] = []

    def take(self, table: pa.Table, file: int, first: int) -> Rows:
        """The molecules that are complete once rows `first`, `first` + 1, ... of table `file` are known."""
        entries = self._entries(table, file, first)
        if self.held is not None:
            entries = _joined(self.held, entries)
        bounds = np.append(_beginnings(entries), len(entries.row))
        last = int(bounds[-2])
        rows = self._rows(entries, bounds[:-1])
        self.held = entries.slice(last, len(entries.row))
        return rows

    def rest(self) -> Rows | None:
        """The last molecule, None where there was no row at all."""
        entries, self.held = self.held, None
        return None if entries is None else self._rows(entries, np.array([0, len(entries.row)]))

    def begins(self) -> tuple[int, int]:
        """Table and row of the first row that no complete molecule has."""
        if self.held is None:
            raise ValueError("nothing is held")
        return int(self.held.file[0]), int(self.held.row[0])

    def _entries(self, table: pa.Table, file: int, first: int) -> Entries:
        n = table.num_rows
        ones, known, odd = read_labels(table[self.columns.value])
        named = pa.array([*self.columns.targets], pa.large_string())
        entity = table[self.columns.entity]
        if pa.types.is_dictionary(entity.type):
            entity = entity.cast(entity.type.value_type)
        entity = entity.cast(pa.large_string())
        target = pc.fill_null(pc.index_in(entity, named), -1).to_numpy().astype(np.int32)
        note = np.zeros(n, np.int32)
        for row in np.flatnonzero(odd | (target < 0)).tolist():
            name = entity[row].as_py()
            about = (
                (ENTITY, f"{name}") if target[row] < 0 else (LABEL, f"{name}={table[self.columns.value][row].as_py()}")
            )
            self.notes.append(about)
            note[row] = len(self.notes)
        ids = component_ids(table, self.columns, self.levels)
        where = np.full(n, file, np.int32), np.arange(first, first + n, dtype=np.int64)
        return Entries(texts(table[self.columns.sequence]), ids, target, ones, known, note, *where)

    def _rows(self, entries: Entries, bounds: np.ndarray) -> Rows:
        n_targets, n = len(self.columns.targets), len(bounds) - 1
        end = int(bounds[-1])
        member = np.repeat(np.arange(n), np.diff(bounds))
        target, known = entries.target[:end], entries.known[:end] & (entries.target[:end] >= 0)
        cell = (target.astype(np.int64) * n + member)[known]
        positive = np.bincount(cell[entries.ones[:end][known]], minlength=n_targets * n).reshape(n_targets, n) > 0
        negative = np.bincount(cell[~entries.ones[:end][known]], minlength=n_targets * n).reshape(n_targets, n) > 0
        bad: dict[int, tuple[str, str]] = {}
        for row in np.flatnonzero(entries.note[:end]).tolist():
            bad.setdefault(int(member[row]), self.notes[entries.note[row] - 1])
        for place, molecule in np.argwhere(positive & negative).tolist():
            its = slice(int(bounds[molecule]), int(bounds[molecule + 1]))
            said = (entries.target[its] == place) & entries.known[its]
            bad.setdefault(molecule, (DISAGREEMENT, self._said(place, entries, its, said)))
        first = bounds[:-1]
        return Rows(
            entries.sequences.take(pa.array(first)), entries.ids[:, first], positive, positive | negative,
            entries.file[:end], entries.row[:end], bounds, bad,
        )  # fmt: skip

    def _said(self, place: int, entries: Entries, its: slice, said: np.ndarray) -> str:
        """`BRD4 is 1 in row 7, 0 in row 8`."""
        values = zip(entries.row[its][said].tolist(), entries.ones[its][said].tolist(), strict=True)
        return f"{self.columns.targets[place]} is " + ", ".join(f"{int(one)} in row {row + 1}" for row, one in values)


def _joined(one: Entries, other: Entries) -> Entries:
    sequences = pa.concat_arrays([one.sequences, other.sequences])
    rest = (np.concatenate(pair, axis=-1) for pair in zip(one[1:], other[1:], strict=True))
    return Entries(sequences, *rest)


def _beginnings(entries: Entries) -> np.ndarray:
    """Rows at which another molecule begins, int64."""
    n = len(entries.row)
    other = np.ones(n, bool)
    if n > 1:
        differs = pc.not_equal(entries.sequences.slice(1), entries.sequences.slice(0, n - 1))
        other[1:] = differs.to_numpy(zero_copy_only=False)
        other[1:] |= (entries.ids[:, 1:] != entries.ids[:, :-1]).any(0)
    return np.flatnonzero(other)
