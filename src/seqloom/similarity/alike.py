"""What is alike within one set of sequences, joined into groups.

Pairs that share words are laid over each other without gaps, and the promising ones aligned. Sequences so short that alike
ones may share no word are aligned with all others, as long as that takes seconds. What is already joined is not compared again,
so that forty thousand mutants of one protein cost no more than forty thousand strangers.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from seqloom.alphabet import Alphabet
from seqloom.connected import connected
from seqloom.similarity.alignment import (
    COVERAGE,
    WINDOW,
    Library,
    counted,
    identities,
    in_threads,
    plausible,
    without_gaps,
)
from seqloom.similarity.diagonals import Segment, segments, window_matches
from seqloom.similarity.effort import EXACT_WORK, SMALL_WORK, Search, work
from seqloom.similarity.mmseqs import proposed_pairs
from seqloom.similarity.neighbours import Neighbours
from seqloom.similarity.words import (
    BLOCK_HITS,
    SHORT_LENGTH,
    Hits,
    Postings,
    Shape,
    Spelling,
    Words,
    scrambled,
    spelling_of,
    words_of,
)
from seqloom.tokens import Tokens

SURE_WORDS = 8
SURE_RESIDUES = 40
"""Alike sequences that share fewer words, or equal residues, than these on average may be missed: such short ones are compared
with all others, unless there are too many of them."""
STAR_WORDS = 24
"""Words of each sequence by which whole families are joined at once."""
MOST_LOOKED_AT = 2e8
"""Word hits looked at for each shape of words; in the largest sets a few for each word nevertheless."""
MOST_PARTNERS = 1000
"""References looked at for each word of a sequence at most; in larger lists the next ones in order."""
LEAST_WINDOW_SHARE = 0.5
"""Share of the wanted identity that a window about a shared word must reach for the pair to be aligned."""
LEAST_SHARE = 0.18
"""No less than this, several times what chance gives."""
LEAST_DIAGONAL_SHARE = 0.8
"""The same for the whole diagonal of short sequences, where gaps are rare."""
LEAST_SCORE_SHARE = 0.4
"""Share of a significant score that a stretch without gaps must have in pairs that count by their score alone."""
COVERED_BY_CHANCE = 100
"""Pairs of longer sequences hardly ever cover each other by an alignment whose score is not significant."""
TIE = 1e-6


def similar_groups(tokens: Tokens, alphabet: Alphabet, identity: float, search: Search = "auto") -> np.ndarray:
    """Connected components, int64 (N,), of sequences that are alike at `identity` (0..1)."""
    return linked(tokens, alphabet, identity, search).groups()


def linked(tokens: Tokens, alphabet: Alphabet, identity: float, search: Search = "auto") -> Neighbours:
    """Pairs alike at `identity` (0..1) that join all that is alike: not every pair, but every connection."""
    distinct, row_of, first = without_gaps(tokens, alphabet).distinct()
    order = np.argsort(-distinct.lengths, kind="stable")  # the longest first: the centre of its family
    library = Library.of(distinct.take(order), alphabet)
    joined = _Joined(library, identity, len(library))
    spelling = spelling_of(library, identity=identity)
    small = work(library.lengths, library.lengths) <= SMALL_WORK
    unsure = (spelling.shared(library.lengths, identity) < SURE_WORDS) | (library.lengths * identity < SURE_RESIDUES)
    short = np.flatnonzero(unsure | small | (search == "exact"))
    cheap = work(library.lengths[short], library.lengths) <= EXACT_WORK
    compared = search == "exact" or (search != "words" and cheap)
    _join_families(joined, spelling)
    if not compared or len(short) < len(library):
        _join_by_words(joined, spelling)
    if compared and joined.n_groups > 1:
        _all_pairs(joined, short)
    exact = joined.n_groups == 1 or (compared and len(short) == len(library))
    if search == "mmseqs" and not exact:
        joined.align(*proposed_pairs(library, alphabet))
    left, right, values = joined.pairs()
    return Neighbours.of_rows((order[left], order[right], values), row_of, first, exact)


class _Joined:
    """Groups of a library as they grow, and the pairs that joined them."""

    def __init__(self, library: Library, identity: float, n_rows: int) -> None:
        self.library, self.identity, self.n_rows = library, identity, n_rows
        self.label = np.arange(len(library))
        self._kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    @property
    def n_groups(self) -> int:
        """Groups so far."""
        return int(self.label.max(initial=-1)) + 1

    def add(self, left: np.ndarray, right: np.ndarray, values: np.ndarray) -> None:
        """Join the pairs (P,) whose identity reaches the wanted one."""
        new = (values >= self.identity - TIE) & (self.label[left] != self.label[right])
        if not new.any():
            return
        left, right, values = left[new], right[new], values[new]
        groups = np.stack([self.label[left], self.label[right]])
        _, one_each = np.unique(np.sort(groups, axis=0), axis=1, return_index=True)
        self._kept.append((left[one_each], right[one_each], values[one_each]))
        self.label = connected(groups[0], groups[1], self.n_groups)[self.label]

    def align(self, left: np.ndarray, right: np.ndarray) -> None:
        """Align pairs (P,) that are not joined yet, and join those that are alike."""
        for start in range(0, len(left), 50_000):
            part = slice(start, start + 50_000)
            apart = self.label[left[part]] != self.label[right[part]]
            own, other = left[part][apart], right[part][apart]
            values = identities(self.library, self.library, (own, other), self.n_rows, self.identity)
            self.add(own, other, values)

    def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All pairs that joined something."""
        if not self._kept:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
        left, right, values = (np.concatenate(parts) for parts in zip(*self._kept, strict=True))
        return left, right, values


def _all_pairs(joined: _Joined, rows: np.ndarray) -> None:
    """Compare each of `rows` with every longer sequence that it is not joined to; the library has the longest first."""
    library = joined.library
    _ = library.strings, library.database, library.residue_counts  # made once, before threads ask for them

    def of(row: int) -> tuple[np.ndarray, np.ndarray]:
        label = joined.label  # read once: the main thread replaces it, with other numbers, while this one works
        apart = np.flatnonzero(label[:row] != label[row])
        found = plausible(library, row, library, apart, joined.identity, joined.n_rows) if len(apart) else apart
        return np.full(len(found), row), found

    for left, right in _in_portions(in_threads(of, rows[rows > 0].tolist())):
        joined.align(left, right)


def _in_portions(
    parts: Iterator[tuple[np.ndarray, np.ndarray]], size: int = 50_000
) -> Iterator[tuple[np.ndarray, ...]]:
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    n_waiting = 0
    for part in parts:
        waiting.append(part)
        n_waiting += len(part[0])
        if n_waiting >= size:
            yield tuple(np.concatenate(side) for side in zip(*waiting, strict=True))
            waiting, n_waiting = [], 0
    if waiting:
        yield tuple(np.concatenate(side) for side in zip(*waiting, strict=True))


def _join_by_words(joined: _Joined, spelling: Spelling) -> None:
    """Join what shares words and is still apart."""
    for shape in spelling.shapes:
        for hits in _hits_apart(joined, spelling, shape):
            _join_hits(joined, hits)


def _join_families(joined: _Joined, spelling: Spelling) -> None:
    """Join what is alike without gaps about a few shared words: members of a family, in time that grows with their number."""
    few = _few_words(words_of(joined.library.tokens, spelling, spelling.shapes[0]))
    _join_stars(joined, few, neighbour=False)
    _join_stars(joined, few, neighbour=True)


def _few_words(words: Words) -> Words:
    """The `STAR_WORDS` words of each sequence that a fixed hash puts first: alike in like sequences."""
    order = np.lexsort((scrambled(words.codes), words.rows))
    rank = np.arange(len(order)) - words.starts[words.rows[order]]
    kept = np.sort(order[rank < STAR_WORDS])
    rows = words.rows[kept]
    starts = np.searchsorted(rows, np.arange(len(words.starts)))
    return Words(words.codes[kept], rows, words.positions[kept], starts)


def _join_stars(joined: _Joined, words: Words, *, neighbour: bool) -> None:
    """Compare each holder of a word with the first holder (the longest), or with its `neighbour` in the list."""
    postings = Postings.of(words)
    if len(postings.codes) < 2:
        return
    new_list = np.concatenate([[True], postings.codes[1:] != postings.codes[:-1]])
    first = np.maximum.accumulate(np.where(new_list, np.arange(len(new_list)), 0))
    members = np.flatnonzero(~new_list)
    centres = members - 1 if neighbour else first[members]
    for start in range(0, len(members), BLOCK_HITS):
        entry, other = (
            postings.order[members[start : start + BLOCK_HITS]],
            postings.order[centres[start : start + BLOCK_HITS]],
        )
        rows, others = words.rows[entry].astype(np.int64), words.rows[other].astype(np.int64)
        apart = joined.label[rows] != joined.label[others]
        hits = Hits(
            others[apart], rows[apart], *(words.positions[each[apart]].astype(np.int64) for each in (other, entry))
        )
        hits = hits.one_of_each(len(joined.library), pairs_only=True)
        joined.add(hits.queries, hits.references, _ungapped(joined, hits)[1])


def _ungapped(joined: _Joined, hits: Hits) -> tuple[Segment, np.ndarray]:
    """The best stretch without gaps of each hit, and its identity as alignment defines it: a pair's is hardly ever less."""
    library = joined.library
    best = segments(library, library, hits)
    lengths = library.lengths[hits.queries], library.lengths[hits.references]
    return best, counted(library.scoring, best.matches, (best.span, best.span), best.score, lengths, joined.n_rows)


def _hits_apart(joined: _Joined, spelling: Spelling, shape: Shape) -> Iterator[Hits]:
    """Hits between sequences of different groups, in blocks."""
    by_group = np.argsort(joined.label, kind="stable")  # so that a group is one run in every list of equal words
    words = words_of(joined.library.tokens, spelling, shape, by_group)
    postings = Postings.of(words)
    if not len(postings.codes):
        return
    group = joined.label[words.rows[postings.order]]
    new_list = np.flatnonzero(postings.codes[1:] != postings.codes[:-1]) + 1
    new_run = np.flatnonzero((postings.codes[1:] != postings.codes[:-1]) | (group[1:] != group[:-1])) + 1
    run_end, list_end = _ends(new_run, len(group)), _ends(new_list, len(group))
    size = np.minimum(list_end - run_end, _partners(len(group)))
    entries = np.flatnonzero(size > 0)
    entries = entries[np.argsort(postings.order[entries], kind="stable")]  # so that hits of a pair come together
    bounds = np.searchsorted(np.cumsum(size[entries]), np.arange(0, int(size.sum()), BLOCK_HITS))
    for start, end in pairwise([*bounds.tolist(), len(entries)]):
        own = entries[start:end]
        yield postings.hits(words, postings.order[own].astype(np.int64), run_end[own], size[own])


def _ends(starts: np.ndarray, n: int) -> np.ndarray:
    """Where the stretch of each of `n` places ends, int64 (n,); stretches begin at 0 and at `starts`."""
    return np.repeat(np.append(starts, n), np.diff(np.concatenate([[0], starts, [n]])))


def _partners(n_words: int) -> int:
    """References per word: all but the longest lists in full while words are few, at least a handful in the largest sets."""
    return int(np.clip(MOST_LOOKED_AT / max(n_words, 1), 8, MOST_PARTNERS))


def _join_hits(joined: _Joined, hits: Hits) -> None:
    library = joined.library
    apart = joined.label[hits.queries] != joined.label[hits.references]
    hits = Hits(*(each[apart] for each in hits))
    matches, width = window_matches(library, library, hits)
    shorter = np.minimum(library.lengths[hits.queries], library.lengths[hits.references])
    compared = np.maximum(
        width, 0.7 * np.minimum(shorter, WINDOW)
    )  # a sliver at the ends of two sequences proves little
    hopeful = matches >= max(LEAST_WINDOW_SHARE * joined.identity, LEAST_SHARE) * compared
    hopeful &= (shorter > SHORT_LENGTH) | (matches >= LEAST_DIAGONAL_SHARE * joined.identity * shorter)
    hits = Hits(*(each[hopeful] for each in hits)).one_of_each(len(library))
    best, values = _ungapped(joined, hits)
    joined.add(hits.queries, hits.references, values)
    own, other = library.lengths[hits.queries], library.lengths[hits.references]
    shorter, longer = np.minimum(own, other), np.maximum(own, other)
    like = (shorter >= COVERAGE * longer) & (shorter <= COVERED_BY_CHANCE)
    sure = best.score >= LEAST_SCORE_SHARE * library.scoring.significant_score(own, other, joined.n_rows)
    pairs = np.unique(np.stack([hits.queries, hits.references])[:, like | sure], axis=1)
    joined.align(pairs[0], pairs[1])
