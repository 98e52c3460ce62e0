"""An open store: its arrays where they lie on disk, and the tokens, labels and components of any rows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from seqloom.errors import DataError
from seqloom.files import read_json
from seqloom.store.gather import ragged
from seqloom.store.layout import (
    BLOCK,
    ID_TYPES,
    LABELS,
    LENGTH_TYPES,
    STARTS,
    VALUES,
    Manifest,
    ids_file,
    label_bytes,
    levels_file,
    read_manifest,
)  # fmt: skip
from seqloom.store.native import loops, read_only
from seqloom.tokens import Tokens

STEP = 32
"""Rows between two entries of `Store.anchors`: 25 MB for 10^8 rows."""


@dataclass(frozen=True)
class Store:
    """N rows, read in place."""

    folder: Path
    manifest: Manifest
    values: np.ndarray  # uint8 (sum of L,)
    lengths: np.ndarray  # uint8, uint16 or uint32 (N,)
    starts: np.ndarray  # int64 (ceil(N / BLOCK) + 1,)
    packed_labels: np.ndarray  # uint8 (N, ceil(K / 4))
    components: Mapping[str, np.ndarray]  # int16 or int32 (N,) each

    def __len__(self) -> int:
        return self.manifest.rows

    @cached_property
    def anchors(self) -> np.ndarray:
        """Where every `STEP`th row begins in `values`, int64 (ceil(N / STEP),); made by one pass over `lengths`."""
        whole = len(self) // STEP * STEP
        sums = np.empty(-(-len(self) // STEP) + 1, np.int64)
        sums[0] = 0
        for start in range(0, whole, STEP * 2**20):  # in parts, as a sum in int64 first makes its input so
            part = self.lengths[start : min(start + STEP * 2**20, whole)].reshape(-1, STEP)
            sums[start // STEP + 1 : start // STEP + 1 + len(part)] = part.sum(1, dtype=np.int64)
        if whole < len(self):
            sums[-1] = self.lengths[whole:].sum(dtype=np.int64)
        return np.cumsum(sums)[: -(-len(self) // STEP)]

    def begins(self, rows: np.ndarray, *, native: bool | None = None) -> np.ndarray:
        """Where `rows` (int (M,)) begin in `values`, int64 (M,); IndexError for rows that are not here.

        `native` chooses the form as in `seqloom.store.native`.
        """
        rows = np.asarray(rows, np.int64)
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(self):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of a store of {len(self)}")
        compiled = loops(native)
        if compiled is not None:
            out = np.empty(len(rows), np.int64)
            compiled.begins(read_only(rows), read_only(self.anchors), read_only(self.lengths), out)
            return out
        if not len(rows):
            return np.zeros(0, np.int64)
        # Windows of `lengths` are copied each as a whole; the last rows have one that begins before their anchor.
        first = rows // STEP * STEP
        windows = np.lib.stride_tricks.sliding_window_view(self.lengths, min(STEP, len(self)))
        base = np.minimum(first, len(windows) - 1)
        columns = np.arange(windows.shape[1], dtype=np.uint8)
        inside = columns < (rows - base).astype(np.uint8)[:, None]
        if (late := np.flatnonzero(first > base)).size:
            inside[late] &= columns >= (first - base)[late, None]
        lengths = (windows[base] * inside).astype(np.float64)  # a product of matrices adds up fastest, and exactly
        return self.anchors[rows // STEP] + (lengths @ np.ones(len(columns))).astype(np.int64)

    def stretch(self, start: int, stop: int) -> Tokens:
        """Rows start, start + 1, ..., stop - 1, their `values` still on disk."""
        if not start < stop:
            return Tokens(self.values[:0], np.zeros(1, np.int64))
        block = start // BLOCK
        begin = int(self.starts[block]) + int(self.lengths[block * BLOCK : start].sum(dtype=np.int64))
        offsets = np.concatenate([[0], np.cumsum(self.lengths[start:stop], dtype=np.int64)])
        return Tokens(self.values[begin : begin + int(offsets[-1])], offsets)

    def take(self, rows: np.ndarray) -> Tokens:
        """Tokens of `rows` (int (M,)), in that order; IndexError for rows that are not here."""
        return ragged(self, rows)

    def labels(self, rows: np.ndarray | slice) -> np.ndarray:
        """Labels of `rows`, float32 (M, K): 0, 1, or NaN where not known."""
        n_targets = len(self.manifest.targets)
        bits = np.unpackbits(self.packed_labels[rows], axis=1, count=2 * n_targets, bitorder="little")
        return np.where(bits[:, 1::2] == 1, bits[:, 0::2].astype(np.float32), np.float32(np.nan))

    def levels(self, component: str) -> list[str]:
        """Names of a component's levels, by id."""
        place = [each.name for each in self.manifest.components].index(component)
        names: list[str] = read_json(self.folder / levels_file(place))
        return names


def open_store(folder: Path | str) -> Store:
    """The store in `folder`; DataError for files that are missing or of another size than its manifest says.

    Only the manifest is read: the arrays are mapped, whatever their size.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    n, n_blocks = manifest.rows, -(-manifest.rows // BLOCK) + 1
    lengths = LENGTH_TYPES[manifest.length_type]
    return Store(
        folder,
        manifest,
        _mapped(folder / VALUES, np.dtype("u1"), (manifest.tokens,)),
        _mapped(folder / manifest.lengths_file, lengths, (n,)),
        _mapped(folder / STARTS, np.dtype("<i8"), (n_blocks,)),
        _mapped(folder / LABELS, np.dtype("u1"), (n, label_bytes(len(manifest.targets)))),
        {
            each.name: _mapped(folder / ids_file(place, each.type), ID_TYPES[each.type], (n,))
            for place, each in enumerate(manifest.components)
        },
    )


def _mapped(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    expected = int(np.prod(shape)) * dtype.itemsize
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise DataError(f"{path}: missing; the store is damaged, pack it again") from None
    if size != expected:
        raise DataError(
            f"{path}: {size:,} bytes, and its manifest says {expected:,}; the store is damaged, pack it again"
        )
    if not expected:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", shape=shape).view(np.ndarray)
