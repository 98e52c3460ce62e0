"""Words: where sequences share a short word, found through sorted lists instead of comparisons of all pairs.

Proteins are written in ten classes of residues, so that words outlive substitutions; short ones in their own letters, with
gaps in the words (spaced seeds, Ma et al. 2002, doi:10.1093/bioinformatics/18.3.440), for they hold few words to share. Words
are as short as the number of chance hits allows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import NamedTuple

import numpy as np

from seqloom.similarity.alignment import Library
from seqloom.tokens import Tokens

MOST_HITS = 5e7
"""Chance hits of one shape that are looked at: some five seconds of work."""
HEAVIEST_WORD = 12
MOST_SHAPES = 6
SHORT_LENGTH = 32
"""Where sequences are shorter than this on average, words are of residues and have several shapes."""
WANTED_WORDS = 12
"""Words that two sequences just alike enough should share on average, over all shapes."""

BLOCK_HITS = 2_000_000
"""Word hits handled at once: about 200 MB."""

Shape = tuple[int, ...]
"""Offsets of the symbols that make a word, from 0."""


class Hits(NamedTuple):
    """Places where a query and a reference hold the same word."""

    queries: np.ndarray  # int64 (H,)
    references: np.ndarray  # int64 (H,)
    query_at: np.ndarray  # int64 (H,): position of the word
    reference_at: np.ndarray  # int64 (H,)

    def one_of_each(self, n: int, *, pairs_only: bool = False) -> Hits:
        """One hit of each pair and diagonal, or of each pair; `n` references at most."""
        key = self.queries * n + self.references
        if not pairs_only:
            key = key * (1 << 17) + (self.query_at - self.reference_at + (1 << 16)) % (1 << 17)
        _, kept = np.unique(key, return_index=True)
        return Hits(*(each[kept] for each in self))


@dataclass(frozen=True)
class Spelling:
    """How sequences are written for a search: the class of each id, and the shapes of words."""

    classes: np.ndarray  # uint8 (V,), 255 for ids that no word may hold
    n_classes: int
    same: float
    """Chance that two residues are of one class."""
    shapes: tuple[Shape, ...]

    def shared(self, lengths: np.ndarray, identity: float) -> np.ndarray:
        """Words that two sequences of these lengths (N,) and of this identity share on average, float64 (N,)."""
        weight = len(self.shapes[0])
        return len(self.shapes) * _shared(weight, lengths, identity, self.same)


@dataclass(frozen=True)
class Words:
    """All words of one shape in a library, sequence by sequence."""

    codes: np.ndarray  # int64 (W,)
    rows: np.ndarray  # int32 (W,)
    positions: np.ndarray  # int32 (W,)
    starts: np.ndarray  # int64 (N + 1,): where the words of each sequence begin


def words_of(tokens: Tokens, spelling: Spelling, shape: Shape, order: np.ndarray | None = None) -> Words:
    """Every word of the shape; words with a symbol outside the classes (X, N) are left out.

    With `order`, a permutation of the sequences (int64 (N,)), those of its first sequence come first.
    """
    if order is not None:
        tokens = tokens.take(order)
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
    return Words(codes[places[keep]], rows if order is None else order.astype(np.int32)[rows], positions, starts)


def spelling_of(library: Library, others: Library | None = None, identity: float = 0.5) -> Spelling:
    """The lightest words whose chance hits within a library, or with `others`, can be looked at.

    As many shapes as it takes for sequences alike at `identity` to share a word of one of them.
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
    allowed = max(MOST_HITS, float(len(residues)))
    least = 6 if n_classes == 4 else 3
    weight = next((k for k in range(least, HEAVIEST_WORD) if pairs * same**k <= allowed), HEAVIEST_WORD)
    shared = float(_shared(weight, np.array([length]), identity, same)[0])
    n_shapes = int(np.clip(np.ceil(WANTED_WORDS / shared), 1, MOST_SHAPES))
    return Spelling(classes, n_classes, same, shapes(weight, n_shapes, 2 if letters else weight // 2 + 1))


def _shared(weight: int, lengths: np.ndarray, identity: float, same: float) -> np.ndarray:
    alike = identity + (1 - identity) * same
    expected: np.ndarray = alike**weight * np.maximum(lengths - weight + 1.0, 1.0)
    return expected


@cache
def shapes(weight: int, n: int, gaps: int) -> tuple[Shape, ...]:
    """`n` shapes of `weight` symbols with at most `gaps` gaps, that seldom match together (Ilie and Ilie 2007).

    The first is the word without gaps; each next one has the least overlap complexity with itself and those before it:
    the sum of 2^k over all shifts of two shapes, k the symbols on which they then agree (doi:10.1093/bioinformatics/btm422).

    >>> shapes(3, 4, 2)
    ((0, 1, 2), (0, 1, 3), (0, 2, 3), (0, 1, 4))
    """
    possible = [
        (0, *inner, last)
        for last in range(weight - 1, weight + gaps)
        for inner in combinations(range(1, last), weight - 2)
    ]
    chosen = possible[:1]
    cost = {each: _overlap(each, each) + _overlap(each, chosen[0]) for each in possible[1:]}
    while len(chosen) < n and cost:
        best = min(cost, key=cost.__getitem__)
        chosen.append(best)
        del cost[best]
        for each in cost:
            cost[each] += _overlap(each, best)
    return tuple(chosen)


def _overlap(one: Shape, other: Shape) -> int:
    apart = Counter(a - b for a in one for b in other)
    return sum(2**count for count in apart.values())


@dataclass(frozen=True)
class Postings:
    """Words sorted by code: every list of equal words is one stretch."""

    words: Words
    order: np.ndarray  # int64 or int32 (W,): words in order of their codes
    codes: np.ndarray  # int64 (W,), sorted

    @staticmethod
    def of(words: Words) -> Postings:
        """Sorted; words of one code stay in their order."""
        index_bits = len(words.codes).bit_length()
        if int(words.codes.max(initial=0)).bit_length() + index_bits < 64:  # code and place in one number sort faster
            keys = np.sort((words.codes << index_bits) | np.arange(len(words.codes)))
            codes = keys >> index_bits
            order = keys & ((1 << index_bits) - 1)
        else:
            order = np.argsort(words.codes, kind="stable")
            codes = words.codes[order]
        return Postings(words, order.astype(np.int32) if len(order) < 1 << 31 else order, codes)

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
