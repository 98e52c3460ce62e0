"""Average precision of models on one part of a library, with intervals that know of shared building blocks.

Scores are taken by target, as their mean, and of all targets pooled into one ranking; in every draw of `draws` again, with the
same weights for all models, so that differences are paired. Equal predictions are one threshold, as scikit-learn has it, and a
row whose target is unknown takes no part. The intervals cover the choice of building blocks, not another training; `spread`
says how draws become an interval.

An order is sorted once. A draw then needs the weight between each threshold that holds a positive and the one before it, which is
a product of a sparse matrix with the weights of several draws at once: no row is visited but once per order and draw, in scipy's
compiled loop, so that numba has nothing to add.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from seqloom.errors import ConfigError, DataError
from seqloom.large.draws import Weights
from seqloom.large.spread import Spread, spread_of
from seqloom.resample import Floats, ratio

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

PARTS = ("share", "nonshare")
"""Rows of blocks that training rows have too, and rows of blocks that none has (`seqloom.store.components`)."""
TOGETHER = 8
"""Draws made at once: their weights of one row fill a line of memory."""


@dataclass(frozen=True)
class Scored:
    """Average precision of M models for T targets, their mean, and all targets pooled, in one part.

    `columns`: the targets, then `mean` and `micro`; one target stands alone. `values` float64 (M, C), NaN where undefined, which
    `note` explains. `draws` float64 (D, M, C), of weighted rows, the same for all models. `known`, `positives`: rows by target.
    `spread`: of M times C scores; None without draws.
    """

    models: tuple[str, ...]
    columns: tuple[str, ...]
    values: Floats
    draws: Floats
    n_rows: int
    known: tuple[int, ...]
    positives: tuple[int, ...]
    spread: Spread | None = None

    @property
    def primary(self) -> str:
        """The column that orders models: the mean over targets, or the only one."""
        return "mean" if len(self.known) > 1 else self.columns[0]

    def value(self, model: str, column: str) -> float:
        """Of one model; NaN if undefined."""
        return float(self.values[self._place(model, column)])

    @property
    def units(self) -> tuple[int, ...]:
        """How many units of each kind were weighed: levels of each vocabulary, and rows without components if any."""
        return () if self.spread is None else self.spread.counts

    def interval(self, model: str, column: str, level: float = 0.95) -> tuple[float, float]:
        """Low and high; NaN twice without a value, without draws, or with only one unit of each kind."""
        return self._ends([(1, self._place(model, column))], level)[1:]

    def difference(self, left: str, right: str, column: str, level: float = 0.95) -> tuple[float, float, float]:
        """Left less right, low and high, of the same draws; NaN as for `interval`."""
        return self._ends([(1, self._place(left, column)), (-1, self._place(right, column))], level)

    def note(self, column: str) -> str:
        """Why a column is undefined, or which targets are left out of a mean; empty where there is nothing to say."""
        own = [self._lack(t) for t in range(len(self.known))]
        if column in self.columns[: len(own)]:
            return own[self.columns.index(column)]
        if column == "micro":
            return _lack(sum(self.known), sum(self.positives))
        lacking = [f"{name} ({why})" for name, why in zip(self.columns, own, strict=False) if why]
        return f"without {', '.join(lacking)}" if lacking else ""

    def _lack(self, target: int) -> str:
        return _lack(self.known[target], self.positives[target])

    def _place(self, model: str, column: str) -> tuple[int, int]:
        return self.models.index(model), self.columns.index(column)

    def _ends(self, terms: Sequence[tuple[int, tuple[int, int]]], level: float) -> tuple[float, float, float]:
        """The sum of scores, each times a number, and the ends of its interval."""
        value = float(sum(sign * self.values[place] for sign, place in terms))
        if math.isnan(value) or self.spread is None:
            return value, math.nan, math.nan
        contrast = np.zeros(self.values.shape)
        for sign, place in terms:
            contrast[place] += sign
        if not contrast.any():
            return value, value, value
        freedom = self.spread.freedom(contrast.ravel())
        if freedom == 0:
            return value, *((math.nan, math.nan) if max(self.units) < 2 else (value, value))
        draws = sum(sign * self.draws[:, *place] for sign, place in terms)
        outside = _outside(freedom, level)
        ends = np.quantile(draws, [outside, 1 - outside])
        low, high = (value + self.spread.factor(contrast.ravel()) * (ends - value)).tolist()
        return value, low, high


def score(
    y: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    levels: np.ndarray,
    *,
    targets: Sequence[str],
    draws: int = 1000,
    seed: int = 0,
    vocabularies: Sequence[int] | None = None,
) -> Scored:
    """Scores of every model on the rows of one part, as they are and in every draw.

    `y` float (N, T): 0, 1, or NaN where unknown. `predictions` by model, float (N, T), any scores: the higher, the likelier.
    `levels` int (N, K) and `vocabularies` (K,) as in `draws.Weights`. No draws: values without intervals.
    A target without a positive or without a negative row has no score (NaN), and is left out of the mean for all models alike.
    DataError for predictions that are no numbers and targets other than 0 and 1; ConfigError for fewer draws than none, or
    targets called as the scores over all; ValueError for shapes that do not fit.
    """
    y, found = np.asarray(y), {name: np.asarray(each) for name, each in predictions.items()}
    _check(y, found, np.asarray(levels), tuple(targets), draws)
    known, positives = (~np.isnan(y)).sum(axis=0).tolist(), (y == 1).sum(axis=0).tolist()
    curves = [list(_curves(y, each)) for each in found.values()]
    every = [_of_curves(curves, lambda curve: curve.average_precision(np.ones((len(y), 1))), 1, len(targets))]
    weights, spread = Weights(np.asarray(levels), seed, vocabularies), None
    for start in range(0, draws, TOGETHER):
        own = weights.of(range(start, min(start + TOGETHER, draws)))
        every.append(_of_curves(curves, partial(Curve.average_precision, weights=own), own.shape[1], len(targets)))
    if draws and len(y):
        influence = _of_curves(curves, Curve.influence, len(y), len(targets))
        spread = spread_of(weights, np.nan_to_num(influence.reshape(len(y), -1)))
    columns = (*targets, "mean", "micro") if len(targets) > 1 else tuple(targets)
    values, drawn = every[0][0], np.concatenate(every)[1:]
    return Scored(tuple(found), columns, values, drawn, len(y), tuple(known), tuple(positives), spread)


def refuse_names(targets: Sequence[str]) -> None:
    """ConfigError for targets called as the scores over all of them."""
    if len(targets) > 1 and {"mean", "micro"} & set(targets):
        raise ConfigError(
            "a target of several is called mean or micro, as are the scores over all targets; rename the column"
        )


class Curve:
    """Thresholds of one ranking of the known rows, highest first: those that have a positive at them."""

    def __init__(self, y: np.ndarray, scores: np.ndarray, rows: np.ndarray, n_rows: int) -> None:
        """`y` (n,) 0 or 1, `scores` (n,), `rows` int (n,): whose weights they have, of `n_rows`."""
        order = np.argsort(-scores, kind="stable")
        ranked, positive = scores[order], y[order] == 1
        ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]) + 1, len(order))  # one after the last of each tie
        hits = np.append(0, np.cumsum(positive))[ends]
        held = np.diff(hits, prepend=0) > 0
        self._order = rows[order].astype(np.int32)
        self._positive, self._n_rows = positive, n_rows
        self._ends, self._hits = np.append(0, ends[held]), np.append(0, hits[held])

    def average_precision(self, weights: Floats) -> Floats:
        """Of weighted rows, float64 (N, R): float64 (R,)."""
        hits = self._hits_between @ weights
        found = np.cumsum(hits, axis=0)
        precision = found / np.cumsum(self._calls_between @ weights, axis=0)
        average: Floats = np.einsum("pr,pr->r", hits, precision) / found[-1]
        return average

    def influence(self) -> Floats:
        """The derivative of the average precision by the weight of each row, where all weigh 1: float64 (N,)."""
        hits, calls = np.diff(self._hits), self._ends[1:]
        found, n_positive = self._hits[1:], self._hits[-1]
        precision = found / calls
        # A call takes from the precision of its own threshold and of all below; a positive adds to them, and counts itself.
        lost = _from_below(hits * found / calls**2)
        won = precision + _from_below(hits / calls) - hits @ precision / n_positive
        change = won @ self._hits_between - lost @ self._calls_between
        return np.asarray(change / n_positive)

    @cached_property
    def _calls_between(self) -> csr_matrix:
        return _sums(self._order[: self._ends[-1]], self._ends, self._n_rows)

    @cached_property
    def _hits_between(self) -> csr_matrix:
        return _sums(self._order[self._positive], self._hits, self._n_rows)


def _curves(y: np.ndarray, predicted: np.ndarray) -> Iterator[Curve | None]:
    """Of every target, and of all pooled if there are several; None where a class is missing."""
    n_rows, n_targets = y.shape
    known = ~np.isnan(y)
    for t in [*range(n_targets), *([slice(None)] if n_targets > 1 else [])]:
        own, truth = known[:, t], y[:, t]
        rows = np.nonzero(own)[0]
        yield (
            Curve(truth[own], predicted[:, t][own], rows, n_rows)
            if not _lack(len(rows), int((truth[own] == 1).sum()))
            else None
        )


def _of_curves(
    curves: Sequence[Sequence[Curve | None]], function: Callable[[Curve], Floats], size: int, n_targets: int
) -> Floats:
    """What a function (size,) says of every curve and of the mean over targets that have one: float64 (size, M, C)."""
    none = np.full(size, np.nan)
    own = [[none if each is None else function(each) for each in model] for model in curves]
    found = np.stack([np.stack(model, axis=-1) for model in own], axis=1)
    if n_targets == 1:
        return found
    single = found[:, :, :n_targets]
    defined = ~np.isnan(single)
    mean = ratio(np.where(defined, single, 0).sum(axis=2), defined.sum(axis=2).astype(np.float64))
    return np.concatenate([single, mean[:, :, None], found[:, :, n_targets:]], axis=2)


def _outside(freedom: float, level: float) -> float:
    """The share of draws left out at either end: as `interval.tail`, of a variance of so many degrees of freedom."""
    from scipy.special import ndtr, stdtrit

    return float(ndtr(stdtrit(freedom, (1 - level) / 2) * math.sqrt(1 + 1 / freedom)))


def _from_below(values: Floats) -> Floats:
    """The sum of each value and all after it."""
    return np.cumsum(values[::-1])[::-1]


def _sums(rows: np.ndarray, ends: np.ndarray, n_rows: int) -> csr_matrix:
    """The matrix (len(ends) - 1, n_rows) that sums the weights of `rows` between two ends."""
    from scipy.sparse import csr_matrix

    return csr_matrix((np.ones(len(rows)), rows, ends.astype(np.int32)), shape=(len(ends) - 1, n_rows))


def _lack(n_known: int, n_positive: int) -> str:
    """Which class is missing, in words; empty if both are there."""
    if not n_known:
        return "no known row"
    return "no positive" if not n_positive else "no negative" if n_positive == n_known else ""


def _check(
    y: np.ndarray, predictions: Mapping[str, np.ndarray], levels: np.ndarray, targets: tuple[str, ...], draws: int
) -> None:
    if draws < 0:
        raise ConfigError(f"draws = {draws}: not a number of draws; 1000 is usual")
    refuse_names(targets)
    if not predictions or not targets:
        raise ValueError("nothing to score: no model, or no target")
    shapes = {"y": y.shape} | {name: each.shape for name, each in predictions.items()}
    wrong = {name: shape for name, shape in shapes.items() if shape != (len(y), len(targets))}
    if wrong or levels.ndim != 2 or len(levels) != len(y):
        raise ValueError(f"{wrong or levels.shape} for {len(y)} rows of {len(targets)} targets")
    problems = []
    other = ~(np.isnan(y) | (y == 0) | (y == 1))
    if other.any():
        problems.append(f"{int(other.sum()):,} targets are neither 0 nor 1: rows {_first(other)}")
    for name, each in predictions.items():
        if np.isnan(each).any():
            bad = np.isnan(each)
            problems.append(f"{int(bad.sum()):,} predictions of {name} are no numbers: rows {_first(bad)}")
    if problems:
        raise DataError("\n".join(problems))


def _first(wrong: np.ndarray) -> str:
    rows = np.flatnonzero(wrong.any(axis=1))
    return ", ".join(str(row + 1) for row in rows[:5]) + (", ..." if len(rows) > 5 else "")
