"""Diversity within a set: distinct sequences, how equal their columns are, how many clusters.

How diverse a set should be depends on the family and on the number of sequences: `standard` gives clusters and differences as
ratios to those of as many training sequences.
"""

from __future__ import annotations

import numpy as np

from seqloom.alphabet import SMILES
from seqloom.quality.copies import Bank
from seqloom.quality.intervals import BLOCKS, Measured, block_labels, jackknife
from seqloom.similarity.alike import similar_groups
from seqloom.similarity.fingerprints import linked_prints

CLUSTERED = 0.8
"""Identity (of `seqloom.similarity`) at which two sequences are of one cluster; of molecules the Tanimoto similarity."""


def copies(own: Bank) -> np.ndarray:
    """Which of the distinct sequences each one is, int64 (N,), in order of first appearance."""
    index = {text: place for place, text in enumerate(dict.fromkeys(own.texts))}
    return np.array([index[text] for text in own.texts], np.int64)


def clusters(own: Bank) -> np.ndarray:
    """The connected component of each sequence at `CLUSTERED`, int64 (N,)."""
    if not len(own):
        return np.zeros(0, np.int64)
    if own.alphabet.name == SMILES.name:
        return linked_prints(own.prints, CLUSTERED).groups()
    return similar_groups(own.tokens, own.alphabet, CLUSTERED)


def distinct_share(labels: np.ndarray, seed: int, blocks: int = BLOCKS) -> Measured:
    """Distinct labels per row of labels int64 (N,).

    Without a block, a label counts if it has a row left: a chain that its removal breaks stays one cluster.
    """
    if not len(labels):
        return Measured(float("nan"))
    value = len(np.unique(labels)) / len(labels)
    if blocks < 2:
        return Measured(value)
    block = block_labels(len(labels), seed, blocks)
    kept = (labels[block != each] for each in range(int(block.max()) + 1))
    return jackknife(value, [len(np.unique(own)) / len(own) if len(own) else float("nan") for own in kept])


def column_difference(own: Bank, seed: int, blocks: int = BLOCKS) -> Measured:
    """1 - share of equal residues over all pairs of sequences and all columns in which either has a residue.

    NaN of fewer than two sequences, and where none has a residue in a column.
    """
    aligned = own.aligned
    n_symbols = own.family.n_letters + 1 if own.family else 1
    counts = column_counts(aligned, n_symbols)
    value = _differing(counts, len(aligned))
    if blocks < 2 or len(aligned) < 2:
        return Measured(value)
    block = block_labels(len(aligned), seed, blocks)
    without = []
    for each in range(int(block.max()) + 1):
        out = aligned[block == each]
        without.append(_differing(counts - column_counts(out, n_symbols), len(aligned) - len(out)))
    return jackknife(value, without)


def column_counts(aligned: np.ndarray, n_symbols: int) -> np.ndarray:
    """Sequences with each symbol in each column, int64 (K, A)."""
    flat = (aligned + np.arange(aligned.shape[1]) * n_symbols).ravel()
    return np.bincount(flat, minlength=aligned.shape[1] * n_symbols).reshape(-1, n_symbols)


def _differing(counts: np.ndarray, n: int) -> float:
    equal = (counts * (counts - 1)).sum(axis=0)  # ordered pairs, by symbol, the gap last
    compared = len(counts) * n * (n - 1) - int(equal[-1]) if len(counts) else 0
    return 1.0 - float(equal[:-1].sum()) / compared if compared > 0 else float("nan")
