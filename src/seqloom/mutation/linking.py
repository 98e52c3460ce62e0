"""Which sequences differ by few edits, found by blocks of residues that stand at the same place from either end."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from seqloom.connected import connected
from seqloom.mutation.edits import pair_counts, reach
from seqloom.tokens import Tokens

BLOCK = 6
"""Residues of a block. Two variants within a tenth of their length share one, unless edits are spread as evenly as can be."""
MULTIPLIER = 0x100000001B3


def near_groups(tokens: Tokens) -> np.ndarray:
    """Connected components, int64 (N,), of rows within `reach` edits of each other, numbered by their first row.

    Rows that share a block (counted from the start, or from the end) are compared with its first holder and with the next
    one, unless they are joined already; a family of forty thousand is joined by its first few blocks.
    """
    label = np.arange(len(tokens))
    for _ in range(2):  # what the first pass joined has other neighbours in the second
        n_groups = int(label.max(initial=-1)) + 1
        for rows, keys in _blocks(tokens):
            if not label.any():
                return label
            for left, right in _partners(rows, keys, label):
                label = _joined(tokens, left, right, label)
        if int(label.max(initial=-1)) + 1 == n_groups:
            break
    return label


def nearest_reference(tokens: Tokens, references: Tokens) -> np.ndarray:
    """For each row the reference of fewest edits, int64 (N,), the first of equal ones; -1 where none is within `reach`.

    Every reference that shares a block is looked at. A row of substitutions within reach always shares one, from 18 residues
    on: there are more blocks than edits.
    """
    best = np.full(len(tokens), np.iinfo(np.int64).max)
    chosen = np.full(len(tokens), -1, np.int64)
    both = _both(tokens, references)
    for (rows, keys), (others, other_keys) in zip(_blocks(tokens), _blocks(references), strict=False):
        order = np.argsort(other_keys, kind="stable")
        low = np.searchsorted(other_keys[order], keys, side="left")
        size = np.searchsorted(other_keys[order], keys, side="right") - low
        left = np.repeat(rows, size)
        within = np.arange(len(left)) - np.repeat(np.cumsum(size) - size, size)
        right = others[order[np.repeat(low, size) + within]]
        gap = np.abs(tokens.lengths[left] - references.lengths[right])
        keep = (gap <= reach(references.lengths[right])) & (chosen[left] != right)
        left, right = left[keep], right[keep]
        counts = pair_counts(both, left, right + len(tokens))
        near = counts <= reach(references.lengths[right])
        for row, reference, count in zip(left[near].tolist(), right[near].tolist(), counts[near].tolist(), strict=True):
            if (count, reference) < (best[row], chosen[row]):
                best[row], chosen[row] = count, reference
    return chosen


def _both(tokens: Tokens, references: Tokens) -> Tokens:
    offsets = np.concatenate([tokens.offsets, tokens.offsets[-1] + references.offsets[1:]])
    return Tokens(np.concatenate([tokens.values, references.values]), offsets)


def _blocks(tokens: Tokens) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each place of a block, the rows long enough for it and a hash of what stands there, uint64."""
    lengths = tokens.lengths
    powers = np.array([pow(MULTIPLIER, power, 1 << 64) for power in range(BLOCK)], np.uint64)
    for start in range(0, int(lengths.max(initial=0)) - BLOCK + 1, BLOCK):
        rows = np.flatnonzero(lengths >= start + BLOCK)
        for first in (tokens.offsets[rows] + start, tokens.offsets[rows + 1] - start - BLOCK):
            symbols = tokens.values[first[:, None] + np.arange(BLOCK)].astype(np.uint64)
            yield rows, (symbols * powers).sum(1, dtype=np.uint64)


def _partners(rows: np.ndarray, keys: np.ndarray, label: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of rows of different groups under one key: each with the first holder, then each with the next."""
    order = np.lexsort((label[rows], keys))
    rows, keys = rows[order], keys[order]
    new = np.concatenate([[True], keys[1:] != keys[:-1]])
    if new.all():
        return
    first = np.maximum.accumulate(np.where(new, np.arange(len(new)), 0))
    members = np.flatnonzero(~new)
    yield rows[first[members]], rows[members]
    yield rows[members - 1], rows[members]


def _joined(tokens: Tokens, left: np.ndarray, right: np.ndarray, label: np.ndarray) -> np.ndarray:
    apart = label[left] != label[right]
    lengths = tokens.lengths
    most = reach(np.minimum(lengths[left], lengths[right]))
    apart &= np.abs(lengths[left] - lengths[right]) <= most
    if not apart.any():
        return label
    left, right, most = left[apart], right[apart], most[apart]
    pairs = np.sort(np.stack([label[left], label[right]]), axis=0)
    _, one_each = np.unique(pairs[0] * len(label) + pairs[1], return_index=True)
    left, right, most = left[one_each], right[one_each], most[one_each]
    near = pair_counts(tokens, left, right) <= most
    return connected(label[left[near]], label[right[near]], int(label.max()) + 1)[label]
