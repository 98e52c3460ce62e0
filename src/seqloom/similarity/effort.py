"""How thoroughly to search, and what that costs: which pairs are aligned is decided by the one, as far as the other allows."""

from __future__ import annotations

from typing import Literal

import numpy as np

Search = Literal["auto", "exact", "words", "mmseqs"]

EXACT_WORK = 3e11
"""Matrix cells that are aligned where words cannot be relied on: some thirty seconds on two cores."""
SMALL_WORK = 3e10
"""Matrix cells of all pairs of a set that is small enough to compare every pair, be its sequences long or short."""
NEAREST_WORK = 5e10
"""Matrix cells that are aligned to find the nearest; in larger sets words say which references to align."""
PAIR_WORK = 1500
"""What a pair costs beside its cells, in cells."""


def work(left: np.ndarray, right: np.ndarray) -> float:
    """What it costs to align all sequences of these lengths with each other, in cells."""
    return float(left.sum()) * float(right.sum()) + PAIR_WORK * float(len(left)) * len(right)
