"""Comparison without gaps along a diagonal: two sequences laid over each other so that a shared word matches.

Cheap enough for millions of word hits; what survives is aligned with gaps (`seqloom.similarity.alignment`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from seqloom.similarity.alignment import WINDOW, Library, in_threads
from seqloom.similarity.words import Hits

CELLS = 1_000_000
"""Cells of one block of work: tens of megabytes."""
ROWS = 16_384
"""Windows compared at once: a megabyte, which stays in the cache."""
LOW_BITS = np.uint64(0x7F7F7F7F7F7F7F7F)
ONES = np.uint64(0x0101010101010101)
INSIDE = (np.tri(WINDOW + 1, WINDOW, -1, dtype=np.uint8) << 7).view(np.uint64)
"""The high bit of each of the first residues of a window, by their number."""


class Segment(NamedTuple):
    """The best-scoring stretch of each diagonal."""

    score: np.ndarray  # int64 (H,)
    matches: np.ndarray  # int64 (H,): identical residues in it
    span: np.ndarray  # int64 (H,): residues in it


def window_matches(left: Library, right: Library, hits: Hits) -> tuple[np.ndarray, np.ndarray]:
    """Identical residues in a window of `WINDOW` residues about each hit, and residues compared; int64 (H,) each."""
    half = WINDOW // 2
    before = np.minimum(np.minimum(hits.query_at, hits.reference_at), half)
    after = np.minimum(
        np.minimum(
            left.lengths[hits.queries] - hits.query_at,
            right.lengths[hits.references] - hits.reference_at,
        ),
        half,
    )
    width = before + after
    starts_left = left.tokens.offsets[hits.queries] + hits.query_at - before
    starts_right = right.tokens.offsets[hits.references] + hits.reference_at - before
    return _matches(left, right, starts_left, starts_right, width), width


def diagonal_matches(left: Library, right: Library, hits: Hits) -> np.ndarray:
    """Identical residues along the whole diagonal of each hit, int64 (H,)."""
    starts_left, starts_right, width = _diagonal(left, right, hits)
    matches = np.zeros(len(width), np.int64)
    rest = np.arange(len(width))
    for done in range(0, int(width.max(initial=0)), WINDOW):
        rest = rest[width[rest] > done]
        size = np.minimum(width[rest] - done, WINDOW)
        matches[rest] += _matches(left, right, starts_left[rest] + done, starts_right[rest] + done, size)
    return matches


def segments(left: Library, right: Library, hits: Hits) -> Segment:
    """The best-scoring stretch without gaps along the diagonal of each hit (the maximal segment pair of BLAST)."""
    starts_left, starts_right, width = _diagonal(left, right, hits)
    score, matches, span = (np.zeros(len(width), np.int64) for _ in range(3))
    table = left.scoring.scores

    def of(part: np.ndarray) -> None:
        same, (a, b) = _equal(left, right, starts_left[part], starts_right[part], width[part])
        inside = np.arange(a.shape[1]) < width[part][:, None]
        gains = np.where(inside, table[a, b], -99).astype(np.int32)
        total = np.concatenate([np.zeros((len(a), 1), np.int32), np.cumsum(gains, axis=1, dtype=np.int32)], axis=1)
        lowest = np.minimum.accumulate(total, axis=1)
        end = np.argmax(total - lowest, axis=1)
        row = np.arange(len(a))
        best = total[row, end] - lowest[row, end]
        first = np.argmax(total == lowest[row, end][:, None], axis=1)  # where the lowest total before the end was
        counts = np.concatenate([np.zeros((len(a), 1), np.int32), np.cumsum(same, axis=1, dtype=np.int32)], axis=1)
        score[part], span[part] = best, end - first
        matches[part] = counts[row, end] - counts[row, first]

    for _ in in_threads(of, blocks(width)):
        pass
    return Segment(score, matches, span)


def blocks(width: np.ndarray) -> Iterator[np.ndarray]:
    """Indices int64 of things of similar width, in blocks of about `CELLS` cells."""
    order = np.argsort(width, kind="stable")
    start = 0
    while start < len(order):
        size = max(CELLS // max(int(width[order[start]]), 1), 1)
        part = order[start : start + size]
        while len(part) > 1 and int(width[part[-1]]) * len(part) > 2 * CELLS:
            part = part[: len(part) // 2]
        yield part
        start += len(part)


def _diagonal(left: Library, right: Library, hits: Hits) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the diagonal of each hit begins in both token arrays, and its length."""
    before = np.minimum(hits.query_at, hits.reference_at)
    own, other = hits.query_at - before, hits.reference_at - before
    width = np.minimum(left.lengths[hits.queries] - own, right.lengths[hits.references] - other)
    return left.tokens.offsets[hits.queries] + own, right.tokens.offsets[hits.references] + other, width


def _matches(
    left: Library, right: Library, starts_left: np.ndarray, starts_right: np.ndarray, width: np.ndarray
) -> np.ndarray:
    """Equal residues of stretches of at most `WINDOW` residues, int64 (H,): eight residues at a time, as bytes of an integer."""
    matches = np.empty(len(width), np.int64)

    def count(start: int) -> None:
        part = slice(start, start + ROWS)
        differ = left.windows[starts_left[part]].view(np.uint64)
        differ ^= right.windows[starts_right[part]].view(np.uint64)
        differ += LOW_BITS  # the high bit of a byte is set where the residues differ: ids are below 128
        np.invert(differ, out=differ)
        differ &= INSIDE[width[part]]
        per_byte = np.bitwise_count(differ).view(np.uint64)[:, 0]  # eight counts of at most eight each
        matches[part] = (per_byte * ONES) >> np.uint64(56)

    _ = left.windows, right.windows  # made once, before threads ask for them
    for _ in in_threads(count, range(0, len(width), ROWS)):
        pass
    return matches


def _equal(
    left: Library, right: Library, starts_left: np.ndarray, starts_right: np.ndarray, width: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Where the residues are equal, bool (H, widest), False beyond the width; and the ids of both sides."""
    columns = np.arange(int(width.max(initial=0)))
    a, b = left.tokens.values, right.tokens.values
    ids = a[np.minimum(starts_left[:, None] + columns, len(a) - 1)]
    others = b[np.minimum(starts_right[:, None] + columns, len(b) - 1)]
    same = ids == others
    same &= columns < width[:, None]
    return same, (ids, others)
