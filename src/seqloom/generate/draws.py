"""Which natural sequences a generator sees, step by step: drawn by their weights, a function of (seed, evaluation) alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from seqloom.tokens import bucketed


def drawn(weights: np.ndarray, n: int, seed: int, turn: int) -> np.ndarray:
    """`n` rows (int64), each as often as its share of the weights (N,) says to within one, in random order.

    Systematic resampling (Kitagawa 1996): related sequences take turns rather than being drawn twice by chance.
    """
    random = np.random.default_rng([seed, turn])
    order = random.permutation(len(weights))  # else neighbours in the file would take turns for ever
    cumulated = np.cumsum(weights[order])
    places = (np.arange(n) + random.random()) / n * cumulated[-1]
    rows = order[np.minimum(np.searchsorted(cumulated, places, side="right"), len(weights) - 1)]
    return random.permutation(rows)


def batches(
    weights: np.ndarray, n_steps: int, size: int, seed: int, turn: int, lengths: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Rows (int64) of `n_steps` batches of `size`; with `lengths` (N,) sequences of similar length stand together."""
    rows = drawn(weights, n_steps * size, seed, turn)
    if lengths is None:
        yield from rows.reshape(n_steps, size)
        return
    for part in bucketed(lengths[rows], size, seed, turn):
        yield rows[part]
