"""The order in which rows of a store are drawn when it is read from disk: blocks at random, then rows within a pool of blocks.

Blocks of `BLOCK` neighbouring rows come in a keyed order. The rows of this order are cut into pools of `POOL_BATCHES` batches
or more, and of `POOL_BLOCKS` blocks or more; those of a pool are shuffled, sorted by length and cut into batches, and its
batches come in a keyed order. A batch is thus made of rows from all over a pool, while what is read at a time is a few megabytes
in long pieces. Nothing is kept from one batch to the next: (seed, epoch, position) says what a batch holds, so a training that
was cut off goes on in the middle of an epoch, and processes that work apart may take every w-th batch of the same order. (Those
that train one net together share the rows of each batch.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from seqloom.store.gather import Located
from seqloom.store.layout import BLOCK
from seqloom.store.native import loops, read_only
from seqloom.store.rows import Store
from seqloom.store.subset import PART, Everything, Subset
from seqloom.tokens import feistel_keys, keyed_permutation

POOL_BATCHES, POOL_BLOCKS = 64, 128
EPOCH_KEYS = 1_000_003
"""Permutations of an epoch have keys of their own below this many: one of its blocks, two of each pool."""


@dataclass(frozen=True)
class BlockOrder:
    """Rows of a store once each per epoch, in batches of similar length and of `size` rows; one of an epoch has fewer.

    Every epoch has the same number of batches.
    """

    store: Store
    size: int
    seed: int
    subset: Subset | None = None
    """The rows to draw; None for all."""
    native: bool | None = None
    """Which form of the loops runs, as in `seqloom.store.native`."""

    @cached_property
    def n_rows(self) -> int:
        """Rows of an epoch."""
        return int(self._counts.sum())

    @property
    def n_batches(self) -> int:
        """Batches of an epoch, of all processes together."""
        return -(-self.n_rows // self.size)

    def batches(self, epoch: int, start: int = 0, rank: int = 0, world: int = 1) -> Iterator[Located]:
        """The batches of an epoch from position `start` on whose position leaves `rank` when divided by `world`.

        Where `world` does not divide the number of batches, the last ranks have one less than the first.
        """
        assert 0 <= rank < world
        blocks = self._permutation(len(self._counts), epoch * EPOCH_KEYS)
        ends = np.cumsum(self._counts[blocks])
        space = None
        for number, (begin, end) in enumerate(pairwise(self._pools.tolist())):
            mine = [position for position in range(max(begin, start), end) if position % world == rank]
            if not mine:
                continue
            if space is None:
                space = Space.of(int(np.diff(self._pools).max()) * self.size)
            key = epoch * EPOCH_KEYS + 2 * number + 1
            rows = slice(begin * self.size, min(end * self.size, self.n_rows))
            pool = self._pool(blocks, ends, rows, key, space)
            parts = self._permutation(end - begin, key + 1)
            for position in mine:
                part = int(parts[position - begin]) * self.size
                yield Located(*np.array(pool[part : part + self.size].T, order="C"))

    def batch(self, epoch: int, position: int) -> Located:
        """One batch of an epoch, counted from 0; IndexError past the last."""
        if not 0 <= position < self.n_batches:
            raise IndexError(f"batch {position} of {self.n_batches}")
        return next(self.batches(epoch, position))

    @cached_property
    def _rows(self) -> Subset:
        return self.subset or Everything(len(self.store))

    @cached_property
    def _counts(self) -> np.ndarray:
        """Rows drawn from each block, int64 (ceil(N / BLOCK),)."""
        assert self._rows.n_rows == len(self.store)
        return self._rows.counts()

    @cached_property
    def _pools(self) -> np.ndarray:
        """Position of the first batch of every pool, and how many batches there are, int64."""
        least = max(POOL_BATCHES, -(-POOL_BLOCKS * BLOCK // self.size))
        n_pools = max(self.n_batches // least, 1)
        return np.arange(n_pools + 1) * self.n_batches // n_pools

    def _pool(self, blocks: np.ndarray, ends: np.ndarray, rows: slice, key: int, space: Space) -> np.ndarray:
        """The (row, begin, length) at these places of the blocks' order, shuffled by key and then sorted by length.

        int64 (M, 3), in `space`. `ends`: how many rows come up to the end of each block.
        """
        n_rows = rows.stop - rows.start
        first, last = np.searchsorted(ends, [rows.start, rows.stop - 1], side="right")
        skip = rows.start - (int(ends[first - 1]) if first else 0)
        blocks = blocks[first : last + 1]
        compiled = loops(self.native)
        if compiled is None:
            pool = self._drawn(blocks, skip, n_rows)
            order = self._permutation(n_rows, key)
            lengths = pool[order, 2].astype(self.store.lengths.dtype)  # short integers are sorted by their digits
            return pool[order[np.argsort(lengths, kind="stable")]]
        pool, order, by_length = space.pool[:n_rows], space.order[:n_rows], space.by_length[:n_rows]
        starts, lengths = read_only(self.store.starts), read_only(self.store.lengths)
        within = [self._rows.within(part) for part in _pieces(blocks)]
        members = read_only(np.concatenate(within).view(np.uint8).reshape(-1))
        n_drawn = compiled.drawn(read_only(blocks), BLOCK, starts, lengths, members, skip, pool)
        assert n_drawn == n_rows
        self._permutation(n_rows, key, order)
        compiled.by_length(order, pool, by_length)
        return by_length

    def _permutation(self, n: int, key: int, out: np.ndarray | None = None) -> np.ndarray:
        """`keyed_permutation` in the form that is asked for, into `out` where that is given, int64 (n,)."""
        compiled = loops(self.native)
        if compiled is None:
            return keyed_permutation(n, self.seed, key)
        out = np.empty(n, np.int64) if out is None else out
        out[:1] = 0  # of a single number there is nothing to compute
        if n > 1:
            keys, half_bits = feistel_keys(n, self.seed, key)
            compiled.keyed_slice(tuple(keys), half_bits, n, 0, out)
        return out

    def _drawn(self, blocks: np.ndarray, skip: int, n_rows: int) -> np.ndarray:
        """The (row, begin, length) of these blocks that are drawn, in their order, int64 (`n_rows`, 3).

        But for the first `skip` and those after `n_rows`.
        """
        return np.concatenate([self._members(part) for part in _pieces(blocks)])[skip : skip + n_rows]

    def _members(self, blocks: np.ndarray) -> np.ndarray:
        """The (row, begin, length) of these blocks that are drawn, in their order, int64 (M, 3)."""
        rows = blocks[:, None] * BLOCK + np.arange(BLOCK)
        lengths = self.store.lengths[np.minimum(rows, len(self.store) - 1)].astype(np.int64)
        begins = np.cumsum(lengths, 1) - lengths + self.store.starts[blocks][:, None]
        inside = np.flatnonzero(self._rows.within(blocks))
        return np.stack([each.ravel()[inside] for each in (rows, begins, lengths)], 1)


def _pieces(blocks: np.ndarray) -> list[np.ndarray]:
    """Blocks in pieces that are looked at one at a time: a pool has all blocks there are where few rows are drawn of each."""
    return [blocks[start : start + PART] for start in range(0, len(blocks), PART)]


class Space(NamedTuple):
    """What the loops write to, made once for all pools of an epoch: new memory for each would cost more than filling it."""

    pool: np.ndarray  # int64 (M, 3)
    order: np.ndarray  # int64 (M,)
    by_length: np.ndarray  # int64 (M, 3)

    @staticmethod
    def of(n_rows: int) -> Space:
        """For pools of up to that many rows; in one piece, as large ones are given to a process in larger pages."""
        whole = np.empty(7 * n_rows, np.int64)
        pool, by_length, order = np.split(whole, [3 * n_rows, 6 * n_rows])
        return Space(pool.reshape(-1, 3), order, by_length.reshape(-1, 3))
