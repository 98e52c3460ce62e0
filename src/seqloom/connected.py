"""Connected components, where pairs say what belongs together."""

from __future__ import annotations

import numpy as np


def connected(left: np.ndarray, right: np.ndarray, n: int) -> np.ndarray:
    """Connected components of `n` things joined in pairs, int64 (n,), numbered in the order of their first member."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(n, n))
    labels = connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)
