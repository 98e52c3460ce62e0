"""The error to expect at an identity to the nearest training row: what held-back rows of like identity showed.

Decides bands of identity and whether error rises as identity falls; it does not force it to. Identities are found elsewhere
(`seqloom.similarity`), intervals are those of `seqloom.stats`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqloom.calibrate.reliability import wilson
from seqloom.resample import Floats
from seqloom.stats import Interval, compare

EDGES = tuple(round(0.1 * k, 1) for k in range(11))
"""Lower ends of the bands of identity before any are merged; identity 1 is a band of its own."""
FEWEST_IN_BAND = 30
_ROUNDING = 1e-6  # an identity of 7/10 stands in the band from 0.7


class Expected(NamedTuple):
    """Mean error of each row's band and its interval, float64 (N,)."""

    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Band:
    """Rows of an identity from `low` up to the next band's `low`: their mean error with its interval."""

    low: float
    high: float
    rows: int
    error: Interval


@dataclass(frozen=True)
class ErrorByIdentity:
    """Mean error by identity to the nearest training row, bands from far to near.

    `rank_correlation`: Spearman of identity and error over rows. `nearest`, `farthest`: the identities seen.
    """

    bands: tuple[Band, ...]
    rank_correlation: Interval
    farthest: float
    nearest: float
    n_rows: int
    resampled: str
    why: str
    """One sentence: how many rows and bands, and whether error rises as identity falls."""

    @property
    def rises(self) -> bool:
        """Whether error rises as identity falls, detectably: the interval of the correlation is below 0."""
        return self.rank_correlation.high < 0

    def at(self, identity: Floats) -> Expected:
        """The error to expect of rows of these identities (N,); NaN for a NaN identity, or without bands.

        An identity between bands that no held-back row had belongs to the farther band, one below all to the farthest.
        """
        identity = np.asarray(identity, np.float64)
        if not self.bands:
            return Expected(*(np.full(len(identity), np.nan) for _ in range(3)))
        numbers = np.array([(band.error.value, band.error.low, band.error.high) for band in self.bands])
        found = np.where(np.isnan(identity)[:, None], np.nan, numbers[self.place(identity)])
        return Expected(found[:, 0], found[:, 1], found[:, 2])

    def place(self, identity: Floats) -> NDArray[np.intp]:
        """Which band rows of these identities (N,) belong to, as in `at`; any band for a NaN."""
        lows = np.array([band.low for band in self.bands])
        return np.maximum(np.searchsorted(lows - _ROUNDING, np.asarray(identity, np.float64), side="right") - 1, 0)

    def is_beyond(self, identity: Floats) -> NDArray[np.bool_]:
        """Which rows (N,) are farther from training rows than any held-back row was: `at` says too little of them."""
        beyond: NDArray[np.bool_] = np.asarray(identity, np.float64) < self.farthest - _ROUNDING
        return beyond

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain numbers and text; undefined numbers are null."""
        return {
            **vars(self),
            "bands": [
                {"low": band.low, "high": band.high, "rows": band.rows, "error": _json(band.error)}
                for band in self.bands
            ],
            "rank_correlation": _json(self.rank_correlation),
            "farthest": None if math.isnan(self.farthest) else self.farthest,
            "nearest": None if math.isnan(self.nearest) else self.nearest,
        }

    @staticmethod
    def from_json(facts: Mapping[str, Any]) -> ErrorByIdentity:
        """What `as_json` wrote."""
        bands = tuple(
            Band(each["low"], each["high"], each["rows"], _interval(each["error"])) for each in facts["bands"]
        )
        ends = {key: math.nan if facts[key] is None else facts[key] for key in ("farthest", "nearest")}
        correlation = _interval(facts["rank_correlation"])
        return ErrorByIdentity(**{**facts, **ends, "bands": bands, "rank_correlation": correlation})


def expected_error(
    identity: Floats,
    error: Floats,
    *,
    edges: Sequence[float] = EDGES,
    clusters: NDArray[np.generic] | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> ErrorByIdentity:
    """Mean error of held-back rows by their identity (N,), 0..1, to the nearest training row.

    `error` (N,), 0 or more: |residual|, 0/1 error or log loss. Rows with a NaN in either are left out. Bands start at
    `edges`; the smallest joins its smaller neighbour until each has 30 rows. Intervals are bootstrap, over whole
    `clusters` (N,) of related rows if given. ValueError for negative errors or identities outside 0..1.
    """
    identity, error = np.asarray(identity, np.float64), np.asarray(error, np.float64)
    known = ~np.isnan(identity) & ~np.isnan(error)
    labels = None if clusters is None else np.asarray(clusters)[known]
    identity, error = identity[known], error[known]
    if (error < 0).any() or (identity < 0).any() or (identity > 1 + _ROUNDING).any():
        raise ValueError("errors of 0 or more and identities from 0 to 1 are needed")
    nan = math.nan
    if not len(error):
        return ErrorByIdentity(
            (), Interval(nan, nan, nan), nan, nan, 0, "", "no held-back row has an identity and an error"
        )
    lows = np.unique([0.0, *edges])
    place = np.searchsorted(lows - _ROUNDING, identity, side="right") - 1
    bands = []
    for first, last in merged_bands(np.bincount(place, minlength=len(lows)), FEWEST_IN_BAND):
        inside = (place >= first) & (place <= last)
        own = None if labels is None else labels[inside]
        mean = mean_error(error[inside], clusters=own, draws=draws, seed=seed)
        bands.append(Band(float(lows[first]), float([*lows, 1.0][last + 1]), int(inside.sum()), mean))
    correlation, resampled = _of(error, identity, "spearman", labels, draws, seed)
    why = f"mean error of {len(error):,} held-back rows in {len(bands)} bands of identity; {_trend(correlation)}"
    if min(band.rows for band in bands) < FEWEST_IN_BAND:
        why += f"; fewer than {FEWEST_IN_BAND} rows in all"
    ends = float(identity.min()), float(identity.max())
    return ErrorByIdentity(tuple(bands), correlation, *ends, len(error), resampled, why)


def mean_error(
    error: Floats, *, clusters: NDArray[np.generic] | None = None, draws: int = 1000, seed: int = 0
) -> Interval:
    """Mean of errors (n,), 0 or more, with its bootstrap interval over rows, or over whole `clusters` (n,) of related rows.

    Where all are 0, or all 1, a bootstrap would be certain: Wilson's interval is given then, of as many rows as there are
    clusters.
    """
    if len(error) and error[0] in (0.0, 1.0) and (error == error[0]).all():
        n = len(error) if clusters is None else len(np.unique(clusters))
        return wilson(n if error[0] else 0, n)
    return _of(error, np.zeros(len(error)), "mae", clusters, draws, seed)[0]


def merged_bands(counts: NDArray[np.integer], fewest: int) -> list[tuple[int, int]]:
    """First and last of the bands that make each merged band: the smallest joins its smaller neighbour until all have enough.

    `counts`: rows of each band (B,). Bands without rows are passed over, so that a merged band ends where there are rows.
    """
    bands = [(int(each), int(each), int(counts[each])) for each in np.flatnonzero(counts)]
    while len(bands) > 1 and min(n for *_, n in bands) < fewest:
        least = min(range(len(bands)), key=lambda at: bands[at][2])
        beside = [at for at in (least - 1, least + 1) if 0 <= at < len(bands)]
        low, high = sorted((least, min(beside, key=lambda at: bands[at][2])))
        bands[low : high + 1] = [(bands[low][0], bands[high][1], bands[low][2] + bands[high][2])]
    return [(first, last) for first, last, _ in bands]


def _of(
    y: Floats,
    p: Floats,
    metric: str,
    labels: NDArray[np.generic] | None,
    draws: int,
    seed: int,
) -> tuple[Interval, str]:
    """A metric of y and p (n,), rows of one of `labels` (n,) drawn together, and what was drawn."""
    own = None if labels is None else [labels]
    found = compare("regression", [y[:, None]], {"": [[p[:, None]]]}, [metric], clusters=own, draws=draws, seed=seed)
    return found.interval(""), found.resampled


def _trend(correlation: Interval) -> str:
    if math.isnan(correlation.low):
        return "whether it changes with identity cannot be told"
    numbers = f"Spearman {correlation.value:.2f}, 95 % CI {correlation.low:.2f} to {correlation.high:.2f}"
    if correlation.high < 0:
        return f"it rises as identity falls ({numbers})"
    return f"it {'falls as identity falls' if correlation.low > 0 else 'does not detectably change with identity'} ({numbers})"


def _json(interval: Interval) -> dict[str, float | None]:
    return interval.as_json() | {"undefined": interval.undefined}


def _interval(facts: Mapping[str, float | None]) -> Interval:
    """The interval `_json` wrote."""
    return Interval(**{key: math.nan if value is None else value for key, value in facts.items()})
