"""Which training rows are compared with each other: pairs of a batch, and batches in which there are such pairs.

Rows are compared within groups alone; where all may be compared, they are all of one group.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from seqloom.tokens import keyed_permutation


def pairs_of(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places (left, right), int64 (P,) each, of all pairs of rows of one group, left before right.

    `groups`: int64 (B,), -1 for a row that is compared with none.

    >>> left, right = pairs_of(np.array([3, -1, 3, 5, -1, 3]))
    >>> list(zip(left.tolist(), right.tolist()))
    [(0, 2), (0, 5), (2, 5)]
    """
    left, right = np.triu_indices(len(groups), 1)
    own = (groups[left] == groups[right]) & (groups[left] >= 0)
    return left[own], right[own]


def with_partners(groups: np.ndarray) -> np.ndarray:
    """Rows that share their group with another, int64, in order."""
    counts = np.bincount(groups[groups >= 0], minlength=1)
    return np.flatnonzero((groups >= 0) & (counts[groups] > 1))


def batches_of_groups(groups: np.ndarray, size: int, seed: int, epoch: int) -> Iterator[np.ndarray]:
    """All rows that have partners, int64, in batches of `size` or one less, rows of a group beside each other.

    Groups and their rows are shuffled by (seed, epoch); those at the end of a batch may be divided, others each time.
    """
    rows = with_partners(groups)
    rows = rows[keyed_permutation(len(rows), seed, 2 * epoch)]
    numbers = np.unique(groups[rows], return_inverse=True)[1]
    place = keyed_permutation(int(numbers.max(initial=-1)) + 1, seed, 2 * epoch + 1)
    order = rows[np.argsort(place[numbers], kind="stable")]
    if len(order):
        yield from np.array_split(order, n_batches_of(len(order), size))


def n_batches_of(n_rows: int, size: int) -> int:
    """Batches of an epoch."""
    return -(-n_rows // size)
