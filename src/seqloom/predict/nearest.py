"""The nearest training sequence: the best-hit baseline that any model of sequences must beat.

Sequences of one length are compared position by position, proteins and nucleic acids of several lengths by alignment
(`seqloom.similarity`); where no training sequence is alike beyond chance, and among SMILES, by the cosine of k-mer counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from seqloom.alphabet import ALPHABETS
from seqloom.encode.base import Inputs, State
from seqloom.encode.kmer import kmers
from seqloom.predict.base import Dims, Examples, Fitted, Job, Predictor, indicator, prior
from seqloom.predict.knn import mean_of_neighbours
from seqloom.registry import register
from seqloom.similarity import nearest
from seqloom.tokens import Tokens

ALIGNED = ("protein", "dna", "rna")
MOST_TIES = 50
BLOCK_ROWS = 512


@register("predictor", "nearest")
class Nearest(Predictor):
    """The target of the most similar training sequence; equally similar ones are averaged.

    A model that is no better has learnt nothing that a sequence search would not find.
    """

    takes = "tokens"
    baseline = True
    censored = "equal"  # what is expected beyond bounds had 2 to 6 % less error, in twelve times the time

    k: int = 3
    """Word length where sequences are compared by their words."""

    def fit(self, train: Examples, valid: Examples, job: Job) -> Fitted:
        """Keep the training sequences."""
        assert train.inputs.tokens is not None
        y = indicator(train.y, job.dims)
        return FittedNearest(train.inputs.tokens, y, prior(train.y, job.dims), self.k, job.dims)

    def restore(self, state: State, dims: Dims) -> Fitted:
        """The sequences of `state()`."""
        tokens = Tokens(state["values"], state["offsets"])
        return FittedNearest(tokens, state["y"], state["prior"], self.k, dims)


@dataclass(frozen=True)
class FittedNearest(Fitted):
    """The training sequences and their targets."""

    tokens: Tokens
    y: np.ndarray  # float64 (M, T)
    prior: np.ndarray  # float64 (T,)
    k: int
    dims: Dims

    def predict(self, inputs: Inputs) -> np.ndarray:
        """Mean target of the most similar training rows, (N, T)."""
        assert inputs.tokens is not None
        lengths = np.concatenate([self.tokens.lengths, inputs.tokens.lengths])
        if len(lengths) and lengths.min() == lengths.max():
            return self._mean_of_best(*_positions(self.tokens, inputs.tokens))
        answers = np.zeros((len(inputs), self.dims.n_outputs))
        alone = np.arange(len(inputs))
        if self.dims.alphabet in ALIGNED:
            best = _aligned(inputs.tokens, self.tokens, self.dims.alphabet)
            answers = mean_of_neighbours(self.y, best, self.prior, self.dims)
            alone = np.flatnonzero(best[:, 0] < 0)
        if len(alone):
            size = self.dims.vocabulary
            query = _unit_kmers(inputs.tokens.take(alone), self.k, size)
            answers[alone] = self._mean_of_best(_unit_kmers(self.tokens, self.k, size), query)
        return answers

    def _mean_of_best(self, reference: csr_array, query: csr_array) -> np.ndarray:
        """Mean target of the references whose rows have the highest product with each row of `query`."""
        parts = []
        for start in range(0, query.shape[0], BLOCK_ROWS):
            similarity = np.asarray((query[start : start + BLOCK_ROWS] @ reference.T).todense(), np.float32)
            parts.append(mean_of_neighbours(self.y, _best(similarity), self.prior, self.dims))
        return np.concatenate(parts) if parts else np.zeros((0, self.dims.n_outputs))

    def state(self) -> State:
        """`values`, `offsets`, `y`, `prior`."""
        return {"values": self.tokens.values, "offsets": self.tokens.offsets, "y": self.y, "prior": self.prior}


def _aligned(queries: Tokens, references: Tokens, alphabet: str) -> np.ndarray:
    """Rows of the references of highest identity to each query, int64 (N, at most MOST_TIES), -1 where there are fewer."""
    found = nearest(queries, references, ALPHABETS[alphabet], most=MOST_TIES)
    highest = found.best()[1]
    tied = found.identity >= highest[found.queries] - 1e-6
    own, rows = found.queries[tied], found.references[tied]
    order = np.lexsort((rows, own))
    own, rows = own[order], rows[order]
    rank = np.arange(len(own)) - np.searchsorted(own, own)
    best = np.full((len(queries), int(rank.max(initial=0)) + 1), -1)
    best[own, rank] = rows
    return best


def _best(similarity: np.ndarray) -> np.ndarray:
    """Rows of the highest similarity, int64 (N, at most MOST_TIES), -1 where there are fewer."""
    tied = similarity >= similarity.max(axis=1, keepdims=True) - 1e-6
    n_tied = min(int(tied.sum(1).max()), MOST_TIES)
    order = np.argsort(~tied, axis=1, kind="stable")[:, :n_tied]
    return np.where(np.take_along_axis(tied, order, 1), order, -1)


def _positions(reference: Tokens, query: Tokens) -> tuple[csr_array, csr_array]:
    """Sparse one-hot matrices whose product counts equal positions; positions that never vary are left out."""
    width = int(reference.lengths[0])
    left, right = reference.values.reshape(-1, width), query.values.reshape(-1, width)
    varying = np.flatnonzero((left != left[0]).any(0) | (right != left[0]).any(0))
    n_columns = max(len(varying), 1) * 256

    def matrix(ids: np.ndarray) -> csr_array:
        columns = np.arange(len(varying)) * 256 + ids[:, varying]
        rows = np.repeat(np.arange(len(ids)), len(varying))
        return csr_array((np.ones(columns.size, np.float32), (rows, columns.ravel())), shape=(len(ids), n_columns))

    return matrix(left), matrix(right)


def _unit_kmers(tokens: Tokens, k: int, size: int) -> csr_array:
    """Square roots of k-mer counts at unit length, sparse (N, V + ... + V**k); shorter words are kept for short sequences."""
    rows, columns, shift = [], [], 0
    for length in range(1, k + 1):
        own_rows, codes = kmers(tokens, length, size)
        rows.append(own_rows)
        columns.append(codes + shift)
        shift += size**length
    row, column = np.concatenate(rows), np.concatenate(columns)
    counts = csr_array((np.ones(len(row), np.float32), (row, column)), shape=(len(tokens), shift))
    counts.sum_duplicates()
    counts.data = np.sqrt(counts.data)
    norms = np.sqrt(np.asarray(counts.multiply(counts).sum(1)).ravel())
    counts.data /= np.repeat(np.maximum(norms, 1e-9), np.diff(counts.indptr))
    return counts
