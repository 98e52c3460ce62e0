"""Rows of a store by their components: those of known blocks, those of blocks that no training row holds, and the rest.

Some levels of each component are held out. A row is *share* if none of its levels is held out, *nonshare* if all of them are, and
*mixed* otherwise: it can stand on neither side. Of the share rows some are valid and some are tested, by a hash of their number;
every fold has other valid rows, and the tested rows are the same in all. A store without components has share rows only.
As `seqloom.split.components` does it for tables, but that no list of rows is made: which rows stand in a part is told block by
block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from seqloom.connected import connected
from seqloom.errors import ConfigError, DataError, LeakError
from seqloom.splitmix import STEP, splitmix64
from seqloom.store.layout import BLOCK
from seqloom.store.rows import Store
from seqloom.store.subset import Subset

PARTS = ("train", "valid", "share", "nonshare", "mixed")
"""`share` are test rows of known blocks, `nonshare` test rows of blocks held out; `mixed` rows are used for nothing."""
HASHED = 2**32


@dataclass(frozen=True)
class ComponentParts:
    """The parts of a store, by the levels that are held out."""

    store: Store
    held: Mapping[str, np.ndarray]  # bool (levels + 1,) by component; the last is for rows without one
    valid: float
    """Share of the share rows that are valid."""
    test: float
    """Share of them that are tested."""
    seed: int
    fold: int = 0
    """Which of the shares of the share rows is valid: that from `fold * valid` to `(fold + 1) * valid`."""

    @staticmethod
    def of_rows(store: Store, *, valid: float = 0.05, test: float = 0.05, seed: int = 0) -> ComponentParts:
        """Without a look at components: every row is one of known blocks, and some are tested; ConfigError as by `draw`."""
        _refuse_shares(valid, test)
        return ComponentParts(store, {}, valid, test, seed)

    @staticmethod
    def draw(
        store: Store,
        columns: Sequence[str] = (),
        held_out: float = 0.2,
        *,
        valid: float = 0.05,
        test: float = 0.05,
        seed: int = 0,
    ) -> ComponentParts:
        """Hold out that share of the levels of each component, the same names in all components that have any in common.

        Names are held out in the order of a hash of each with the seed, so that neither rows nor their order matter; where there
        are more names, more of them are held out, and the last of these can be others. A row that lacks a component counts as
        one whose level is not held out. `columns`: components to divide by, all by default.
        ConfigError for shares that leave nothing, unknown columns, or a store without components.
        """
        known = [each.name for each in store.manifest.components]
        unknown = [name for name in columns if name not in known]
        if unknown or not known:
            what = f"no component {', '.join(map(repr, unknown))}" if unknown else "no components"
            raise ConfigError(
                f"{store.folder}: {what} (components: {', '.join(known) or 'none'}); name them when packing, with --component "
                "COLUMN,COLUMN"
            )
        if not 0 < held_out < 1:
            raise ConfigError(f"held_out = {held_out:g} is not above 0 and below 1")
        _refuse_shares(valid, test)
        chosen = list(columns) or known
        names = {name: store.levels(name) for name in chosen}
        held: dict[str, np.ndarray] = {}
        for family in families(names):
            every = sorted({each for name in family for each in names[name]})
            order = sorted(every, key=lambda each: _hash(each, seed))
            out = set(order[: max(round(held_out * len(every)), 1)])
            if len(out) == len(every):
                raise DataError(
                    f"{store.folder}: {' and '.join(family)} have {len(every)} level, and holding it out leaves nothing"
                )
            held |= {name: np.array([*(each in out for each in names[name]), False]) for name in family}
        return ComponentParts(store, {name: held[name] for name in chosen}, valid, test, seed)

    def part(self, name: str) -> Subset:
        """The rows of one of `PARTS`."""
        return Part(self, PARTS.index(name))

    def parts_of(self, rows: np.ndarray) -> np.ndarray:
        """Which of `PARTS` each of `rows` (int64 (M,)) is in, int8 (M,)."""
        n_held = np.zeros(len(rows), np.int8)
        for name, held in self.held.items():
            n_held += held[self.store.components[name][rows]]
        place = _row_hash(rows, self.seed)
        is_valid = (place >= self.fold * self.valid) & (place < (self.fold + 1) * self.valid)
        kind = np.where(place >= 1 - self.test, 2, np.where(is_valid, 1, 0))
        return np.where(n_held == 0, kind, np.where(n_held == len(self.held), 3, 4)).astype(np.int8)

    def counts(self) -> dict[str, int]:
        """Rows of every part, by one pass."""
        totals = np.zeros(len(PARTS), np.int64)
        for start in range(0, len(self.store), BLOCK * BLOCK):
            rows = np.arange(start, min(start + BLOCK * BLOCK, len(self.store)))
            totals += np.bincount(self.parts_of(rows), minlength=len(PARTS))
        return dict(zip(PARTS, totals.tolist(), strict=True))

    def refuse_all_but_train(self, rows: np.ndarray) -> None:
        """LeakError if any of `rows` (int64 (M,)) is no training row; called for every batch that a model learns from."""
        parts = self.parts_of(rows)
        others = np.flatnonzero(parts)
        if len(others):
            row, part = int(rows[others[0]]), PARTS[parts[others[0]]]
            raise LeakError(
                f"{self.store.folder}: {len(others):,} of {len(rows):,} rows of a batch are no training rows; the first is row "
                f"{row + 1:,}, which is {part}. Nothing was learnt from them."
            )


@dataclass(frozen=True)
class Part(Subset):
    """The rows of one part."""

    parts: ComponentParts
    place: int

    @property
    def n_rows(self) -> int:  # type: ignore[override]
        """N."""
        return len(self.parts.store)

    def within(self, blocks: np.ndarray) -> np.ndarray:
        """Told by the components of the rows of these blocks."""
        rows = (blocks[:, None] * BLOCK + np.arange(BLOCK)).ravel()
        inside = rows < self.n_rows
        inside[inside] = self.parts.parts_of(rows[inside]) == self.place
        return inside.reshape(-1, BLOCK)


def _refuse_shares(valid: float, test: float) -> None:
    if min(valid, test) < 0 or valid + test >= 1:
        raise ConfigError(f"valid = {valid:g} and test = {test:g}: neither is below 0, and together they are below 1")


def families(names: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Components, by the names of their levels, in groups of those that have any name in common."""
    columns = list(names)
    sets = [set(each) for each in names.values()]
    links = [(i, j) for i in range(len(sets)) for j in range(i) if sets[i] & sets[j]]
    left, right = (np.array([link[side] for link in links], np.int64) for side in (0, 1))
    labels = connected(left, right, len(columns))
    return [[columns[i] for i in np.flatnonzero(labels == label)] for label in np.unique(labels)]


def _hash(name: str, seed: int) -> bytes:
    return blake2b(f"{seed}\0{name}".encode(), digest_size=16).digest()


def _row_hash(rows: np.ndarray, seed: int) -> np.ndarray:
    """A number from 0 to 1 for each row, that depends on the seed and the row alone, float64 (M,)."""
    key = np.uint64(int.from_bytes(_hash("rows", seed)[:8], "little"))
    # The stream that splitmix64 makes from this key on, a number for each row.
    hashed = splitmix64((rows - 1).astype(np.uint64) * STEP + key) >> np.uint64(32)
    return np.asarray(hashed.astype(np.float64) / HASHED)
