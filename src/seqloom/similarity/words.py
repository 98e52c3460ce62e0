"""Words: where sequences share a short word, found through sorted lists instead of comparisons of all pairs.

Proteins are written in ten classes of residues, so that words outlive substitutions; short ones in their own letters, with
gaps in the words (spaced seeds, Ma et al. 2002, doi:10.1093/bioinformatics/18.3.440), for they hold few words to share. Words
are as short as the number of chance hits allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from seqloom.similarity.alignment import Library
from seqloom.tokens import Tokens

MOST_CELLS = 1.5e9
"""Residues about chance hits that are compared in one search: some ten seconds of work."""
WINDOW = 64
"""Residues about a word hit that are compared first."""
HEAVIEST_WORD = 12
MOST_SHAPES = 6
SHORT_LENGTH = 32
"""Where sequences are shorter than this on average, words are of residues and have several shapes."""
WANTED_WORDS = 5
"""Words that two short sequences just alike enough should share on average, over all shapes."""

Shape = tuple[int, ...]
"""Offsets of the symbols that make a word, from 0."""


class Hits(NamedTuple):
    """Places where a query and a reference hold the same word."""

    queries: np.ndarray  # int64 (H,)
    references: np.ndarray  # int64 (H,)
    query_at: np.ndarray  # int64 (H,): position of the word
    reference_at: np.ndarray  # int64 (H,)


@dataclass(frozen=True)
class Spelling:
    """How sequences are written for a search: the class of each id, and the shapes of words."""

    classes: np.ndarray  # uint8 (V,), 255 for ids that no word may hold
    n_classes: int
    shapes: tuple[Shape, ...]


@dataclass(frozen=True)
class Words:
    """All words of one shape in a library, in the order of its sequences."""

    codes: np.ndarray  # int64 (W,)
    rows: np.ndarray  # int32 (W,)
    positions: np.ndarray  # int32 (W,)
    starts: np.ndarray  # int64 (N + 1,): where the words of each sequence begin


def words_of(tokens: Tokens, spelling: Spelling, shape: Shape) -> Words:
    """Every word of the shape; words with a symbol outside the classes (X, N) are left out."""
    classes = spelling.classes[tokens.values]
    span = shape[-1] + 1
    n_places = max(len(classes) - span + 1, 0)
    codes = np.zeros(n_places, np.int64)
    whole = np.ones(n_places, bool)
    for shift in shape:
        part = classes[shift : shift + n_places]
        codes *= spelling.n_classes
        codes += part
        whole &= part != 255
    room = np.maximum(tokens.lengths - span + 1, 0)
    rows = np.repeat(np.arange(len(tokens), dtype=np.int32), room)
    first = np.repeat(np.cumsum(room) - room, room)
    positions = (np.arange(len(rows)) - first).astype(np.int32)
    places = tokens.offsets[rows] + positions
    keep = whole[places]
    rows, positions = rows[keep], positions[keep]
    starts = np.searchsorted(rows, np.arange(len(tokens) + 1))
    return Words(codes[places[keep]], rows, positions, starts)


def spelling_of(library: Library, others: Library | None = None, identity: float = 0.5) -> Spelling:
    """The lightest words whose chance hits within a library, or with `others`, can be looked at.

    Of short sequences as many shapes as it takes for sequences alike at `identity` to share a word of one of them.
    """
    length = float(library.lengths.mean()) if len(library) else 1.0
    letters = length < SHORT_LENGTH
    scoring, residues = library.scoring, library.tokens.values
    classes, n_classes = scoring.classes, scoring.n_classes
    if letters:
        known = np.flatnonzero(classes != 255)
        classes, n_classes = np.full_like(classes, 255), len(known)
        classes[known] = np.arange(len(known))
    shares = np.bincount(classes[residues], minlength=256)[:255] / max(len(residues), 1)
    same = float((shares**2).sum()) or 1.0
    pairs = len(residues) ** 2 / 2 if others is None else float(len(residues)) * len(others.tokens.values)
    allowed = max(MOST_CELLS / min(max(length, 1.0), WINDOW), float(len(residues)))
    least = 6 if n_classes == 4 else 3
    weight = next((k for k in range(least, HEAVIEST_WORD) if pairs * same**k <= allowed), HEAVIEST_WORD)
    shared = identity**weight * max(length - weight + 1, 1.0)
    n_shapes = int(np.clip(np.ceil(WANTED_WORDS / shared), 1, MOST_SHAPES)) if letters else 1
    return Spelling(classes, n_classes, shapes(weight)[:n_shapes])


def shapes(weight: int) -> tuple[Shape, ...]:
    """Shapes of `weight` symbols, the tightest first.

    >>> shapes(3)
    ((0, 1, 2), (0, 1, 3), (0, 2, 3), (0, 1, 4), (0, 2, 4), (0, 3, 4))
    """
    found: list[Shape] = []
    for last in range(weight - 1, weight + 2):
        found += [(0, *inner, last) for inner in combinations(range(1, last), weight - 2)]
    return tuple(found)


@dataclass(frozen=True)
class Postings:
    """Words sorted by code: every list of equal words is one stretch."""

    words: Words
    order: np.ndarray  # int64 or int32 (W,): words in order of their codes
    codes: np.ndarray  # int64 (W,), sorted

    @staticmethod
    def of(words: Words) -> Postings:
        """Sorted; words of one code stay in the order of their sequences."""
        order = np.argsort(words.codes, kind="stable")
        if len(order) < 1 << 31:
            order = order.astype(np.int32)
        return Postings(words, order, words.codes[order])

    def stretches(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First place and number of the words equal to each of `codes`, int64 (M,) each."""
        low = np.searchsorted(self.codes, codes, side="left")
        return low, np.searchsorted(self.codes, codes, side="right") - low

    def hits(self, queries: Words, chosen: np.ndarray, low: np.ndarray, size: np.ndarray) -> Hits:
        """Hits of the `chosen` words of `queries` with the `size` words that begin at `low` in the sorted order."""
        entry = np.repeat(chosen, size)
        within = np.arange(len(entry)) - np.repeat(np.cumsum(size) - size, size)
        other = self.order[np.repeat(low, size) + within]
        return Hits(
            queries.rows[entry].astype(np.int64),
            self.words.rows[other].astype(np.int64),
            queries.positions[entry].astype(np.int64),
            self.words.positions[other].astype(np.int64),
        )


def scrambled(codes: np.ndarray) -> np.ndarray:
    """A fixed hash of codes, uint64 (W,), by which a few words of each sequence are chosen alike in all sequences."""
    mixed = codes.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0xD6E8FEB86659FD93)
    return mixed ^ (mixed >> np.uint64(32))
