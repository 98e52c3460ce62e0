"""How calibrated probabilities are: shares observed against shares predicted, in bins of equal rows, and their mean gap.

Decides bins, intervals and what chance alone would show. Calibrating is done elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqloom.calibrate.inputs import classes, probabilities, row_labels
from seqloom.resample import Floats, Ordering, blocks
from seqloom.stats import Interval

N_BINS = 15
Z95 = 1.959963984540054
"""The middle 95 % of a normal distribution lie within this many standard deviations."""
ONE_SIDED = 0.95


@dataclass(frozen=True)
class Bin:
    """Rows of neighbouring probabilities: their mean, the share of positives with its Wilson 95 % interval, how many."""

    predicted: float
    observed: Interval
    rows: int


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram and its expected calibration error.

    `ece` is the mean over rows of |observed - predicted| of their bin. It is never below 0 and grows as rows get few, so two
    numbers stand beside it when draws were asked for: its bootstrap interval, and `by_chance`, the largest ece (95 %) that
    probabilities which are right in every row would show on these rows.
    """

    bins: tuple[Bin, ...]
    ece: Interval
    """Its value; low and high are NaN without draws."""
    by_chance: float
    """NaN without draws."""
    n_rows: int
    resampled: str
    """What was drawn and how often; empty without draws."""

    @property
    def is_off(self) -> bool:
        """Whether the gap is more than chance; False without draws."""
        return self.ece.value > self.by_chance

    def as_json(self) -> dict[str, Any]:
        """`ece`, `by_chance`, `rows`, `resampled` and `bins`; undefined numbers are null."""
        return {
            "ece": self.ece.as_json(),
            "by_chance": None if np.isnan(self.by_chance) else self.by_chance,
            "rows": self.n_rows,
            "resampled": self.resampled,
            "bins": [
                {"predicted": each.predicted, "observed": each.observed.as_json(), "rows": each.rows}
                for each in self.bins
            ],
        }


def reliability(
    y01: Floats,
    p: Floats,
    bins: int = N_BINS,
    *,
    clusters: NDArray[np.generic] | None = None,
    draws: int = 0,
    seed: int = 0,
) -> Reliability:
    """Observed shares of y01 (N,), 0/1 or NaN, against probabilities p (N,), in at most `bins` bins of equal rows.

    Equal probabilities are never parted, so there may be fewer bins, or uneven ones. Rows with a missing target or a NaN
    probability are left out; without rows the ece is NaN. Wilson intervals take rows for independent; `clusters` (N,) of related
    rows are drawn together by the bootstrap. Its interval is the basic one, as the percentile one has the bias of the ece
    twice; it begins at 0 where the gap is no more than chance.

    DataError for probabilities outside 0..1.

    >>> reliability(np.array([0.0, 1.0, 1.0, 1.0]), np.array([0.25, 0.25, 0.75, 0.75]), bins=2).ece.value
    0.25
    """
    column = probabilities("binary", np.asarray(p)[:, None])
    y = classes("binary", np.asarray(y01)[:, None], column)[:, 0]
    known = ~np.isnan(y) & ~np.isnan(column[:, 0])
    labels = row_labels(clusters, len(known))
    y, p = y[known], column[known, 0]
    nan = float("nan")
    if not len(y):
        return Reliability((), Interval(nan, nan, nan), nan, 0, "")
    ordering = Ordering(p)
    y, p = y[ordering.order], p[ordering.order]
    place = (
        (ordering.start + ordering.stop - 1) * min(bins, len(y)) // (2 * len(y))
    )  # equal probabilities share a place
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    found = tuple(
        Bin(float(each_p.mean()), wilson(int(each_y.sum()), len(each_y)), len(each_y))
        for each_y, each_p in zip(np.split(y, starts[1:]), np.split(p, starts[1:]), strict=True)
    )
    ece = float(_ece((y - p)[None, :], starts)[0])
    if not draws:
        return Reliability(found, Interval(ece, nan, nan), nan, len(y), "")
    units = None if labels is None else np.unique(labels[known][ordering.order], return_inverse=True)[1].reshape(-1)
    n_units = len(y) if units is None else int(units.max()) + 1
    drawn = np.concatenate([_ece(c * (y - p), starts) / c.mean(1) for c in _counts(len(y), units, draws, seed)])
    low, high = 2 * ece - np.quantile(drawn, [0.975, 0.025])
    what = f"{n_units:,} rows" if units is None else f"{n_units:,} groups of {len(y):,} rows"
    by_chance = float(np.quantile(np.concatenate(list(_if_right(p, starts, draws, seed))), ONE_SIDED))
    # The measured gap is biased upwards; an interval that ended below it would only puzzle.
    interval = Interval(ece, max(float(low), 0.0) if ece > by_chance else 0.0, max(float(high), ece))
    return Reliability(found, interval, by_chance, len(y), f"{draws:,} draws over {what}")


def top_label(y: Floats, p: Floats) -> tuple[Floats, Floats]:
    """Whether the likeliest of several classes is right, float64 (N,) 0/1/NaN, and its probability (N,).

    y (N, 1) class indices, p (N, T), as for a multiclass target; the first class wins a tie.
    """
    p = probabilities("multiclass", p)
    y = classes("multiclass", y, p)[:, 0]
    return np.where(np.isnan(y), np.nan, p.argmax(axis=1) == y), p.max(axis=1)


def wilson(hits: int, n: int) -> Interval:
    """A share and its 95 % score interval (Wilson 1927); all NaN for no rows.

    >>> share = wilson(8, 10)
    >>> round(share.low, 4), round(share.high, 4)
    (0.4902, 0.9433)
    """
    if not n:
        return Interval(float("nan"), float("nan"), float("nan"))
    share, z2 = hits / n, Z95**2 / n
    middle = (share + z2 / 2) / (1 + z2)
    half = Z95 / (1 + z2) * (share * (1 - share) / n + z2 / (4 * n)) ** 0.5
    return Interval(share, 0.0 if hits == 0 else middle - half, 1.0 if hits == n else middle + half)


def _ece(gaps: Floats, starts: NDArray[np.intp]) -> Floats:
    """Expected calibration error (R,) of gaps y - p (R, N) in ascending order of p, with the first place of each bin."""
    return np.asarray(np.abs(np.add.reduceat(gaps, starts, axis=1)).sum(axis=1) / gaps.shape[1])


def _counts(n_rows: int, units: NDArray[np.intp] | None, draws: int, seed: int) -> Iterator[Floats]:
    """Blocks of how often each row is drawn, (R, N), when units (rows, or what each belongs to) are drawn with replacement."""
    rng = np.random.default_rng(seed)
    n_units = n_rows if units is None else int(units.max()) + 1
    for block in blocks(draws, n_rows):
        drawn = rng.integers(0, n_units, (block.stop - block.start, n_units))
        counts = np.stack([np.bincount(each, minlength=n_units) for each in drawn]).astype(np.float64)
        yield counts if units is None else counts[:, units]


def _if_right(p: Floats, starts: NDArray[np.intp], draws: int, seed: int) -> Iterator[Floats]:
    """Blocks of the ece of targets drawn by the probabilities themselves, (R,)."""
    rng = np.random.default_rng([seed, 1])
    for block in blocks(draws, len(p)):
        yield _ece((rng.random((block.stop - block.start, len(p))) < p) - p, starts)
