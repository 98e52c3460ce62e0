"""The definition of identity, and alignments by pyopal to measure it.

Identity is the number of identical residues in the best local alignment over the length of the shorter sequence (as CD-HIT
and mmseqs2's `--seq-id-mode 1` have it); of equally good alignments the one with most is taken. It counts only where the
alignment is no accident: where it covers `COVERAGE` of both sequences, or its E-value among the rows of the table is at most
`MAX_EVALUE`; elsewhere it is 0.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from seqloom.alphabet import ALPHABETS, Alphabet
from seqloom.tokens import Tokens

if TYPE_CHECKING:
    import pyopal

COVERAGE = 0.8
MAX_EVALUE = 1e-3
TIE = 1e-6
HIGHEST = 12
"""Above the score of any pair of residues, so that a sequence of length L scores less than this times L."""
WINDOW = 64
"""Residues about a shared word that are compared first."""
CHUNK_PAIRS = 20_000
TRACED_FIRST = 16
"""Alignments of a query that are traced before it is asked whether others can be closer."""

MURPHY = "LVIM C A G ST P FYW EDNQ KR H"
"""Ten classes of amino acids (Murphy et al. 2000, doi:10.1093/protein/13.3.149): words of classes survive substitution."""


@dataclass(frozen=True)
class Scoring:
    """How one kind of sequence is aligned: substitution scores, gap costs and their Karlin-Altschul statistics."""

    name: str
    matrix: Any  # scoring_matrices.ScoringMatrix
    letters: np.ndarray  # uint8 (V,): the matrix letter of each id
    scores: np.ndarray  # int16 (V, V): the matrix by ids
    classes: np.ndarray  # uint8 (V,): class of each id in words, 255 for ids that no word may hold
    n_classes: int
    gap_open: int  # cost of the first residue of a gap
    gap_extend: int
    decay: float  # lambda
    constant: float  # K

    def evalue(self, score: np.ndarray, left: np.ndarray, right: np.ndarray, n_rows: int) -> np.ndarray:
        """Alignments this good that one sequence would have by chance among `n_rows` others, float64 (P,).

        `left`, `right`: lengths (P,). E = n K l r exp(-lambda S) (Karlin and Altschul 1990, doi:10.1073/pnas.87.6.2264).
        """
        return np.exp(np.minimum(self._log_space(left, right, n_rows) - self.decay * score, 50.0))

    def significant_score(self, left: np.ndarray, right: np.ndarray, n_rows: int) -> np.ndarray:
        """The least score whose E-value is small enough, float64 (P,)."""
        return (self._log_space(left, right, n_rows) - np.log(MAX_EVALUE)) / self.decay

    def _log_space(self, left: np.ndarray, right: np.ndarray, n_rows: int) -> np.ndarray:
        return np.log(n_rows * self.constant * np.maximum(left, 1).astype(float) * np.maximum(right, 1))


class Aligner(NamedTuple):
    """Aligns by scores times `scale`, and one for each identical residue: of equally good alignments that with most of them.

    Both are read from one number, score * scale + matches, as long as the scale is above the length of the query.
    """

    scale: int
    program: Any  # pyopal.Aligner

    def align(self, left: Library, query: int, database: Any, *, traced: bool = False) -> list[Any]:
        """pyopal's results against the sequences of `database`: scores and ends, `traced` starts and columns as well."""
        results: list[Any] = self.program.align(left.strings[query], database, mode="full" if traced else "end")
        return results


def aligner_of(scoring: Scoring, length: int) -> Aligner:
    """The aligner of queries of this length; of more than some 12,000 residues ties are not all broken so."""
    bits = max(length.bit_length(), 6)
    while HIGHEST * length << bits >= 1 << 31:
        bits -= 1
    return _aligner(scoring.name, 1 << bits)


@lru_cache(maxsize=32)
def _aligner(name: str, scale: int) -> Aligner:
    import pyopal
    from scoring_matrices import ScoringMatrix

    own = scoring_of(name)
    scores = np.array([list(row) for row in own.matrix])
    matrix = ScoringMatrix((scores * scale + np.eye(len(scores))).tolist(), alphabet=own.matrix.alphabet)
    return Aligner(scale, pyopal.Aligner(matrix, gap_open=own.gap_open * scale, gap_extend=own.gap_extend * scale))


@lru_cache(maxsize=8)
def scoring_of(name: str) -> Scoring:
    """The scoring of an alphabet: BLOSUM62 with gaps 11/1 for proteins, 2/-3 with gaps 5/2 for nucleic acids."""
    from scoring_matrices import ScoringMatrix

    alphabet = ALPHABETS[name]
    if name == "protein":
        matrix = ScoringMatrix.from_name("BLOSUM62")
        known, unknown, groups = "ARNDCQEGHILKMFPSTWYVBZX", "X", MURPHY.split()  # pyopal reads no "*"
        costs = (12, 1, 0.267, 0.041)  # BLAST's 11/1: a gap of n residues costs 11 + n
    else:
        rows = np.where(np.eye(5, dtype=bool), 2, -3)
        rows[4, 4] = -3  # two unknown residues are not one and the same
        matrix = ScoringMatrix(rows.tolist(), alphabet="ACGTN")
        known, unknown, groups = "ACGTN", "N", list("ACGT")
        costs = (7, 2, 0.625, 0.41)
    symbols = "\0" + alphabet.symbols.replace("U", "T" if name in ("dna", "rna") else "U")
    letters = "".join(each if each in known else unknown for each in symbols)
    index = np.array([known.index(each) for each in letters])
    scores = np.array([list(row) for row in matrix], np.int16)[np.ix_(index, index)]
    classes = np.full(len(symbols), 255, np.uint8)
    for number, group in enumerate(groups):
        classes[[place for place, each in enumerate(symbols) if each in group]] = number
    return Scoring(name, matrix, np.frombuffer(letters.encode(), np.uint8), scores, classes, len(groups), *costs)


@dataclass(frozen=True)
class Library:
    """Sequences made ready for search; gap symbols of aligned input are left out."""

    tokens: Tokens
    scoring: Scoring

    @staticmethod
    def of(tokens: Tokens, alphabet: Alphabet) -> Library:
        """The sequences of `tokens`."""
        return Library(without_gaps(tokens, alphabet), scoring_of(alphabet.name))

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Residues of each sequence, int64 (N,)."""
        return self.tokens.lengths

    @cached_property
    def windows(self) -> np.ndarray:
        """The `WINDOW` residues from each place on, uint8 (residues + 1, `WINDOW`), a view; 0 after the last sequence."""
        padded = np.concatenate([self.tokens.values, np.zeros(WINDOW, self.tokens.values.dtype)])
        return np.lib.stride_tricks.sliding_window_view(padded, WINDOW)

    @cached_property
    def strings(self) -> list[bytes]:
        """Sequences in the letters of the matrix."""
        text = self.scoring.letters[self.tokens.values].tobytes()
        return [text[start:end] for start, end in pairwise(self.tokens.offsets.tolist())]

    @cached_property
    def database(self) -> pyopal.Database:
        """The same for pyopal."""
        import pyopal

        return pyopal.Database(self.strings, alphabet=pyopal.Alphabet(self.scoring.matrix.alphabet))

    @cached_property
    def residue_counts(self) -> np.ndarray:
        """How often each letter of the matrix occurs in each sequence, uint16 (N, 32)."""
        rows = np.repeat(np.arange(len(self)), self.lengths)
        letters = self.scoring.letters[self.tokens.values] & 31
        return np.bincount(rows * 32 + letters, minlength=len(self) * 32).reshape(len(self), 32).astype(np.uint16)

    def shared_residues(self, counts: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Residues that sequences of `rows` share with one of these `counts` (32,), whatever their order, int64 (M,): identical
        residues of an alignment are never more."""
        shared: np.ndarray = np.minimum(self.residue_counts[rows], counts).sum(axis=1, dtype=np.int64)
        return shared

    def take(self, rows: np.ndarray) -> Library:
        """The sequences of `rows`."""
        return Library(self.tokens.take(rows), self.scoring)


def identities(
    left: Library, right: Library, pairs: tuple[np.ndarray, np.ndarray], n_rows: int, least: float = 0.0
) -> np.ndarray:
    """Identity of each pair, float32 (P,), 0 where the best local alignment may be chance among `n_rows` rows.

    `pairs`: rows of `left` and rows of `right`, int64 (P,) each. With `least`, pairs that cannot reach that identity by their
    scores are not traced and have 0.
    """
    found = np.zeros(len(pairs[0]), np.float32)
    if not len(found):
        return found
    order = np.argsort(pairs[0], kind="stable")
    queries, references = pairs[0][order], pairs[1][order]
    starts = np.flatnonzero(np.concatenate([[True], queries[1:] != queries[:-1]]))
    runs = list(pairwise([*starts.tolist(), len(queries)]))
    _ = left.strings, right.database  # made once, before threads ask for them

    def of(batch: list[tuple[int, int]]) -> np.ndarray:
        return np.concatenate(
            [of_query(left, int(queries[a]), right, references[a:b], n_rows, least) for a, b in batch]
        )

    found[order] = np.concatenate(list(in_threads(of, _batches(runs))))
    return found


def counted(
    scoring: Scoring,
    matches: np.ndarray,
    spans: tuple[np.ndarray, np.ndarray],
    score: np.ndarray,
    lengths: tuple[np.ndarray, np.ndarray],
    n_rows: int,
) -> np.ndarray:
    """Matches per residue of the shorter sequence where the alignment is no accident, else 0; float32 (P,)."""
    whole = (spans[0] >= COVERAGE * lengths[0]) & (spans[1] >= COVERAGE * lengths[1])
    sure = scoring.evalue(score, lengths[0], lengths[1], n_rows) <= MAX_EVALUE
    shorter = np.maximum(np.minimum(*lengths), 1)
    identity: np.ndarray = np.where(whole | sure, matches / shorter, 0.0).astype(np.float32)
    return identity


def plausible(left: Library, query: int, right: Library, rows: np.ndarray, least: float, n_rows: int) -> np.ndarray:
    """Those of `rows` (int64) of `right` that may be alike to `query` at identity `least`, by score and end alone."""
    wanted = np.minimum(right.lengths[rows], left.lengths[query]) * (least - TIE)
    rows = rows[right.shared_residues(left.residue_counts[query], rows) >= wanted]
    if not len(rows):
        return rows
    database = right.database if len(rows) == len(right) else right.database.extract(rows.tolist())
    promise = _promises(left, query, right.lengths[rows], database, n_rows, least)
    return rows[promise.identity >= least - TIE]


def closest(left: Library, query: int, right: Library, most: int, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The `most` rows of `right` of highest identity to `query`, int64 (K,), and their identities, float32 (K,).

    Of equal ones the first; fewer where fewer are alike. Alignments are traced, the most promising first, until no other can
    come closer.
    """
    promise = _promises(left, query, right.lengths, right.database, n_rows)
    value = np.where(promise.sure, promise.identity, np.float32(0))
    waiting = np.flatnonzero(~promise.sure & (promise.identity > 0))
    waiting = waiting[np.argsort(-promise.identity[waiting], kind="stable")]
    size = max(TRACED_FIRST, most)
    while len(waiting):
        reached = np.partition(value, -most)[-most] if most <= len(value) else np.float32(0)
        part, waiting = waiting[:size], waiting[size:]
        part = part[promise.identity[part] >= reached]
        if not len(part):
            break
        value[part] = _traced(left, query, right.lengths[part], right.database.extract(part.tolist()), n_rows)
        size *= 4
    alike = np.flatnonzero(value > 0)
    alike = alike[np.argsort(-value[alike], kind="stable")][:most]
    return alike, value[alike]


def promised(left: Library, query: int, right: Library, n_rows: int) -> np.ndarray:
    """Of the identity of `query` with every row of `right`, what it cannot exceed; float32 (M,), 0 where none can count."""
    return _promises(left, query, right.lengths, right.database, n_rows).identity


def of_query(
    left: Library, query: int, right: Library, references: np.ndarray, n_rows: int, least: float = 0.0
) -> np.ndarray:
    """Identity of `query` with each of `references` (int64 (K,)) of `right`, float32 (K,); as by `identities`."""
    chosen = right.database.extract(references.tolist())
    promise = _promises(left, query, right.lengths[references], chosen, n_rows, least)
    found: np.ndarray = np.where(promise.sure, promise.identity, np.float32(0))
    open_ = np.flatnonzero(~promise.sure & (promise.identity > 0) & (promise.identity >= least - TIE))
    if len(open_):
        found[open_] = _traced(left, query, right.lengths[references[open_]], chosen.extract(open_.tolist()), n_rows)
    return found


def in_threads(function: Any, parts: Iterable[Any]) -> Iterator[Any]:
    """`function` of each part, in order; pyopal lets other threads run while it aligns."""
    n_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(n_threads) as pool:
        yield from pool.map(function, parts)


def without_gaps(tokens: Tokens, alphabet: Alphabet) -> Tokens:
    """The sequences without gap symbols."""
    gaps = [alphabet.look_up[ord(each)] for each in "-." if each in alphabet.symbols]
    keep = ~np.isin(tokens.values, gaps)
    if keep.all():
        return tokens
    counted_to = np.concatenate([[0], np.cumsum(keep)])
    return Tokens(tokens.values[keep], counted_to[tokens.offsets])


class _Promise(NamedTuple):
    """What is known of the best local alignments of one query before they are traced."""

    identity: np.ndarray  # float32 (M,): what it is if the alignment counts, 0 where it cannot count
    sure: np.ndarray  # bool (M,): it counts, and the identity is known


def _promises(
    left: Library, query: int, lengths: np.ndarray, database: Any, n_rows: int, least: float = 0.0
) -> _Promise:
    """What scores and ends tell of the alignments with sequences of these `lengths`; 0 for those below identity `least`."""
    length = int(left.lengths[query])
    aligner = aligner_of(left.scoring, length)
    results = aligner.align(left, query, database)
    score, matches = np.divmod(_column(results, "score"), aligner.scale)
    shorter = np.minimum(lengths, length)
    unpacked = aligner.scale > length
    if not unpacked:
        matches = shorter
    identity, sure = np.zeros(len(lengths), np.float32), np.zeros(len(lengths), bool)
    kept = np.flatnonzero(matches >= shorter * (least - TIE))
    if len(kept):
        chosen, others = [results[at] for at in kept.tolist()], lengths[kept]
        own = np.full(len(kept), length)
        surely = score[kept] >= left.scoring.significant_score(own, others, n_rows)
        whole = (_column(chosen, "query_end") + 1 >= COVERAGE * own) & (
            _column(chosen, "target_end") + 1 >= COVERAGE * others
        )
        identity[kept] = np.where(surely | whole, matches[kept] / np.maximum(shorter[kept], 1), 0.0)
        sure[kept] = surely & unpacked
    return _Promise(identity, sure)


def _traced(left: Library, query: int, lengths: np.ndarray, database: Any, n_rows: int) -> np.ndarray:
    """Identities by whole alignments, float32 (M,)."""
    aligner = aligner_of(left.scoring, int(left.lengths[query]))
    results = aligner.align(left, query, database, traced=True)
    matches = np.array([each.alignment.count("M") for each in results])
    own_span = _column(results, "query_end") - _column(results, "query_start") + 1
    other_span = _column(results, "target_end") - _column(results, "target_start") + 1
    score = (_column(results, "score") - matches) // aligner.scale
    own = np.full(len(lengths), left.lengths[query])
    return counted(left.scoring, matches, (own_span, other_span), score, (own, lengths), n_rows)


def _batches(runs: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    batch: list[tuple[int, int]] = []
    size = 0
    for run in runs:
        batch.append(run)
        size += run[1] - run[0]
        if size >= CHUNK_PAIRS // 16:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _column(results: list[Any], name: str) -> np.ndarray:
    return np.fromiter(map(attrgetter(name), results), np.int64, len(results))
