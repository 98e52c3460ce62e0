"""Searches among molecules: Tanimoto similarity of fingerprints, compared in full for thousands, by MinHash for millions.

MinHash (Broder 1997) gives two sets of bits the same smallest hash with a probability equal to their Tanimoto similarity; sets
that agree in all hashes of some band are compared.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array

from seqloom.connected import connected
from seqloom.similarity.neighbours import Neighbours

EXACT_PAIRS = 1e9
"""Pairs of molecules that are all compared: some twenty seconds on one core."""
BLOCK_PAIRS = 20_000_000
BANDS, BAND_HASHES = 64, 4
"""Two molecules of Tanimoto similarity 0.5 share a band with a probability of 98 %, of 0.7 with more than 99.9 %."""


def linked_prints(prints: np.ndarray, similarity: float) -> Neighbours:
    """Pairs of fingerprints (uint64 (N, W)) that join all with a Tanimoto similarity of at least `similarity`."""
    distinct, row_of = np.unique(prints, axis=0, return_inverse=True)
    row_of = row_of.ravel()
    first = np.unique(row_of, return_index=True)[1]
    exact = len(distinct) ** 2 / 2 <= EXACT_PAIRS
    pairs = _all_above(distinct, similarity) if exact else _by_bands(distinct, similarity)
    left, right, values = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return Neighbours.of_rows((left, right, values), row_of, first, exact, "tanimoto")


def nearest_prints(queries: np.ndarray, references: np.ndarray, most: int = 1) -> Neighbours:
    """The `most` references of highest Tanimoto similarity of each query (uint64 (N, W) and (M, W)); all are compared."""
    found = []
    size = max(BLOCK_PAIRS // max(len(references), 1), 1)
    right, right_bits = _bits(references), _counts(references)
    left, left_bits = _bits(queries), _counts(queries)
    for start in range(0, len(queries), size):
        part = slice(start, start + size)
        similarity = _tanimoto(left[part], right, left_bits[part], right_bits)
        best = np.argsort(-similarity, axis=1, kind="stable")[:, :most]
        rows = np.repeat(np.arange(start, start + len(best)), best.shape[1])
        found.append((rows, best.ravel(), np.take_along_axis(similarity, best, 1).ravel()))
    empty = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    own, other, values = (np.concatenate(parts) for parts in zip(*found or [empty], strict=True))
    alike = values > 0
    return Neighbours(own[alike], other[alike], values[alike], len(queries), True, "tanimoto")


def pair_tanimoto(prints: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Tanimoto similarity of pairs of rows (P,) of `prints`, float32 (P,); 0 where both are empty."""
    values = np.zeros(len(left), np.float32)
    for start in range(0, len(left), 200_000):
        part = slice(start, start + 200_000)
        a, b = prints[left[part]], prints[right[part]]
        both = np.bitwise_count(a & b).sum(1, dtype=np.int32)
        any_ = np.bitwise_count(a | b).sum(1, dtype=np.int32)
        values[part] = both / np.maximum(any_, 1)
    return values


Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


def _all_above(prints: np.ndarray, similarity: float) -> Iterator[Pairs]:
    yield np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
    bits, counts = _bits(prints), _counts(prints)
    size = max(BLOCK_PAIRS // max(len(prints), 1), 1)
    for start in range(0, len(prints), size):
        own = slice(start, start + size)
        values = _tanimoto(bits[own], bits[start:], counts[own], counts[start:])
        left, right = np.nonzero(values >= similarity - 1e-6)
        later = right > left
        left, right = left[later], right[later]
        yield left + start, right + start, values[left, right]


def _by_bands(prints: np.ndarray, similarity: float) -> Iterator[Pairs]:
    """Each holder of a band compared with the first holder and with its neighbour in the list."""
    yield np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
    label = np.arange(len(prints))
    for band in _bands(prints):
        order = np.argsort(band, kind="stable")
        new = np.concatenate([[True], band[order][1:] != band[order][:-1]])
        first = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
        members = np.flatnonzero(~new)
        for centres in (first[members], members - 1):
            left, right = order[centres], order[members]
            apart = label[left] != label[right]
            left, right = left[apart], right[apart]
            values = pair_tanimoto(prints, left, right)
            alike = values >= similarity - 1e-6
            left, right, values = left[alike], right[alike], values[alike]
            yield left, right, values
            label = connected(label[left], label[right], int(label.max(initial=-1)) + 1)[label]


def _bands(prints: np.ndarray) -> Iterator[np.ndarray]:
    """A hash of each band of MinHash values, uint64 (N,)."""
    bits = _bits(prints)
    n_bits = bits.shape[1]
    for band in range(BANDS):
        mixed = np.zeros(len(prints), np.uint64)
        for each in range(BAND_HASHES):
            rank = np.random.default_rng([band, each]).permutation(n_bits).astype(np.uint64)
            ranks = np.append(rank[bits.indices], np.uint64(n_bits))
            starts = np.minimum(bits.indptr[:-1], len(ranks) - 1)
            smallest = np.minimum.reduceat(ranks, starts)
            smallest[np.diff(bits.indptr) == 0] = n_bits
            mixed = mixed * np.uint64(n_bits + 1) + smallest
        yield mixed


def _bits(prints: np.ndarray) -> csr_array:
    """The bits as a sparse float32 matrix (N, bits)."""
    spread = np.unpackbits(np.ascontiguousarray(prints).view(np.uint8), axis=1, bitorder="little")
    return csr_array(spread.astype(np.float32)) if len(prints) < 4096 else _stacked(spread)


def _stacked(spread: np.ndarray) -> csr_array:
    rows, columns = np.nonzero(spread)
    starts = np.searchsorted(rows, np.arange(len(spread) + 1))
    return csr_array((np.ones(len(columns), np.float32), columns, starts), shape=spread.shape)


def _counts(prints: np.ndarray) -> np.ndarray:
    counts: np.ndarray = np.bitwise_count(prints).sum(1, dtype=np.float32)
    return counts


def _tanimoto(left: csr_array, right: csr_array, left_bits: np.ndarray, right_bits: np.ndarray) -> np.ndarray:
    """Tanimoto similarity of every pair, float32 (N, M)."""
    both = np.asarray((left @ right.T).todense(), np.float32)
    either = left_bits[:, None] + right_bits[None, :] - both
    similarity: np.ndarray = both / np.maximum(either, 1.0)
    return similarity
