"""Rows of a store at any places, as one padded batch or end to end: the loop that feeds training from a store.

Which rows stand in a batch is decided in `seqloom.store.order`; the same on a device is `seqloom.store.device`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from seqloom.errors import DataError
from seqloom.store.native import loops, read_only
from seqloom.tokens import WIDTH_STEP, Batch, Tokens

if TYPE_CHECKING:
    from seqloom.store.rows import Store


class Located(NamedTuple):
    """M rows of a store, and where they lie in its `values`."""

    rows: np.ndarray  # int64 (M,)
    begins: np.ndarray  # int64 (M,)
    lengths: np.ndarray  # int64 (M,)


def locate(store: Store, rows: np.ndarray, *, native: bool | None = None) -> Located:
    """Where `rows` (int (M,)) lie; IndexError for rows that are not in the store."""
    rows = np.asarray(rows, np.int64)
    begins = store.begins(rows, native=native)
    return Located(rows, begins, store.lengths[rows].astype(np.int64))


def padded(
    store: Store,
    rows: np.ndarray | Located,
    width: int | None = None,
    *,
    step: int = WIDTH_STEP,
    native: bool | None = None,
) -> Batch:
    """`rows` padded on the right to their longest, rounded up to a multiple of `step`, or cut to `width`.

    `native` chooses the form as in `seqloom.store.native`. IndexError for rows that are not in the store, DataError where
    its files do not fit together.
    """
    where = rows if isinstance(rows, Located) else locate(store, rows, native=native)
    if width is None:
        width = -(-max(int(where.lengths.max(initial=1)), 1) // step) * step
    compiled = loops(native)
    if compiled is None:
        return _padded(store, where, width)
    ids, mask = np.empty((len(where.rows), width), np.uint8), np.empty((len(where.rows), width), bool)
    outside = compiled.padded(
        read_only(store.values),
        read_only(where.begins),
        read_only(where.lengths),
        width,
        ids.reshape(-1),
        mask.view(np.uint8).reshape(-1),
    )
    if outside:
        raise _damaged(store, outside)
    return Batch(ids, mask, where.rows)


def ragged(store: Store, rows: np.ndarray | Located, *, native: bool | None = None) -> Tokens:
    """Tokens of `rows` (int (M,)), in that order; raises as `padded` does."""
    where = rows if isinstance(rows, Located) else locate(store, rows, native=native)
    offsets = np.zeros(len(where.rows) + 1, np.int64)
    np.cumsum(where.lengths, out=offsets[1:])
    compiled = loops(native)
    if compiled is None:
        _check_inside(store, where, where.lengths)
        shift = np.repeat(where.begins - offsets[:-1], where.lengths)
        return Tokens(store.values[np.arange(offsets[-1]) + shift], offsets)
    values = np.empty(offsets[-1], np.uint8)
    outside = compiled.ragged(read_only(store.values), read_only(where.begins), read_only(offsets), values)
    if outside:
        raise _damaged(store, outside)
    return Tokens(values, offsets)


def _padded(store: Store, where: Located, width: int) -> Batch:
    """By windows of `values`, a row of which NumPy copies as a whole, and not symbol by symbol."""
    values, kept = store.values, np.minimum(where.lengths, width)
    _check_inside(store, where, kept)
    columns = np.arange(width, dtype=np.uint16 if width < 2**16 else np.int64)
    mask = columns < kept.astype(columns.dtype)[:, None]
    last = len(values) - width  # where the last window begins
    if not len(values):
        ids = np.zeros(mask.shape, np.uint8)
    elif last < 0:
        ids = values[np.minimum(where.begins[:, None] + columns, len(values) - 1)]
    else:
        windows = np.lib.stride_tricks.sliding_window_view(values, width)
        ids = windows[np.minimum(where.begins, last)]
        late = np.flatnonzero(where.begins > last)
        ids[late] = values[np.minimum(where.begins[late, None] + columns, len(values) - 1)]
    ids *= mask.view(np.uint8)
    return Batch(ids, mask, where.rows)


def _check_inside(store: Store, where: Located, kept: np.ndarray) -> None:
    outside = int(np.count_nonzero((where.begins < 0) | (where.begins > len(store.values) - kept)))
    if outside:
        raise _damaged(store, outside)


def _damaged(store: Store, n_rows: int) -> DataError:
    return DataError(
        f"{store.folder}: {n_rows:,} of the rows asked for lie outside its symbols; the store is damaged, pack it again"
    )
