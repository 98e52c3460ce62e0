"""Values of a set of sequences, and the 95 % interval in which those of another set of the same size would lie.

Two ways, said with every number. *bootstrap*: shares, means and medians over sequences, of sequences drawn again with
replacement, the middle 95 % of the draws. *jackknife*: what is computed from all sequences at once (uniqueness, clusters,
entropies, correlations), computed again without each of `BLOCKS` random blocks of them. A bootstrap of those is wrong as well as
slow: a sequence drawn twice is a duplicate and a pair that covaries, and every draw would stand below (or above) the value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

DRAWS = 1000
BLOCKS = 50
CELLS = 4_000_000
"""Values that are drawn at once."""
How = Literal["bootstrap", "jackknife", "none"]
Middle = Literal["mean", "median"]


@dataclass(frozen=True)
class Measured:
    """A value and the ends of its 95 % interval; NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan
    how: How = "none"

    def over(self, natural: float) -> Measured:
        """The ratio to a natural value; NaN where that is 0 or NaN."""
        if not natural > 0:
            return Measured(math.nan)
        return Measured(self.value / natural, self.low / natural, self.high / natural, self.how)

    def as_json(self) -> dict[str, Any]:
        """`value`, `low`, `high`, `how`; null for NaN."""
        ends = {name: getattr(self, name) for name in ("value", "low", "high")}
        return {name: own if math.isfinite(own) else None for name, own in ends.items()} | {"how": self.how}

    def __str__(self) -> str:
        if not math.isfinite(self.low):
            return f"{self.value:.3g}"
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


def bootstrap(values: np.ndarray, middle: Middle, seed: int, draws: int = DRAWS) -> Measured:
    """The mean or median of values (N,), NaN left out, with the middle 95 % of the draws."""
    known = values[~np.isnan(values)] if values.dtype.kind == "f" else values.astype(np.float64)
    if not len(known):
        return Measured(math.nan)
    value = float(np.mean(known) if middle == "mean" else np.median(known))
    if len(known) < 2 or draws < 2:
        return Measured(value)
    return _percentiles(value, drawn(known, middle, seed, draws))


def bootstrap_difference(values: np.ndarray, others: np.ndarray, seed: int, draws: int = DRAWS) -> Measured:
    """The mean of values (N,) less that of others (M,), both drawn again; NaN without others."""
    if not len(values) or not len(others):
        return Measured(math.nan)
    value = float(np.mean(values) - np.mean(others))
    if len(values) < 2 or len(others) < 2 or draws < 2:
        return Measured(value)
    return _percentiles(value, drawn(values, "mean", seed, draws) - drawn(others, "mean", seed + 1, draws))


def drawn(values: np.ndarray, middle: Middle, seed: int, draws: int) -> np.ndarray:
    """The mean or median in each draw, float64 (draws,)."""
    rng, n = np.random.default_rng([seed, 0xB0]), len(values)
    found = np.empty(draws)
    size = max(CELLS // n, 1)
    for start in range(0, draws, size):
        part = values[rng.integers(0, n, (min(size, draws - start), n))]
        found[start : start + size] = part.mean(axis=1) if middle == "mean" else np.median(part, axis=1)
    return found


def block_labels(n: int, seed: int, blocks: int = BLOCKS) -> np.ndarray:
    """A random block number for each of n sequences, int64 (n,), blocks of equal size within one."""
    labels = np.arange(n) % max(min(blocks, n), 1)
    return np.random.default_rng([seed, 0x1A]).permutation(labels)


def jackknife(value: float, without: Sequence[float]) -> Measured:
    """The interval of `value` from the values without each block, by Student's t; none where fewer than half are known.

    The delete-a-group jackknife, Kott 2001, "The delete-a-group jackknife", J. Official Statistics 17, 521.
    """
    from scipy.special import stdtrit

    left = np.asarray(without, np.float64)
    left = left[np.isfinite(left)]
    if not math.isfinite(value) or len(left) < 2 or len(left) < len(without) / 2:
        return Measured(value)
    error = math.sqrt((len(left) - 1) / len(left) * float(((left - left.mean()) ** 2).sum()))
    reach = float(stdtrit(len(left) - 1, 0.975)) * error
    return Measured(value, value - reach, value + reach, "jackknife")


def jackknife_of(function: Callable[[np.ndarray], float], n: int, seed: int, blocks: int = BLOCKS) -> Measured:
    """`function` of all rows 0..n-1 (int64), and of the rows without each block."""
    rows, labels = np.arange(n), block_labels(n, seed, blocks)
    without = [function(rows[labels != block]) for block in range(int(labels.max(initial=-1)) + 1)] if n > 1 else []
    return jackknife(function(rows), without)


def _percentiles(value: float, found: np.ndarray) -> Measured:
    low, high = np.quantile(found, [0.025, 0.975])
    return Measured(value, float(low), float(high), "bootstrap")


@dataclass(frozen=True)
class Numbers:
    """One number per sequence, whose mean or median is the metric; float64 (N,), NaN where a sequence has none."""

    values: np.ndarray
    middle: Middle = "mean"


@dataclass(frozen=True)
class Joint:
    """A metric of all sequences at once: its value of any rows, int64 (M,) of N."""

    of: Callable[[np.ndarray], float]
    n: int


def measured(part: Numbers | Joint, seed: int, draws: int = DRAWS, blocks: int = BLOCKS) -> Measured:
    """The metric with its interval: by bootstrap of numbers, by jackknife of what is joint; none with fewer than two."""
    if isinstance(part, Numbers):
        return bootstrap(np.asarray(part.values), part.middle, seed, draws)
    if blocks < 2:
        return Measured(part.of(np.arange(part.n)))
    return jackknife_of(part.of, part.n, seed, blocks)
