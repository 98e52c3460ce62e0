"""Copies: the nearest natural sequence of each sequence, over the whole length of both.

Identity here is the number of identical residues in the best global alignment over the length of the *longer* sequence: a short
piece of a natural protein is no copy of it, and a copy with a few residues more at an end is nearly one. (Splits measure
something else, see `seqloom.similarity`: there a shared piece is enough.) Of molecules it is the Tanimoto similarity of Morgan
fingerprints, and a copy is what has the same canonical SMILES.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

from seqloom.alphabet import SMILES, Alphabet
from seqloom.chemistry import canonical, fingerprints
from seqloom.quality.columns import one_hot
from seqloom.quality.family import Family
from seqloom.similarity.alignment import Library, aligner_of, scoring_of
from seqloom.similarity.closest import by_words
from seqloom.similarity.fingerprints import nearest_prints
from seqloom.tokens import Tokens

NEAR = 0.9
"""Identity from which a sequence is called a near copy."""
MEMORISED = 0.95
"""Identity from which it is called memorised: on 90 residues, four differences."""
TIE = 1e-9
CANDIDATES = 128
"""References aligned with each sequence: those with most equal residues in the columns of the family. Of MinE samples with a
neighbour at half of their residues none was missed with 64; of profile emissions (0.42) one in eight, by 0.03 at most."""
TRACED = 8
"""Of these, the number that is aligned from end to end."""
LONGEST_GLOBAL = 2900
"""Residues up to which scores fit 16 bits, were they all tryptophan; longer sequences are aligned locally, and their matches
counted over the longer length all the same."""
WORD_CANDIDATES = 16
"""The same where there is no family to align to."""
MOST_COLUMNS = 400
"""Columns by which candidates are chosen; of longer families evenly spaced ones."""
BLOCK = 4096


@dataclass(frozen=True)
class Bank:
    """N sequences made ready to be compared."""

    tokens: Tokens
    alphabet: Alphabet
    family: Family | None

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def library(self) -> Library:
        """For alignments; gap symbols left out."""
        return Library.of(self.tokens, self.alphabet)

    @cached_property
    def aligned(self) -> np.ndarray:
        """Residues in the columns of the family, uint8 (N, K); no column without a family."""
        return np.zeros((len(self), 0), np.uint8) if self.family is None else self.family.aligned(self.tokens)

    @cached_property
    def texts(self) -> list[str]:
        """What is the same for two copies: letters, or canonical SMILES."""
        texts = self.alphabet.decode(self.library.tokens if self.alphabet.name != SMILES.name else self.tokens)
        return canonical(texts) if self.alphabet.name == SMILES.name else texts

    @cached_property
    def prints(self) -> np.ndarray:
        """Morgan fingerprints, uint64 (N, W)."""
        return fingerprints(self.alphabet.decode(self.tokens))[0]


@dataclass(frozen=True)
class Nearest:
    """The closest reference of each of N sequences."""

    rows: np.ndarray
    """int64 (N,), -1 where there is none."""
    identity: np.ndarray
    """float64 (N,), 0 where there is none."""
    exact: bool
    """Whether every reference was aligned; otherwise `CANDIDATES` of each."""

    def share(self, identity: float) -> float:
        """Of sequences with a neighbour at this identity or more; NaN of none."""
        return float((self.identity >= identity - TIE).mean()) if len(self.identity) else float("nan")


class Alignment(NamedTuple):
    """Two sequences over each other: `|` equal, `+` alike (a positive score), gaps `-`."""

    query: str
    middle: str
    reference: str


def nearest(queries: Bank, references: Bank, *, other: bool = False) -> Nearest:
    """The closest of M references for each of N sequences; `other`: of one and the same set, the closest of the rest."""
    if not len(queries) or len(references) <= other:
        return Nearest(np.full(len(queries), -1), np.zeros(len(queries)), True)
    if queries.alphabet.name == SMILES.name:
        return _nearest_molecules(queries, references, other)
    distinct, row_of, _ = queries.tokens.distinct()
    if not other and len(distinct) < len(queries):  # a collapsed set holds one sequence a thousand times
        found = nearest(Bank(distinct, queries.alphabet, queries.family), references)
        return Nearest(found.rows[row_of], found.identity[row_of], found.exact)
    candidates = _candidates(queries, references, other)
    rows, identity = np.full(len(queries), -1), np.zeros(len(queries))
    for query, chosen in enumerate(candidates):
        if len(chosen) and queries.library.lengths[query]:
            chosen = _promising(queries.library, query, references.library, chosen)
            values = identities(queries.library, query, references.library, chosen)
            best = int(np.argmax(values))
            rows[query], identity[query] = chosen[best], values[best]
    rows[identity == 0] = -1
    return Nearest(rows, identity, len(references) - other <= CANDIDATES)


def is_copy(queries: Bank, references: Bank) -> np.ndarray:
    """Which of N sequences are equal to a reference, letter by letter (molecules: by canonical SMILES), bool (N,)."""
    known = set(references.texts)
    return np.array([bool(text) and text in known for text in queries.texts], bool)


def identities(left: Library, query: int, right: Library, rows: np.ndarray) -> np.ndarray:
    """Global identity of one sequence with each of `rows` (int64 (M,)) of `right`, float64 (M,); 0 where one is empty."""
    length, others = int(left.lengths[query]), right.lengths[rows]
    filled = np.flatnonzero(others > 0)
    found = np.zeros(len(rows))
    if length and len(filled):
        results = _traced(left, query, right, rows[filled])
        matches = np.array([each.alignment.count("M") for each in results])
        found[filled] = matches / np.maximum(others, length)[filled]
    return found


def alignments(queries: Bank, references: Bank, found: Nearest) -> list[Alignment | None]:
    """Each sequence aligned with its neighbour from end to end; None where there is none, and for molecules."""
    if queries.alphabet.name == SMILES.name:
        return [None] * len(queries)
    return [
        None if reference < 0 else _aligned(queries.library, query, references.library, reference)
        for query, reference in enumerate(found.rows.tolist())
    ]


def _aligned(left: Library, query: int, right: Library, reference: int) -> Alignment:
    (result,) = _traced(left, query, right, np.array([reference]))
    own, other = left.strings[query].decode(), right.strings[reference].decode()
    letters = left.scoring.matrix.alphabet
    rows: tuple[list[str], ...] = ([], [], [])
    i, j = result.query_start, result.target_start
    for step in result.alignment:  # M equal, X not, I a gap in the query, D one in the reference
        a, b = ("-" if step == "I" else own[i]), ("-" if step == "D" else other[j])
        i, j = i + (step != "I"), j + (step != "D")
        alike = "-" not in (a, b) and left.scoring.matrix[letters.index(a)][letters.index(b)] > 0
        for row, symbol in zip(rows, (a, "|" if step == "M" else "+" if alike else " ", b), strict=True):
            row.append(symbol)
    return Alignment(*("".join(row) for row in rows))


def _promising(left: Library, query: int, right: Library, rows: np.ndarray) -> np.ndarray:
    """The `TRACED` of `rows` (int64 (M,)) with most matches in the best local alignment, over the longer length."""
    if len(rows) <= TRACED:
        return rows
    aligner = aligner_of(left.scoring, int(left.lengths[query]))
    results = aligner.align(left, query, right.database.extract(rows.tolist()))
    matches = np.array([each.score for each in results]) % aligner.scale
    share = matches / np.maximum(right.lengths[rows], left.lengths[query])
    return np.sort(rows[np.argsort(-share, kind="stable")[:TRACED]])


def _traced(left: Library, query: int, right: Library, rows: np.ndarray) -> list[Any]:
    """pyopal's global alignments with their columns; of very long sequences local ones.

    Without the scale of `similarity.alignment`, by which a score carries its matches: that needs 32 bits, and there pyopal 0.7
    now and then returns a global score near 2^31, and writes outside its memory when it traces it. 16 bits saturate.
    """
    longest = int(max(left.lengths[query], right.lengths[rows].max(initial=0)))
    database = right.database.extract(rows.tolist())
    algorithm = "nw" if longest <= LONGEST_GLOBAL else "sw"
    results: list[Any] = _global_aligner(left.scoring.name).align(
        left.strings[query], database, mode="full", algorithm=algorithm
    )
    return results


@lru_cache(maxsize=8)
def _global_aligner(name: str) -> Any:
    import pyopal

    own = scoring_of(name)
    return pyopal.Aligner(own.matrix, gap_open=own.gap_open, gap_extend=own.gap_extend)


def _candidates(queries: Bank, references: Bank, other: bool) -> list[np.ndarray]:
    """References worth aligning with each sequence, in order of their rows; all where they are few."""
    n, n_references = len(queries), len(references)
    if n_references - other <= CANDIDATES:
        every = np.arange(n_references)
        return [every[every != query] if other else every for query in range(n)]
    if queries.family is None or not queries.aligned.shape[1]:
        return _by_words(queries, references, other)
    shared = _shared_residues(queries, references)
    if other:
        np.fill_diagonal(shared, -1.0)
    top = np.argpartition(-shared, CANDIDATES - 1, axis=1)[:, :CANDIDATES]
    return list(np.sort(top, axis=1))


def _shared_residues(queries: Bank, references: Bank) -> np.ndarray:
    """Equal residues in the columns over the length of the longer one, float32 (N, M)."""
    n_letters = queries.family.n_letters if queries.family else 0
    chosen = np.arange(queries.aligned.shape[1])
    if len(chosen) > MOST_COLUMNS:
        chosen = np.linspace(0, len(chosen) - 1, MOST_COLUMNS).round().astype(np.int64)

    def residues(aligned: np.ndarray) -> np.ndarray:
        ones = one_hot(aligned[:, chosen], n_letters + 1).reshape(len(aligned), len(chosen), n_letters + 1)
        return np.ascontiguousarray(ones[:, :, :n_letters]).reshape(len(aligned), -1)  # equal gaps are no residues

    own = residues(queries.aligned)
    found = np.empty((len(queries), len(references)), np.float32)
    for start in range(0, len(references), BLOCK):
        part = slice(start, start + BLOCK)
        longest = np.maximum(queries.library.lengths[:, None], references.library.lengths[part])
        found[:, part] = own @ residues(references.aligned[part]).T / np.maximum(longest, 1)
    return found


def _by_words(queries: Bank, references: Bank, other: bool) -> list[np.ndarray]:
    found: list[np.ndarray] = [np.zeros(0, np.int64)] * len(queries)
    for own, chosen in by_words(queries.library, references.library, WORD_CANDIDATES + other):
        for query in np.unique(own).tolist():
            rows = np.sort(chosen[own == query])
            found[query] = rows[rows != query] if other else rows
    return found


def _nearest_molecules(queries: Bank, references: Bank, other: bool) -> Nearest:
    pairs = nearest_prints(queries.prints, references.prints, most=1 + other)
    keep = pairs.queries != pairs.references if other else np.ones(len(pairs.queries), bool)
    order = np.flatnonzero(keep)
    order = order[np.lexsort((pairs.references[order], -pairs.identity[order], pairs.queries[order]))]
    own, first = np.unique(pairs.queries[order], return_index=True)
    rows, identity = np.full(len(queries), -1), np.zeros(len(queries))
    rows[own], identity[own] = pairs.references[order[first]], pairs.identity[order[first]]
    return Nearest(rows, identity, True)
