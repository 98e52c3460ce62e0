"""Tokens: many sequences as one ragged uint8 array, and length-bucketed batches of them.

What a token means is the alphabet's business; what a batch is used for is the trainer's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

WIDTH_STEP = 8
"""Batches are as wide as their longest sequence, rounded up to this: few distinct shapes, little padding."""
BUCKET_BATCHES = 64
"""Batches whose rows are sorted by length together: large enough to save padding, small enough to stay a shuffle."""
ROUNDS = 6
"""Of the Feistel network; with four, one of five rows stood last 1.4 times as often as it should."""


class Batch(NamedTuple):
    """B sequences padded to one width."""

    ids: np.ndarray  # uint8 (B, L), 0 where padded
    mask: np.ndarray  # bool (B, L), True = keep
    rows: np.ndarray  # int64 (B,)


@dataclass(frozen=True)
class Tokens:
    """N sequences: `values` uint8 (sum of L,), `offsets` int64 (N + 1,)."""

    values: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Length of each sequence, int64 (N,)."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> Tokens:
        """The sequences of `rows` (int (M,)), in that order."""
        rows = np.asarray(rows, np.int64)
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        shift = np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return Tokens(self.values[np.arange(offsets[-1]) + shift], offsets)

    def distinct(self) -> tuple[Tokens, np.ndarray, np.ndarray]:
        """Distinct sequences in order of first appearance, which of them each row is, int64 (N,), and the first row of each."""
        values, offsets = np.ascontiguousarray(self.values, np.uint8), np.ascontiguousarray(self.offsets, np.int64)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(values)]
        encoded = pa.Array.from_buffers(pa.large_binary(), len(self), buffers).dictionary_encode()
        row_of = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        first = np.unique(row_of, return_index=True)[1]
        return self.take(first), row_of, first

    def padded(self, rows: np.ndarray, width: int | None = None) -> Batch:
        """`rows` padded on the right to their longest, rounded up to `WIDTH_STEP`, or cut to `width`."""
        rows = np.asarray(rows, np.int64)
        lengths = self.lengths[rows]
        if width is None:
            longest = int(lengths.max(initial=1))
            width = -(-max(longest, 1) // WIDTH_STEP) * WIDTH_STEP
        columns = np.arange(width)
        mask = columns < lengths[:, None]
        positions = np.minimum(self.offsets[rows][:, None] + columns, max(len(self.values) - 1, 0))
        ids = self.values[positions] * mask if len(self.values) else np.zeros(mask.shape, np.uint8)
        return Batch(ids, mask, rows)

    def batches(self, rows: np.ndarray, size: int, seed: int | None, epoch: int = 0) -> Iterator[Batch]:
        """`rows` once each in batches of at most `size` rows of similar length.

        The order is a keyed permutation of (seed, epoch, position); with `seed=None` rows are sorted by length and
        not shuffled, which is fastest for prediction.
        """
        rows = np.asarray(rows, np.int64)
        for part in bucketed(self.lengths[rows], size, seed, epoch):
            yield self.padded(rows[part])


def bucketed(lengths: np.ndarray, size: int, seed: int | None, epoch: int = 0) -> Iterator[np.ndarray]:
    """Positions 0..N-1 (int64) in batches of similar `lengths`, each position once.

    Shuffled positions are cut into stretches of `BUCKET_BATCHES` batches, sorted by length inside a stretch, cut
    into batches, and the batches of the stretch are shuffled. Only a stretch is held at a time, so `lengths` (any integers)
    may be a mapped file; with `seed=None` all positions are sorted at once.
    """
    n_rows = len(lengths)
    if seed is None:
        order = np.argsort(lengths, kind="stable")
        for start in range(0, n_rows, size):
            yield order[start : start + size]
        return
    stretch = size * BUCKET_BATCHES
    for number, start in enumerate(range(0, n_rows, stretch)):
        part = keyed_slice(n_rows, seed, epoch, start, start + stretch)
        part = part[np.argsort(lengths[part], kind="stable")]
        n_batches = -(-len(part) // size)
        for index in keyed_permutation(n_batches, seed, epoch * 1_000_003 + number + 1):
            yield part[index * size : (index + 1) * size]


def keyed_permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation of 0..n-1, int64 (n,), that depends on (seed, epoch) alone."""
    return keyed_slice(n, seed, epoch, 0, n)


def keyed_slice(n: int, seed: int, epoch: int, start: int, stop: int) -> np.ndarray:
    """Places start, start + 1, ..., stop - 1 of `keyed_permutation(n, seed, epoch)`, int64, without the rest of it.

    A Feistel network over a power of four that is at least n, walked along its cycle until it falls below n
    (Black and Rogaway 2002, "Ciphers with arbitrary finite domains"): every place is computed by itself, so no index
    array need be stored or sent to other processes. A slice ends at n at the latest.
    """
    order = np.arange(start, min(stop, n), dtype=np.uint64)
    if n <= 1:
        return order.astype(np.int64)
    keys, half_bits = feistel_keys(n, seed, epoch)
    half_mask = np.uint64((1 << half_bits) - 1)
    order = _feistel(order, keys, half_bits, half_mask)
    while len(outside := np.flatnonzero(order >= n)):
        order[outside] = _feistel(order[outside], keys, half_bits, half_mask)
    return order.astype(np.int64)


def feistel_keys(n: int, seed: int, epoch: int) -> tuple[np.ndarray, int]:
    """Keys of the rounds, uint64 (`ROUNDS`,), and half of the bits of the numbers that are permuted."""
    keys = np.random.SeedSequence([abs(seed), abs(epoch), n]).generate_state(ROUNDS, np.uint64)
    return keys, max((int(n - 1).bit_length() + 1) // 2, 1)


def _feistel(values: np.ndarray, keys: np.ndarray, half_bits: int, half_mask: np.uint64) -> np.ndarray:
    left, right = values >> np.uint64(half_bits), values & half_mask
    for key in keys:
        mixed = (right ^ key) * np.uint64(0x9E3779B97F4A7C15)  # multiplicative hash of Knuth, wraps at 2**64
        mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        left, right = right, left ^ ((mixed >> np.uint64(32)) & half_mask)
    return (left << np.uint64(half_bits)) | right


def ragged_bytes(strings: pa.Array | pa.ChunkedArray | Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of N strings, uint8 (sum of lengths,), and their offsets, int64 (N + 1,); nulls are empty."""
    if not isinstance(strings, pa.Array | pa.ChunkedArray):
        strings = pa.array(strings, pa.large_string())
    if isinstance(strings, pa.ChunkedArray):
        strings = pa.concat_arrays(strings.cast(pa.large_string()).chunks) if strings.num_chunks else pa.array([])
    strings = strings.cast(pa.large_string())
    if strings.null_count:
        strings = strings.fill_null("")
    if len(strings) == 0:
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    _, offset_buffer, text_buffer = strings.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64, len(strings) + 1, strings.offset * 8)
    text = np.frombuffer(text_buffer, np.uint8) if text_buffer is not None else np.zeros(0, np.uint8)
    return text[offsets[0] : offsets[-1]], offsets - offsets[0]


def join(parts: Sequence[Tokens]) -> Tokens:
    """N sequences, each the concatenation of the same row of every part; all parts have N rows."""
    if len(parts) == 1:
        return parts[0]
    lengths = np.stack([part.lengths for part in parts])  # (parts, N)
    offsets = np.concatenate([[0], np.cumsum(lengths.sum(0))])
    values = np.empty(offsets[-1], np.uint8)
    starts = offsets[:-1].copy()
    for part, length in zip(parts, lengths, strict=True):
        values[np.arange(len(part.values)) + np.repeat(starts - part.offsets[:-1], length)] = part.values
        starts += length
    return Tokens(values, offsets)
