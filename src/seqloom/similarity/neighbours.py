"""Neighbours: pairs of alike rows, the one result of every similarity search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Neighbours:
    """Pairs of a query row and a reference row, and how alike they are; each pair once, in no promised order."""

    queries: np.ndarray  # int64 (P,)
    references: np.ndarray  # int64 (P,)
    identity: np.ndarray  # float32 (P,), 0..1
    n_queries: int
    exact: bool
    """Whether every pair was compared; otherwise only pairs that share words were."""
    measure: str = "identity"
    """identity: of aligned residues; tanimoto: of fingerprints; text: equal or not."""

    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """For each query its closest reference, int64 (N,), -1 where none is alike, and their identity, float32 (N,).

        Of several equally close the first row is taken.
        """
        order = np.lexsort((self.references, -self.identity, self.queries))
        queries, first = np.unique(self.queries[order], return_index=True)
        row = np.full(self.n_queries, -1, np.int64)
        identity = np.zeros(self.n_queries, np.float32)
        row[queries] = self.references[order[first]]
        identity[queries] = self.identity[order[first]]
        return row, identity

    def groups(self) -> np.ndarray:
        """Connected components, int64 (N,), numbered in order of their first rows; for pairs within one set of rows."""
        return connected(self.queries, self.references, self.n_queries)


def connected(left: np.ndarray, right: np.ndarray, n: int) -> np.ndarray:
    """Connected components of `n` things joined in pairs, int64 (n,), numbered in the order of their first member."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(n, n))
    labels = connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)
