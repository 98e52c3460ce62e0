"""The nearest training sequence: the best-hit baseline that any model of sequences must beat.

Sequences of one length are compared position by position; others by the cosine of their k-mer counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from seqloom.encode.base import Inputs, State
from seqloom.encode.kmer import kmers
from seqloom.predict.base import Dims, Examples, Fitted, Job, Predictor, indicator, prior
from seqloom.predict.knn import mean_of_neighbours
from seqloom.registry import register
from seqloom.tokens import Tokens

MOST_TIES = 50
BLOCK_ROWS = 512


@register("predictor", "nearest")
class Nearest(Predictor):
    """The target of the most similar training sequence; equally similar ones are averaged.

    A model that is no better has learnt nothing that a sequence search would not find.
    """

    takes = "tokens"
    baseline = True

    k: int = 3
    """Word length of the comparison of sequences of different lengths."""

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
        reference, query = self._vectors(self.tokens, inputs.tokens)
        parts = []
        for start in range(0, len(inputs), BLOCK_ROWS):
            similarity = np.asarray((query[start : start + BLOCK_ROWS] @ reference.T).todense(), np.float32)
            parts.append(mean_of_neighbours(self.y, _best(similarity), self.prior, self.dims))
        return np.concatenate(parts) if parts else np.zeros((0, self.dims.n_outputs))

    def _vectors(self, reference: Tokens, query: Tokens) -> tuple[csr_array, csr_array]:
        lengths = np.concatenate([reference.lengths, query.lengths])
        if len(lengths) and lengths.min() == lengths.max():
            return _positions(reference, query)
        size = self.dims.vocabulary
        return _unit_kmers(reference, self.k, size), _unit_kmers(query, self.k, size)

    def state(self) -> State:
        """`values`, `offsets`, `y`, `prior`."""
        return {"values": self.tokens.values, "offsets": self.tokens.offsets, "y": self.y, "prior": self.prior}


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
