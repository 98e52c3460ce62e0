"""Which rows of a store are meant, without a list of them: a byte for each row, or runs of rows.

A part of 10^8 rows as a list would take 8 bytes for each row, once per process; these are read a few blocks at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from seqloom.store.layout import BLOCK

PART = 2**9
"""Blocks counted at a time: what is computed of their rows stays in the cache, and takes some megabytes."""


class Subset(ABC):
    """Some of N rows."""

    n_rows: int

    @abstractmethod
    def within(self, blocks: np.ndarray) -> np.ndarray:
        """Which rows of these blocks (int64 (K,)) are in it, bool (K, BLOCK); rows past the last one are not."""

    def counts(self) -> np.ndarray:
        """Rows of each block that are in it, int64 (ceil(N / BLOCK),); by one pass."""
        n_blocks = -(-self.n_rows // BLOCK)
        parts = [np.arange(start, min(start + PART, n_blocks)) for start in range(0, n_blocks, PART)]
        return np.concatenate([np.zeros(0, np.int64), *(self.within(part).sum(1, dtype=np.int64) for part in parts)])


@dataclass(frozen=True)
class Everything(Subset):
    """All rows."""

    n_rows: int

    def within(self, blocks: np.ndarray) -> np.ndarray:
        """All but those past the last row."""
        return np.arange(BLOCK) < (self.n_rows - blocks * BLOCK)[:, None]


@dataclass(frozen=True)
class Members(Subset):
    """The rows whose byte is not 0."""

    bytes_of: np.ndarray  # bool or uint8 (N,), in memory or mapped

    def __post_init__(self) -> None:
        assert self.bytes_of.dtype in (np.bool_, np.uint8)

    @property
    def n_rows(self) -> int:  # type: ignore[override]
        """N."""
        return len(self.bytes_of)

    def within(self, blocks: np.ndarray) -> np.ndarray:
        """Whole blocks are read as rows of a table, the last one by itself."""
        n_whole = self.n_rows // BLOCK
        inside = np.zeros((len(blocks), BLOCK), bool)
        whole = blocks < n_whole
        inside[whole] = self.bytes_of[: n_whole * BLOCK].reshape(-1, BLOCK)[blocks[whole]] != 0
        inside[~whole, : self.n_rows - n_whole * BLOCK] = self.bytes_of[n_whole * BLOCK :] != 0
        return inside


@dataclass(frozen=True)
class Runs(Subset):
    """The rows from a start up to its stop, for some starts; ascending, and apart from each other."""

    n_rows: int
    starts: np.ndarray  # int64 (R,)
    stops: np.ndarray  # int64 (R,)

    def __post_init__(self) -> None:
        ends = np.stack([self.starts, self.stops], 1).ravel()
        assert (np.diff(ends) >= 0).all(), "runs ascend and do not overlap"
        assert not len(ends) or (ends[0] >= 0 and ends[-1] <= self.n_rows), "runs lie within the store"

    def within(self, blocks: np.ndarray) -> np.ndarray:
        """A row is in a run if more of them have begun than ended."""
        inside = np.zeros((len(blocks), BLOCK), bool)
        first = np.searchsorted(self.stops, blocks * BLOCK, side="right")
        last = np.searchsorted(self.starts, (blocks + 1) * BLOCK, side="left")
        for place in np.flatnonzero(first < last):
            begin = blocks[place] * BLOCK
            for run in range(first[place], last[place]):
                inside[place, max(self.starts[run] - begin, 0) : self.stops[run] - begin] = True
        return inside
