"""What is closest in another set of sequences.

All pairs are aligned where that takes seconds. In larger sets words say which references to align: those that share the rarest
words of a query, by their equal residues along the diagonal of the word.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from seqloom.alphabet import Alphabet
from seqloom.similarity.alignment import Library, closest, identities, in_threads, without_gaps
from seqloom.similarity.diagonals import diagonal_matches
from seqloom.similarity.effort import NEAREST_WORK, Search, work
from seqloom.similarity.neighbours import Neighbours
from seqloom.similarity.words import BLOCK_HITS, Hits, Postings, Words, spelling_of, words_of
from seqloom.tokens import Tokens

HITS_PER_QUERY = 1000
ALIGNED_PER_QUERY = 8


def nearest(
    queries: Tokens,
    references: Tokens,
    alphabet: Alphabet,
    most: int = 1,
    search: Search = "auto",
    n_rows: int = 0,
) -> Neighbours:
    """The `most` closest references of each query, those equally close included up to that number.

    Queries for which no reference is alike beyond chance, among `n_rows` rows (as many as there are references by default),
    have no pair.
    """
    query_set, query_of, _ = without_gaps(queries, alphabet).distinct()
    reference_set, reference_of, _ = without_gaps(references, alphabet).distinct()
    left, right = Library.of(query_set, alphabet), Library.of(reference_set, alphabet)
    n_rows = n_rows or max(len(reference_of), 1)
    exact = search == "exact" or (search == "auto" and work(left.lengths, right.lengths) <= NEAREST_WORK)
    if exact:
        parts = [np.concatenate(each) for each in zip(*_compared(left, right, most, n_rows), strict=True)]
        own, other, values = parts or (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    else:
        found = list(by_words(left, right, max(ALIGNED_PER_QUERY, most)))
        own, other = (np.concatenate([part[side] for part in found] or [np.zeros(0, np.int64)]) for side in (0, 1))
        values = identities(left, right, (own, other), n_rows)
    return spread(own, other, values, query_of, reference_of, most, exact)


def _compared(left: Library, right: Library, most: int, n_rows: int) -> Iterator[tuple[np.ndarray, ...]]:
    """For every query the `most` closest of all references, and their identities."""
    _ = left.strings, right.strings, right.database

    def of(query: int) -> tuple[np.ndarray, ...]:
        kept, values = closest(left, query, right, most, n_rows)
        return np.full(len(kept), query), kept, values

    yield from in_threads(of, range(len(left)))


def by_words(left: Library, right: Library, n_aligned: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For every query the references with most equal residues along a diagonal through one of its rarest words."""
    spelling = spelling_of(right, left)
    own = [words_of(left.tokens, spelling, shape) for shape in spelling.shapes]
    postings = [Postings.of(words_of(right.tokens, spelling, shape)) for shape in spelling.shapes]
    per_block = max(BLOCK_HITS // (HITS_PER_QUERY * len(own)), 1)
    for start in range(0, len(left), per_block):
        end = min(start + per_block, len(left))
        parts = [_rarest(words, lists, start, end) for words, lists in zip(own, postings, strict=True)]
        hits = Hits(*(np.concatenate(side) for side in zip(*parts, strict=True)))
        hits = hits.one_of_each(len(right))
        shorter = np.minimum(left.lengths[hits.queries], right.lengths[hits.references])
        share = diagonal_matches(left, right, hits) / np.maximum(shorter, 1)
        yield _top_pairs(hits.queries, hits.references, share, n_aligned)


def _rarest(words: Words, postings: Postings, start: int, end: int) -> Hits:
    """`HITS_PER_QUERY` hits of each of the queries from `start` to `end`, of its rarest words first."""
    chosen = np.arange(words.starts[start], words.starts[end])
    low, size = postings.stretches(words.codes[chosen])
    order = np.lexsort((size, words.rows[chosen]))
    chosen, low, size = chosen[order], low[order], size[order]
    before = np.cumsum(size) - size
    heads = np.searchsorted(words.rows[chosen], np.arange(start, end))
    before = before - np.append(before, 0)[heads][words.rows[chosen] - start]
    return postings.hits(words, chosen, low, np.clip(HITS_PER_QUERY - before, 0, size))


def _top_pairs(queries: np.ndarray, references: np.ndarray, value: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The `n` references of highest value of each query."""
    order = np.lexsort((references, -value, queries))
    queries, references = queries[order], references[order]
    pair = np.stack([queries, references])
    first = np.sort(np.unique(pair, axis=1, return_index=True)[1])  # the best diagonal of a pair
    queries, references = queries[first], references[first]
    rank = np.arange(len(queries)) - np.searchsorted(queries, queries)
    return queries[rank < n], references[rank < n]


def spread(
    left: np.ndarray,
    right: np.ndarray,
    values: np.ndarray,
    query_of: np.ndarray,
    reference_of: np.ndarray,
    most: int,
    exact: bool,
) -> Neighbours:
    """Pairs of distinct sequences as pairs of rows, the best `most` of each query."""
    alike = values > 0
    left, right, values = left[alike], right[alike], values[alike]
    order = np.lexsort((right, -values, left))
    left, right, values = left[order], right[order], values[order]
    copies = np.argsort(reference_of, kind="stable")
    first = np.searchsorted(reference_of[copies], right)
    n_copies = np.minimum(np.searchsorted(reference_of[copies], right, side="right") - first, most)
    pair = np.repeat(np.arange(len(left)), n_copies)
    within = np.arange(len(pair)) - np.repeat(np.cumsum(n_copies) - n_copies, n_copies)
    own, rows = left[pair], copies[first[pair] + within]
    rank = np.arange(len(own)) - np.searchsorted(own, own)
    own, rows, values = own[rank < most], rows[rank < most], values[pair][rank < most]
    begin = np.searchsorted(own, query_of)
    size = np.searchsorted(own, query_of, side="right") - begin
    queries = np.repeat(np.arange(len(query_of)), size)
    place = np.repeat(begin, size) + np.arange(len(queries)) - np.repeat(np.cumsum(size) - size, size)
    return Neighbours(queries, rows[place], values[place], len(query_of), exact)
