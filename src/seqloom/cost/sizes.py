"""Bytes that grow with the rows of a library, as the code that makes them has it: files of a store, and arrays of a training."""

from __future__ import annotations

from dataclasses import dataclass

from seqloom.store.layout import BLOCK, ID_TYPES, LENGTH_TYPES, Manifest, label_bytes
from seqloom.store.order import POOL_BATCHES, POOL_BLOCKS
from seqloom.store.rows import STEP
from seqloom.store.subset import PART

PLACE = 8
"""Bytes of a number of a row or of a place among the symbols."""
POOL_COLUMNS = 7
"""Numbers of each row of a pool: row, begin and length, before and after they are sorted, and the order of them."""
OBJECT = 40
"""Bytes of a number in a list, its place included."""


@dataclass(frozen=True)
class RowBytes:
    """Bytes of one row in the files of a store, and bytes that do not grow with the rows."""

    symbols: float
    """Mean length."""
    length: int
    labels: int
    ids: int
    constant: int = 0
    """Names of levels."""

    @staticmethod
    def of(manifest: Manifest) -> RowBytes:
        """Those of this store."""
        return RowBytes(
            manifest.tokens / max(manifest.rows, 1),
            LENGTH_TYPES[manifest.length_type].itemsize,
            label_bytes(len(manifest.targets)),
            sum(ID_TYPES[each.type].itemsize for each in manifest.components),
            sum(each.bytes for each in manifest.files if each.name.startswith("levels-")),
        )

    def files(self, n: int) -> dict[str, float]:
        """Bytes of every kind of file of a store of n rows."""
        return {
            "symbols": n * self.symbols,
            "lengths": n * self.length,
            "labels": n * self.labels,
            "ids": n * self.ids,
            "starts": PLACE * (blocks(n) + 1),
            "levels": self.constant,
        }

    def total(self, n: int) -> float:
        """Bytes of a store of n rows, but for its manifest."""
        return sum(self.files(n).values())

    def on_device(self, n: int) -> float:
        """Bytes of the symbols, lengths and labels of n rows, and of where they begin, on a device."""
        length = 1 if self.length == 1 else 4  # as `DeviceStore` keeps them
        return n * (self.symbols + length + self.labels) + anchors(n)


def blocks(n: int) -> int:
    """Blocks of n rows."""
    return -(-n // BLOCK)


def anchors(n: int) -> int:
    """Bytes of `Store.anchors`."""
    return PLACE * -(-n // STEP)


def order_arrays(n: int, batch: int) -> dict[str, int]:
    """Bytes in the memory of a process that trains on a store of n rows, whatever net it trains.

    anchors: where every 32nd row begins; blocks: rows of each block, their order in an epoch and how many rows come up to the end
    of each; pool: the rows that are shuffled together; pools: where each of these begins.
    """
    pool_rows = min(max(POOL_BATCHES * batch, POOL_BLOCKS * BLOCK), max(n, 1))
    return {
        "anchors": anchors(n),
        "blocks": 4 * PLACE * blocks(n),
        "pool": POOL_COLUMNS * PLACE * pool_rows,
        "pools": OBJECT * -(-n // pool_rows),
    }


def counted_rows(n: int) -> int:
    """Rows whose parts are told at a time when a part of a store of n rows is counted."""
    return min(blocks(n), PART) * BLOCK
