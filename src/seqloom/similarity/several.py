"""What is closest where rows have several sequences: two rows are as alike as the column in which they are least alike.

All rows are asked where that takes seconds. In larger sets those are asked whose sequence shares words with the query's, in a
column that tells rows apart; the most alike of all is among them if it is alike there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seqloom.alphabet import Alphabet
from seqloom.similarity.alignment import TRACED_FIRST, Library, in_threads, of_query, promised, without_gaps
from seqloom.similarity.closest import by_words, spread
from seqloom.similarity.effort import NEAREST_WORK, Search, work
from seqloom.similarity.fingerprints import nearest_prints, pair_tanimoto
from seqloom.similarity.neighbours import Neighbours
from seqloom.tokens import Tokens

PROPOSED = 64
"""Distinct sequences of a column that words propose for a query, those of most equal residues along a diagonal first."""
MOST_PROPOSED = 2000
"""Rows that hold these and are asked."""
ROW_PAIRS = 2e9
"""Pairs of rows that are all asked, if their sequences allow it."""
KEPT = 20_000_000
"""Bounds of a column that are kept."""
CHEAP = 2e9
"""Cells of a column whose bounds are asked for even where its rows are not all compared: a fraction of a second."""


@dataclass(frozen=True)
class Column:
    """One column of the rows asked about and of those they are compared with, as numbers of distinct sequences."""

    of_query: np.ndarray  # int64 (N,)
    of_reference: np.ndarray  # int64 (M,)
    work: float
    """To compare all that is distinct, in cells of an alignment."""
    bounds: Callable[[int], np.ndarray]
    """Of a query's sequence: what no distinct reference is more alike to it than, float32 (D,)."""
    compare: Callable[[int, np.ndarray], np.ndarray]
    """Similarity of a query's sequence to distinct references (int64 (K,)), float32 (K,)."""
    propose: Callable[[int], tuple[np.ndarray, np.ndarray]]
    """Pairs of a query's sequence and one of so many distinct references that seem most alike to it."""
    measure: str = "identity"


def aligned(queries: Tokens, references: Tokens, alphabet: Alphabet, n_rows: int) -> Column:
    """Sequences by the identity of their alignment, where that is beyond chance among `n_rows` rows."""
    query_set, query_of, _ = without_gaps(queries, alphabet).distinct()
    reference_set, reference_of, _ = without_gaps(references, alphabet).distinct()
    left, right = Library.of(query_set, alphabet), Library.of(reference_set, alphabet)
    _ = left.strings, right.database  # made once, before threads ask for them

    def propose(n: int) -> tuple[np.ndarray, np.ndarray]:
        found = list(by_words(left, right, n))
        own, other = (np.concatenate([part[side] for part in found] or [np.zeros(0, np.int64)]) for side in (0, 1))
        return own, other

    return Column(
        query_of,
        reference_of,
        work(left.lengths, right.lengths),
        lambda own: promised(left, own, right, n_rows),
        lambda own, others: of_query(left, own, right, others, n_rows),
        propose,
    )


def molecules(texts: np.ndarray, prints: np.ndarray, unread: np.ndarray, n_queries: int) -> Column:
    """Molecules by the Tanimoto similarity of `prints` (uint64 (N + M, W)), those `unread` by whether their text is equal.

    `texts`: int64 (N + M,), equal for equal text; the `n_queries` rows asked about come first.
    """
    distinct, first, of_row = np.unique(texts, return_index=True, return_inverse=True)
    prints, unread = prints[first], unread[first]

    def compare(own: int, others: np.ndarray) -> np.ndarray:
        values = pair_tanimoto(prints, np.full(len(others), own), others)
        values[unread[others] | unread[own]] = 0
        values[others == own] = 1
        return values

    def propose(n: int) -> tuple[np.ndarray, np.ndarray]:
        own, other = np.unique(of_row[:n_queries]), np.unique(of_row[n_queries:])
        same = np.intersect1d(own, other)
        own, other = own[~unread[own]], other[~unread[other]]
        found = nearest_prints(prints[own], prints[other], n)
        pairs = np.concatenate(
            [np.stack([own[found.queries], other[found.references]]), np.stack([same, same])], axis=1
        )
        left, right = np.unique(pairs, axis=1)
        return left, right

    every = np.arange(len(distinct))
    own, other = of_row[:n_queries], of_row[n_queries:]
    cost = 50.0 * len(np.unique(own)) * len(np.unique(other))  # cells in the time of a comparison
    return Column(own, other, cost, lambda row: compare(row, every), compare, propose, "tanimoto")


def nearest_in_all(columns: Sequence[Column], most: int = 1, search: Search = "auto") -> Neighbours:
    """The `most` closest references of each query, by the lowest similarity over `columns`; no pair where none is alike."""
    own, query_of = np.unique(np.stack([each.of_query for each in columns], 1), axis=0, return_inverse=True)
    other, reference_of = np.unique(np.stack([each.of_reference for each in columns], 1), axis=0, return_inverse=True)
    own, other = own.reshape(-1, len(columns)), other.reshape(-1, len(columns))
    few = sum(each.work for each in columns) <= NEAREST_WORK and float(len(own)) * len(other) <= ROW_PAIRS
    exact = search == "exact" or (search == "auto" and few)
    bounds = [_kept(each) if exact or each.work <= CHEAP else _no_bound(each) for each in columns]
    candidates = None if exact else _candidates(columns, own, other)

    def of(query: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = None if candidates is None else candidates(query)
        kept, values = _closest(columns, bounds, own[query], other, rows, most)
        return np.full(len(kept), query), kept, values

    parts = list(in_threads(of, range(len(own)))) if len(other) else []
    empty = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    left, right, values = (np.concatenate(each) for each in zip(*parts or [empty], strict=True))
    found = spread(left, right, values, query_of.ravel(), reference_of.ravel(), most, exact)
    return replace(found, measure="tanimoto" if all(each.measure == "tanimoto" for each in columns) else "identity")


def _kept(column: Column) -> Callable[[int], np.ndarray]:
    """The bounds of a column, those asked last being kept as long as they are few."""
    held: dict[int, np.ndarray] = {}
    most = max(KEPT // (int(column.of_reference.max(initial=0)) + 1), 1)

    def of(row: int) -> np.ndarray:
        found = held.get(row)
        if found is None:
            while len(held) >= most:  # threads may both find it full, and take out the same
                held.pop(next(iter(held.copy()), -1), None)
            found = held[row] = column.bounds(row)
        return found

    return of


def _no_bound(column: Column) -> Callable[[int], np.ndarray]:
    every = np.ones(int(column.of_reference.max(initial=0)) + 1, np.float32)
    return lambda _: every


def _closest(
    columns: Sequence[Column],
    bounds: Sequence[Callable[[int], np.ndarray]],
    own: np.ndarray,
    other: np.ndarray,
    rows: np.ndarray | None,
    most: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `other` (int64 (M, C)) closest to `own` (C,) and their similarity; of all, or of `rows`.

    Rows are compared in order of their bounds, until no other can come closer.
    """
    rows = np.arange(len(other)) if rows is None else rows
    asked = other[rows]
    bound = np.ones(len(rows), np.float32)
    for c, of in enumerate(bounds):
        np.minimum(bound, of(int(own[c]))[asked[:, c]], out=bound)
    waiting = np.flatnonzero(bound > 0)
    kept, values = np.zeros(0, np.int64), np.zeros(0, np.float32)
    size = max(TRACED_FIRST, most)
    while len(waiting):
        if len(values) == most:
            waiting = waiting[bound[waiting] > values[-1]]
        part = waiting
        if len(waiting) > size:
            order = np.argpartition(-bound[waiting], size)
            part, waiting = waiting[order[:size]], waiting[order[size:]]
        else:
            waiting = waiting[:0]
        least = values[-1] if len(values) == most else np.float32(0)
        reached = np.ones(len(part), np.float32)
        for c, column in enumerate(
            columns
        ):  # the next column is asked only of what is still closer than the best known
            distinct, place = np.unique(asked[part, c], return_inverse=True)
            reached = np.minimum(reached, column.compare(int(own[c]), distinct)[place])
            part, reached = part[reached > least], reached[reached > least]
        kept, values = np.append(kept, rows[part]), np.append(values, reached)
        best = np.lexsort((kept, -values))[:most]
        best = best[values[best] > 0]
        kept, values = kept[best], values[best]
        size *= 4
    return kept, values


def _candidates(columns: Sequence[Column], own: np.ndarray, other: np.ndarray) -> Callable[[int], np.ndarray]:
    """Of a query (a row of `own`, int64 (N, C)), the rows of `other` (M, C) that the columns propose.

    Columns of far fewer distinct sequences than another propose nothing: too many rows hold each of them.
    """
    n_distinct = np.array([len(np.unique(other[:, c])) for c in range(len(columns))])
    telling = np.flatnonzero(n_distinct * 4 >= n_distinct.max(initial=0)).tolist()
    lists = [_Lists.of(columns[c].propose(PROPOSED), other[:, c]) for c in telling]

    def of(query: int) -> np.ndarray:
        found = [each.rows(int(own[query, c])) for c, each in zip(telling, lists, strict=True)]
        return np.unique(np.concatenate(found))

    return of


@dataclass(frozen=True)
class _Lists:
    """The distinct references proposed for every distinct query of a column, and the rows that hold each of these."""

    queries: np.ndarray  # int64 (P,), sorted
    references: np.ndarray  # int64 (P,)
    held: np.ndarray  # int64 (M,), sorted
    holders: np.ndarray  # int64 (M,)

    @staticmethod
    def of(pairs: tuple[np.ndarray, np.ndarray], held: np.ndarray) -> _Lists:
        """Of pairs, best first for each query, and the distinct reference that each row holds (M,)."""
        order, holders = np.argsort(pairs[0], kind="stable"), np.argsort(held, kind="stable")
        return _Lists(pairs[0][order], pairs[1][order], held[holders], holders)

    def rows(self, query: int) -> np.ndarray:
        """Rows proposed for a distinct query, `MOST_PROPOSED` at most."""
        start, end = np.searchsorted(self.queries, [query, query + 1])
        return np.concatenate([np.zeros(0, np.int64), *self._holders(self.references[start:end])])[:MOST_PROPOSED]

    def _holders(self, references: np.ndarray) -> Iterator[np.ndarray]:
        starts, ends = (np.searchsorted(self.held, references, side) for side in ("left", "right"))
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            yield self.holders[start:end]
