"""Neighbours: pairs of alike rows, the one result of every similarity search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seqloom.connected import connected


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

    @staticmethod
    def of_rows(
        pairs: tuple[np.ndarray, np.ndarray, np.ndarray],
        row_of: np.ndarray,
        first: np.ndarray,
        exact: bool,
        measure: str = "identity",
    ) -> Neighbours:
        """Pairs of distinct things as pairs of rows, and every copy paired with the first row of its kind.

        `pairs`: left, right (int64 (P,)) and identity of the distinct things; `row_of`: which of them each row is, int64 (N,);
        `first`: the first row of each.
        """
        left, right, identity = pairs
        copies = np.flatnonzero(first[row_of] != np.arange(len(row_of)))
        return Neighbours(
            np.concatenate([first[left], first[row_of[copies]]]),
            np.concatenate([first[right], copies]),
            np.concatenate([identity, np.ones(len(copies), np.float32)]),
            len(row_of),
            exact,
            measure,
        )

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
