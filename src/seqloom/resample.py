"""Rows drawn again and again: what a metric may ask of many bootstrap draws at once.

A draw is a row of counts: how often each row of the table was drawn. This file turns counts into weighted
means, moments, standings (who is below whom) and tops (who comes first), vectorised over draws, and decides how
ties and missing targets are held. What a metric makes of them is in `metrics`; which rows are drawn is decided in `stats`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int32]

BLOCK_ELEMENTS = 1 << 17
"""Draws times rows worked on at once: 1 MB of float64, near the size of a processor's cache."""
LOST_DIGITS = 1e-5
"""A variance below this share of its mean square has lost digits and is taken again about its own mean."""


class Ordering:
    """Rows in ascending order of a value; tied rows share one half-open range of places.

    `order` int64 (N,): the row at each place. `start`, `stop` int64 (N,): the range of each place's ties.
    """

    def __init__(self, values: Floats) -> None:
        self.order = np.argsort(values, kind="stable")
        ranked = values[self.order]
        bounds = np.concatenate([[0], np.flatnonzero(ranked[1:] != ranked[:-1]) + 1, [len(ranked)]])
        sizes = np.diff(bounds)
        self.start = np.repeat(bounds[:-1], sizes)
        self.stop = np.repeat(bounds[1:], sizes)
        self.tied = len(sizes) < len(ranked)

    def standing(self, cumulated: Counts) -> Floats:
        """Drawn rows below minus drawn rows above each place, float64 (R, N).

        `cumulated` int32 (R, N + 1): counts before each place. A standing is twice a mid-rank less its mean:
        sums of products of standings are those of mid-ranks, without cancellation.
        """
        below, through = self.around(cumulated)
        standing: Floats = np.subtract(below + through, cumulated[:, -1:], dtype=np.float64)
        return standing

    def around(self, cumulated: Counts, first: int = 0) -> tuple[Counts, Counts]:
        """Drawn rows below each place from `first` on, and those not above it: two int32 (R, N - first)."""
        if self.tied:
            return cumulated.take(self.start[first:], axis=1), cumulated.take(self.stop[first:], axis=1)
        return cumulated[:, first:-1], cumulated[:, first + 1 :]


class Column:
    """One target without its missing rows, held in ascending order so that its ranks need no sorting."""

    def __init__(self, y: Floats) -> None:
        known = np.flatnonzero(~np.isnan(y))
        self.rows = known[np.argsort(y[known], kind="stable")]
        self.y: Floats = y[self.rows]
        self.ordering = Ordering(self.y)


class Predicted:
    """What a model says of a column's rows: `p` float64 (n,), or (n, K) with one probability per class.

    `y` float64 (n,): the targets of these rows; with `bounds` int8 (n,), the prediction itself where the true value is known to
    be at least (1) or at most (-1) the column's and the prediction is too.
    """

    def __init__(self, column: Column, p: Floats, bounds: NDArray[np.int8] | None = None) -> None:
        self.column = column
        self.p: Floats = np.ascontiguousarray(p[column.rows])
        self.y = column.y if bounds is None else np.where(bounds * (self.p - column.y) > 0, self.p, column.y)

    @cached_property
    def ordering(self) -> Ordering:
        return Ordering(self.p)


class Drawn:
    """The rows of one column in R draws; what is computed here is shared by all its predictions."""

    def __init__(self, column: Column, counts: NDArray[np.integer]) -> None:
        self.column = column
        own = counts.take(column.rows, axis=1)
        self.counts: Counts = own.astype(np.int32, casting="same_kind", copy=False)
        self.weights: Floats = self.counts.astype(np.float64)
        self.n_rows: Floats = self.weights.sum(axis=1)

    @cached_property
    def cumulated(self) -> Counts:
        """Drawn rows before each place in the order of the target, int32 (R, n + 1)."""
        return cumulate(self.counts)

    @cached_property
    def _standing(self) -> Floats:
        # Summed again rather than taken from `cumulated`: for spearman alone, one more array held costs a fifth of the time.
        return self.column.ordering.standing(cumulate(self.counts))

    @cached_property
    def weighted_standing(self) -> Floats:
        """Counts times standing of the target, float64 (R, n)."""
        return self.weights * self._standing

    @cached_property
    def standing_square(self) -> Floats:
        """Sum of squared standings of drawn rows, float64 (R,): exactly 0 where their targets are equal."""
        square: Floats = np.einsum("rn,rn->r", self.weighted_standing, self._standing)
        return square


class Sample:
    """Draws of a column together with one prediction of it: the argument of every metric."""

    def __init__(self, drawn: Drawn, predicted: Predicted) -> None:
        self.drawn = drawn
        self.predicted = predicted
        self.n_rows = drawn.n_rows

    def mean(self, terms: Floats) -> Floats:
        """Mean over drawn rows of `terms` (n,) or (n, k): float64 (R,) or (R, k); NaN without any row."""
        sums = self.drawn.weights @ terms
        return ratio(sums, self.n_rows if terms.ndim == 1 else self.n_rows[:, None])

    def total(self, terms: Floats) -> Floats:
        """Sum over drawn rows of `terms` float64 (n, k): float64 (R, k)."""
        return self.drawn.weights @ terms

    @cached_property
    def ordered(self) -> Counts:
        """Counts (R, n) in ascending order of the prediction."""
        return self.drawn.counts.take(self.predicted.ordering.order, axis=1)

    @cached_property
    def cumulated(self) -> Counts:
        """Drawn rows before each place of that order, int32 (R, n + 1)."""
        return cumulate(self.ordered)


class Top(NamedTuple):
    """The last k drawn rows of an order, in R draws: all from place `stop` on, and a part of the ties before it.

    `start`, `stop` int64 (R,): places of the tied rows at the cut. `part` float64 (R,): how much of them is
    in, so that each counts as often as it would on average over all orders of the ties.
    """

    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    part: Floats

    @property
    def first(self) -> int:
        """The first place that is in the top of any draw."""
        return int(self.start.min())

    def share(self, n_places: int) -> Floats:
        """How much of each place from `first` to `n_places` is in the top: float64 (R, n_places - first)."""
        places = np.arange(self.first, n_places)
        share: Floats = np.where(places >= self.stop[:, None], 1.0, self.part[:, None])
        share *= places >= self.start[:, None]
        return share


def top(ordering: Ordering, cumulated: Counts, k: NDArray[np.int32]) -> Top:
    """The highest k (R,) of the drawn rows, of which there are as many at least; `cumulated` as for `Ordering.standing`."""
    draws, n_rows = np.arange(len(cumulated)), cumulated[:, -1]
    cut = held(cumulated, n_rows - k)
    start, stop = ordering.start[cut], ordering.stop[cut]
    below, through = cumulated[draws, start], cumulated[draws, stop]
    return Top(start, stop, (k - (n_rows - through)) / np.maximum(through - below, 1))


def held(cumulated: Counts, rank: NDArray[np.int32]) -> NDArray[np.intp]:
    """The place that holds the drawn row of that rank (R,), counted from 0 and from below; the nearest if none does."""
    places = np.count_nonzero(cumulated <= rank[:, None], axis=1) - 1
    return np.clip(places, 0, cumulated.shape[1] - 2)


def moments(a: Floats, b: Floats) -> Callable[[Sample], tuple[Floats, Floats, Floats]]:
    """Variance of a, variance of b and their covariance per draw, float64 (R,); exactly 0 for a constant.

    a, b float64 (n,) in the order of the column's rows, n > 0; NaN where no row is drawn.
    """
    # About the median: a far outlier would pull the mean and take digits from all others; a constant is exactly 0.
    x, y = a - np.median(a), b - np.median(b)
    terms = np.stack([x, y, x * x, y * y, x * y], axis=1)

    def value(sample: Sample) -> tuple[Floats, Floats, Floats]:
        a_mean, b_mean, aa, bb, ab = sample.mean(terms).T
        a_variance, b_variance, covariance = aa - a_mean**2, bb - b_mean**2, ab - a_mean * b_mean
        a_lost, b_lost = (
            (a_variance <= LOST_DIGITS * aa) & (aa > 0),
            (b_variance <= LOST_DIGITS * bb) & (bb > 0),
        )
        for r in np.flatnonzero(a_lost | b_lost):  # few: constants, two far heaps of which one was drawn
            a_variance[r], b_variance[r], covariance[r] = _two_pass(sample.drawn.weights[r], a, b)
        return a_variance, b_variance, covariance

    return value


def _two_pass(weights: Floats, a: Floats, b: Floats) -> tuple[float, float, float]:
    drawn = weights > 0
    weights, a, b = weights[drawn] / weights.sum(), a[drawn] - a[drawn][0], b[drawn] - b[drawn][0]
    a, b = a - weights @ a, b - weights @ b
    return float(weights @ (a * a)), float(weights @ (b * b)), float(weights @ (a * b))


def cumulate(counts: Counts) -> Counts:
    """Counts before each place, int32 (R, n + 1): a leading zero, then running sums."""
    sums = np.zeros((counts.shape[0], counts.shape[1] + 1), np.int32)
    np.cumsum(counts, axis=1, out=sums[:, 1:])
    return sums


def ratio(above: Floats, below: Floats) -> Floats:
    """`above / below`, NaN where `below` is 0."""
    shape = np.broadcast_shapes(np.shape(above), np.shape(below))
    result: Floats = np.divide(above, below, out=np.full(shape, np.nan), where=below != 0)
    return result


def blocks(n_draws: int, n_rows: int) -> Iterator[slice]:
    """Ranges of draws that keep a block near `BLOCK_ELEMENTS`."""
    step = max(1, BLOCK_ELEMENTS // max(1, n_rows))
    for start in range(0, n_draws, step):
        yield slice(start, min(start + step, n_draws))
