"""Columns and pairs of columns of two aligned sets: frequencies, entropies, covariances, mutual information, words of n columns.

Plain array operations on residues in columns, uint8 (N, K), values below A: index of the standard symbol, A - 1 a gap. How they
were aligned is `family`'s affair, how far two sets may differ is `verdict`'s.

Weights (N,) are a share of each sequence: `sequence_weights` gives those of a family in which some branches were sequenced more
often than others. Without weights all count alike.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

ALIKE = 0.8
"""Sequences of this identity over the columns share one weight."""
MOST_COLUMNS = 150
"""Columns of pair statistics: of more, as many are taken, evenly spaced, or memory would grow with their square."""
WORDS = 20
"""Most frequent words of a set of columns (McGee et al. 2021, "The generative capacity of probabilistic protein sequence
models", doi:10.1038/s41467-021-26529-9)."""
BLOCK = 1024


class Agreement(NamedTuple):
    """How well one set of numbers follows another."""

    r: float
    """Pearson correlation; NaN where one of them does not vary."""
    slope: float
    """Of the regression on the reference: below 1 where differences are learnt too weakly; NaN where it does not vary."""


def frequencies(aligned: np.ndarray, n_symbols: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Share of each symbol in each column, float64 (K, A)."""
    share = _shares(len(aligned), weights)
    columns = np.arange(aligned.shape[1]) * n_symbols
    flat = (aligned + columns).ravel()
    counts = np.bincount(flat, np.repeat(share, aligned.shape[1]), minlength=aligned.shape[1] * n_symbols)
    return counts.reshape(-1, n_symbols)


def entropies(frequency: np.ndarray) -> np.ndarray:
    """Entropy of each column in bits, float64 (K,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(frequency > 0, frequency * np.log2(frequency), 0.0)
    found: np.ndarray = -parts.sum(axis=1)
    return found


def divergence(reference: np.ndarray, other: np.ndarray, pseudocount: float) -> float:
    """Mean over columns of KL(reference || other) in nats, `pseudocount` added to every share of both (K, A)."""
    p, q = ((each + pseudocount) / (each + pseudocount).sum(axis=1, keepdims=True) for each in (reference, other))
    return float((p * np.log(p / q)).sum(axis=1).mean()) if len(p) else float("nan")


def agreement(reference: np.ndarray, other: np.ndarray) -> Agreement:
    """Correlation and slope of two arrays of one shape."""
    x, y = (np.asarray(each, np.float64).ravel() for each in (reference, other))
    if not len(x):
        return Agreement(float("nan"), float("nan"))
    x, y = x - x.mean(), y - y.mean()
    xx, yy, xy = float(x @ x), float(y @ y), float(x @ y)
    tiny = 1e-12 * len(x)  # what rounding leaves of a constant
    slope = xy / xx if xx > tiny * 1e-6 else float("nan")
    r = xy / (xx * yy) ** 0.5 if xx > tiny * 1e-6 and yy > tiny * 1e-6 else float("nan")
    return Agreement(r, slope)


def root_mean_square(reference: np.ndarray, other: np.ndarray) -> float:
    """Of the differences of two arrays of one shape."""
    return float(np.sqrt(np.mean((reference - other) ** 2))) if reference.size else float("nan")


def pair_columns(n_columns: int) -> np.ndarray:
    """The columns that pair statistics are made of, int64: all, or `MOST_COLUMNS` evenly spaced."""
    if n_columns <= MOST_COLUMNS:
        return np.arange(n_columns)
    return np.linspace(0, n_columns - 1, MOST_COLUMNS).round().astype(np.int64)


def one_hot(aligned: np.ndarray, n_symbols: int) -> np.ndarray:
    """Symbols as ones, float32 (N, K * A)."""
    found = np.zeros((len(aligned), aligned.shape[1] * n_symbols), np.float32)
    found[np.arange(len(aligned))[:, None], aligned + np.arange(aligned.shape[1]) * n_symbols] = 1.0
    return found


def pair_counts(aligned: np.ndarray, n_symbols: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Sum of weights (1 each without) of sequences with symbol a in column i and b in column j, float32 (K * A, K * A)."""
    width = aligned.shape[1] * n_symbols
    found = np.zeros((width, width), np.float32)
    for start in range(0, len(aligned), BLOCK):
        part = one_hot(aligned[start : start + BLOCK], n_symbols)
        scaled = part if weights is None else part * np.asarray(weights[start : start + BLOCK], np.float32)[:, None]
        found += scaled.T @ part
    return found


def covariances(counts: np.ndarray, n_symbols: int) -> np.ndarray:
    """C_ij(a, b) = f_ij(a, b) - f_i(a) f_j(b) of pairs of columns i < j, float32 (pairs, A, A), from `pair_counts`."""
    joint, upper = _joint(counts, n_symbols)
    single = np.diagonal(np.diagonal(joint, axis1=0, axis2=1), axis1=0, axis2=1)  # (K, A)
    i, j = upper
    return joint[i, j] - single[i, :, None] * single[j, None, :]


def pair_covariances(aligned: np.ndarray, n_symbols: int, weights: np.ndarray | None = None) -> np.ndarray:
    """The same from residues in columns (N, K)."""
    return covariances(pair_counts(aligned, n_symbols, weights), n_symbols)


def mutual_information(counts: np.ndarray, n_symbols: int) -> np.ndarray:
    """Mutual information of pairs of columns i < j in nats, less what their averages explain (APC), float64 (pairs,).

    Dunn et al. 2008, doi:10.1093/bioinformatics/btm604: MI_ij - MI_i. MI_.j / MI_...
    """
    joint, (i, j) = _joint(counts, n_symbols)
    n_columns = len(joint)
    single = np.diagonal(np.diagonal(joint, axis1=0, axis2=1), axis1=0, axis2=1)
    expected = single[i, :, None] * single[j, None, :]
    own = joint[i, j]
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(own > 0, own * np.log(own / expected), 0.0)
    values = parts.sum(axis=(1, 2), dtype=np.float64)
    full = np.zeros((n_columns, n_columns))
    full[i, j] = full[j, i] = values
    average = full.sum(axis=1) / max(n_columns - 1, 1)
    whole = float(values.mean()) if len(values) else 0.0
    return values - (average[i] * average[j] / whole if whole > 0 else 0.0)


def sequence_weights(aligned: np.ndarray, n_symbols: int, identity: float = ALIKE) -> np.ndarray:
    """1 / number of sequences, itself included, equal in at least `identity` of the columns, float64 (N,)."""
    n, n_columns = aligned.shape
    alike = np.zeros(n)
    least = identity * n_columns - 1e-6
    ones = one_hot(aligned, n_symbols)
    for start in range(0, n, BLOCK):
        own = ones[start : start + BLOCK]
        for other in range(start, n, BLOCK):
            near = own @ ones[other : other + BLOCK].T >= least
            alike[start : start + BLOCK] += near.sum(axis=1)
            if other > start:
                alike[other : other + BLOCK] += near.sum(axis=0)
    return 1.0 / np.maximum(alike, 1.0)


def word_agreement(
    reference: np.ndarray, other: np.ndarray, n_symbols: int, seed: int, sizes: range = range(2, 11), n_sets: int = 100
) -> dict[int, float]:
    """Mean correlation of the `WORDS` most frequent words of n columns of the reference with their shares in the other set.

    One number for each n of `sizes`, over `n_sets` random sets of n columns: the r20 of McGee et al. 2021, which sees order
    beyond pairs. NaN where there are fewer columns.
    """
    found = {}
    for size in sizes:
        rng = np.random.default_rng([seed, size])
        values = [
            _words_of_set(reference, other, n_symbols, np.sort(rng.choice(reference.shape[1], size, replace=False)))
            for _ in range(n_sets if size <= reference.shape[1] else 0)
        ]
        known = [value for value in values if not np.isnan(value)]
        found[size] = float(np.mean(known)) if known else float("nan")
    return found


def _words_of_set(reference: np.ndarray, other: np.ndarray, n_symbols: int, columns: np.ndarray) -> float:
    radix = n_symbols ** np.arange(len(columns), dtype=np.int64)
    words, counts = np.unique(reference[:, columns] @ radix, return_counts=True)
    top = np.argsort(-counts, kind="stable")[:WORDS]
    order = np.argsort(words[top])
    words, share = words[top][order], counts[top][order] / len(reference)
    own = other[:, columns] @ radix
    place = np.minimum(np.searchsorted(words, own), len(words) - 1)
    hits = np.bincount(place[words[place] == own], minlength=len(words))
    return agreement(share, hits / max(len(other), 1)).r


def _joint(counts: np.ndarray, n_symbols: int) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Shares f_ij(a, b), a view (K, K, A, A), and the pairs i < j."""
    n_columns = len(counts) // n_symbols
    total = counts[:n_symbols, :n_symbols].sum() if n_columns else 1.0
    joint = (
        (counts / max(float(total), 1e-30)).reshape(n_columns, n_symbols, n_columns, n_symbols).transpose(0, 2, 1, 3)
    )
    i, j = np.triu_indices(n_columns, 1)
    return joint, (i, j)


def _shares(n: int, weights: np.ndarray | None) -> np.ndarray:
    if weights is None:
        return np.full(n, 1.0 / max(n, 1))
    found: np.ndarray = np.asarray(weights, np.float64) / np.sum(weights)
    return found
