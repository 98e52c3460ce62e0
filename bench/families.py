"""Simulated protein families for the bench of similarity: as many as wanted, in seconds."""

from __future__ import annotations

import numpy as np

from seqloom.alphabet import PROTEIN
from seqloom.tokens import Tokens

FREQUENCIES = {
    "A": 8.25, "R": 5.53, "N": 4.06, "D": 5.46, "C": 1.38, "Q": 3.93, "E": 6.72, "G": 7.07, "H": 2.27, "I": 5.91,
    "L": 9.65, "K": 5.80, "M": 2.41, "F": 3.86, "P": 4.74, "S": 6.65, "T": 5.36, "W": 1.10, "Y": 2.92, "V": 6.86,
}  # fmt: skip
"""Residues per hundred in UniProtKB/Swiss-Prot."""
FAMILY = 10
"""Members of a family on average; their number is geometric."""
GAPS = 0.01
"""Share of residues lost, and of residues with another one after them, from ancestor to descendant."""


def simulated(n: int, seed: int = 0) -> Tokens:
    """Tokens of `n` sequences of 60 to 150 residues: families grown from strangers, each member from a random earlier one.

    A member has between 40 and 95 % of its ancestor's residues; others are drawn anew.
    """
    rng = np.random.default_rng(seed)
    letters = PROTEIN.ids("".join(FREQUENCIES))
    shares = np.array(list(FREQUENCIES.values()))
    wheel = letters[np.searchsorted(np.cumsum(shares / shares.sum()), np.arange(65_536) / 65_536).clip(0, 19)]
    sizes = rng.geometric(1 / FAMILY, n)
    sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), n)) + 1]
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)[:n]
    place = np.arange(n) - first
    ancestor = first + np.floor(rng.random(n) * place).astype(np.int64)
    depth = np.zeros(n, np.int64)
    for step in range(1, int(place.max()) + 1):  # an ancestor stands before its descendants
        own = np.flatnonzero(place == step)
        depth[own] = depth[ancestor[own]] + 1
    parts = [Tokens(*_strangers(rng, wheel, int((depth == 0).sum())))]
    order = [np.flatnonzero(depth == 0)]
    for step in range(1, int(depth.max()) + 1):
        index = np.empty(n, np.int64)
        index[order[-1]] = np.arange(len(order[-1]))
        own = np.flatnonzero(depth == step)
        parts.append(_descendants(rng, wheel, parts[-1].take(index[ancestor[own]])))
        order.append(own)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([part.lengths for part in parts]))])
    values = np.concatenate([part.values for part in parts])
    return Tokens(values, offsets).take(np.argsort(np.concatenate(order))[rng.permutation(n)])


def _strangers(rng: np.random.Generator, wheel: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum(rng.integers(60, 151, n))])
    return wheel[rng.integers(0, 65_536, offsets[-1], dtype=np.uint16)], offsets


def _descendants(rng: np.random.Generator, wheel: np.ndarray, tokens: Tokens) -> Tokens:
    n = len(tokens.values)
    kept = np.repeat(rng.uniform(0.4, 0.95, len(tokens)).astype(np.float32), tokens.lengths)
    fresh = wheel[rng.integers(0, 65_536, n, dtype=np.uint16)]
    values = np.where(rng.random(n, np.float32) < kept, tokens.values, fresh)
    chance = rng.random(n, np.float32)
    copies = np.where(chance < GAPS, 0, np.where(chance > 1 - GAPS, 2, 1))
    ends = np.concatenate([[0], np.cumsum(copies)])
    values = np.repeat(values, copies)
    values[ends[1:][copies == 2] - 1] = wheel[rng.integers(0, 65_536, int((copies == 2).sum()), dtype=np.uint16)]
    return Tokens(values, ends[tokens.offsets])
