"""How closely the columns and the pairs of columns of a set follow those of training sequences.

First order is learnt by anything; covariances of pairs tell a model from a profile. They stand beside what as many natural
sequences reach, and beside nearest neighbours, since noisy copies of training sequences have excellent covariances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seqloom.quality.columns import (
    agreement,
    covariances,
    divergence,
    entropies,
    frequencies,
    mutual_information,
    one_hot,
    pair_columns,
    pair_counts,
    root_mean_square,
    sequence_weights,
)
from seqloom.quality.diversity import column_counts
from seqloom.quality.intervals import BLOCKS, Measured, block_labels, jackknife

Values = dict[str, float]
PAIRS = ("pair_r", "pair_slope", "pair_r_weighted", "pair_slope_weighted", "mi_spearman")


@dataclass(frozen=True, eq=False)
class Target:
    """Statistics of training sequences, of K columns with A symbols each."""

    n_symbols: int
    frequency: np.ndarray  # float64 (K, A)
    entropy: np.ndarray  # float64 (K,), bits
    columns: np.ndarray  # int64: those that pairs are made of
    pairs: np.ndarray  # float32 (pairs, A, A): covariances
    weighted: np.ndarray  # float32 (pairs, A, A): the same, similar sequences sharing one weight
    information: np.ndarray  # float64 (pairs,): ranks of mutual information
    pseudocount: float
    """1 / effective number of sequences, so that a symbol that was never seen is no infinite divergence."""

    @classmethod
    def of(cls, aligned: np.ndarray, n_symbols: int) -> Target:
        """From residues in columns, uint8 (N, K); N of at least 1."""
        weights = sequence_weights(aligned, n_symbols)
        frequency = frequencies(aligned, n_symbols)
        columns = pair_columns(aligned.shape[1])
        counts = pair_counts(aligned[:, columns], n_symbols)
        weighted = pair_counts(aligned[:, columns], n_symbols, weights)
        return cls(
            n_symbols,
            frequency,
            entropies(frequency),
            columns,
            covariances(counts, n_symbols),
            covariances(weighted, n_symbols),
            _ranks(mutual_information(counts, n_symbols)),
            1.0 / float(weights.sum()),
        )


def fidelity(aligned: np.ndarray, target: Target, seed: int, blocks: int = BLOCKS) -> dict[str, Measured]:
    """Each metric of residues in the columns of the target, uint8 (N, K), by its name; empty of an empty set.

    `f1_r`, `f1_rmsd`: shares of symbols in columns; `kl`: mean of KL(train || samples), nats; `entropy_gap`,
    `entropy_gap_max`: mean of, and largest, difference of entropies in bits (below 0: less varied than training);
    `pair_r`, `pair_slope`: covariances of pairs, and the same `_weighted`; `mi_spearman`: ranks of mutual information (APC).
    Intervals by jackknife, none where `blocks` < 2; the weights of sequences stay as they are without a block.
    """
    if not len(aligned) or not aligned.shape[1]:
        return {}
    a = target.n_symbols
    paired = aligned[:, target.columns]
    weights = sequence_weights(aligned, a)
    singles, counts, weighted = column_counts(aligned, a), pair_counts(paired, a), pair_counts(paired, a, weights)
    values = _values(singles, counts, weighted, target)
    if blocks < 2 or len(aligned) < 2:
        return {name: Measured(value) for name, value in values.items()}
    labels = block_labels(len(aligned), seed, blocks)
    without: list[Values] = []
    for block in range(int(labels.max()) + 1):
        out = labels == block
        own = one_hot(paired[out], a)
        less = own.T @ own, (own * weights[out, None].astype(np.float32)).T @ own
        without.append(_values(singles - column_counts(aligned[out], a), counts - less[0], weighted - less[1], target))
    return {name: jackknife(value, [each[name] for each in without]) for name, value in values.items()}


def pair_correlation(aligned: np.ndarray, target: Target) -> float:
    """`pair_r` alone, of uint8 (N, K); NaN of an empty set."""
    if not len(aligned) or not aligned.shape[1]:
        return float("nan")
    counts = pair_counts(aligned[:, target.columns], target.n_symbols)
    return agreement(target.pairs, covariances(counts, target.n_symbols)).r


def entropy_gap(aligned: np.ndarray, target: Target) -> float:
    """`entropy_gap` alone, of uint8 (N, K); NaN of an empty set."""
    if not len(aligned) or not aligned.shape[1]:
        return float("nan")
    return float((entropies(frequencies(aligned, target.n_symbols)) - target.entropy).mean())


def halves(aligned: np.ndarray, n_symbols: int, seed: int) -> Values:
    """What one random half of the training sequences (uint8 (N, K)) has of the other: the ceiling of half as many samples."""
    if len(aligned) < 4:
        return {}
    order = np.random.default_rng([seed, 0xF2]).permutation(len(aligned))
    middle = len(order) // 2
    target = Target.of(aligned[order[:middle]], n_symbols)
    found = fidelity(aligned[order[middle:]], target, seed, blocks=0)
    return {name: own.value for name, own in found.items()}


def _values(singles: np.ndarray, counts: np.ndarray, weighted: np.ndarray, target: Target) -> Values:
    a = target.n_symbols
    frequency = singles / np.maximum(singles.sum(axis=1, keepdims=True), 1)
    gap = entropies(frequency) - target.entropy
    found = {
        "f1_r": agreement(target.frequency, frequency).r,
        "f1_rmsd": root_mean_square(target.frequency, frequency),
        "kl": divergence(target.frequency, frequency, target.pseudocount),
        "entropy_gap": float(gap.mean()),
        "entropy_gap_max": float(np.abs(gap).max()),
    }
    plain, shared = (
        agreement(own, covariances(each, a)) for own, each in ((target.pairs, counts), (target.weighted, weighted))
    )
    ranks = _ranks(mutual_information(counts, a))
    return found | dict(zip(PAIRS, (*plain, *shared, agreement(target.information, ranks).r), strict=True))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks, float64 (n,), equal ones sharing their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    found: np.ndarray = ((last - counts + last - 1) / 2)[place]
    return found
