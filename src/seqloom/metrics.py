"""Metrics: one definition of each, for the rows as they are and for any number of bootstrap draws of them.

Definitions are those of scikit-learn and scipy. A metric that cannot be computed is NaN, never 0; where
scikit-learn says 0 with reason (mcc) the metric says so. A missing target (NaN) is left out, column by
column; several columns are averaged over those where the metric is defined. Intervals are in `stats`.

Targets y float64 (N, C): regression C columns; binary one column of 0/1; multiclass one column of class
indices; multilabel C columns of 0/1. Predictions p float64 (N, T): values, T = C; the probability of the
positive class, T = 1; one probability per class; one probability per column, T = C.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqloom.errors import ConfigError, DataError
from seqloom.resample import Column, Drawn, Floats, Predicted, Sample, blocks, cumulate, moments, ratio

Task = Literal["regression", "binary", "multiclass", "multilabel"]
Value = Callable[[Sample], Floats]

THRESHOLD = 0.5
"""A probability of at least this is a predicted positive."""
PROBABILITY_SLACK = 1e-6  # rounding of float32 models; log_loss clips and brier does not notice


@dataclass(frozen=True)
class Metric:
    """A metric: what it is, which way is better, and how it is computed.

    `ranks_only` metrics see only the order of the predictions, which may then be any real scores. `prepare`
    does once what depends on the predictions alone; what it returns gives the values of any draws.
    """

    name: str
    tasks: tuple[Task, ...]
    higher_is_better: bool
    ranks_only: bool
    description: str
    undefined: str
    """When it is NaN."""
    prepare: Callable[[Predicted], Value]


class Scores(NamedTuple):
    """A metric in R draws: mean over columns (R,), per column (R, C), and how many columns had none (R,)."""

    value: Floats
    per_target: Floats
    n_undefined: NDArray[np.int64]


class Ranking(NamedTuple):
    """A regression as a search for positives: `y` 0/1/NaN, `score` (high = positive), float64 (N, C)."""

    task: Literal["binary", "multilabel"]
    y: Floats
    score: Floats


def default_metrics(task: Task) -> tuple[str, ...]:
    """Names of the metrics reported for a task; the first is the primary one, which orders a leaderboard."""
    return _DEFAULTS[task]


def find_metric(name: str, task: Task) -> Metric:
    """The metric of that name; ConfigError if there is none, or if it does not fit the task."""
    fitting = [each.name for each in METRICS.values() if task in each.tasks]
    if name not in METRICS:
        near = difflib.get_close_matches(name, METRICS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        raise ConfigError(f"metric {name!r}: no such metric{hint} available for {task}: {', '.join(fitting)}")
    if name not in fitting:
        raise ConfigError(
            f"metric {name!r}: not for a {task} target (it is for {', '.join(METRICS[name].tasks)});"
            f" available for {task}: {', '.join(fitting)}"
        )
    return METRICS[name]


def score(name: str, task: Task, y: Floats, p: Floats) -> float:
    """The metric of predictions p (N, T) for targets y (N, C), averaged over columns; NaN where undefined.

    ConfigError for a metric that does not exist or fit; DataError for probabilities outside 0..1.

    >>> score("auroc", "binary", np.array([[0.0], [1.0], [1.0]]), np.array([[0.2], [0.1], [0.7]]))
    0.5
    """
    return float(scores(name, task, y, p).value[0])


def scores(name: str, task: Task, y: Floats, p: Floats, counts: NDArray[np.integer] | None = None) -> Scores:
    """The metric in every draw of `counts` int (R, N): what it would be with each row repeated that often.

    Without counts one draw with every row once. Raises as `score`.
    """
    if counts is None:
        counts = np.ones((1, len(y)), np.int32)
    cut = (counts[block] for block in blocks(*counts.shape))
    parts = [part[0, 0] for part in score_draws((name,), task, y, (p,), cut)]
    per_target = np.concatenate(parts) if parts else np.empty((0, y.shape[1]))
    return Scores(macro(per_target), per_target, np.isnan(per_target).sum(axis=1))


def score_draws(
    names: Sequence[str],
    task: Task,
    y: Floats,
    predictions: Sequence[Floats],
    counts: Iterable[NDArray[np.integer]],
) -> Iterator[Floats]:
    """Per block of counts (R, N), the metrics of all predictions: float64 (predictions, metrics, R, C).

    Sorting is done once and draws are shared by all predictions. Raises as `score`.
    """
    metrics = [find_metric(name, task) for name in names]
    for p in predictions:
        _check(metrics, task, y, p)
    columns = [Column(np.asarray(y[:, c], np.float64)) for c in range(y.shape[1])]
    prepared = [[_prepare(metrics, task, c, column, p) for p in predictions] for c, column in enumerate(columns)]
    for block in counts:
        values = np.empty((len(predictions), len(metrics), len(block), len(columns)))
        for c, column in enumerate(columns):
            drawn = Drawn(column, block)
            for i, (predicted, functions) in enumerate(prepared[c]):
                sample = Sample(drawn, predicted)
                for m, value in enumerate(functions):
                    values[i, m, :, c] = value(sample)
        yield values


def macro(per_target: Floats) -> Floats:
    """Mean over the last axis (targets) of what is defined there; NaN where nothing is."""
    defined = ~np.isnan(per_target)
    return ratio(np.where(defined, per_target, 0.0).sum(axis=-1), defined.sum(axis=-1).astype(np.float64))


def as_ranking(y: Floats, p: Floats, threshold: float, positive: Literal["below", "above"]) -> Ranking:
    """A regression as a search for rows `below` (y < threshold) or `above` (y > threshold), for auroc.

    Missing targets stay missing.

    >>> task, y, p = as_ranking(np.array([[20.0], [9000.0]]), np.array([[90.0], [700.0]]), 500.0, "below")
    >>> score("auroc", task, y, p)
    1.0
    """
    inside = y < threshold if positive == "below" else y > threshold
    y01 = np.where(np.isnan(y), np.nan, inside.astype(np.float64))
    return Ranking("binary" if y.shape[1] == 1 else "multilabel", y01, -p if positive == "below" else p)


def _check(metrics: Sequence[Metric], task: Task, y: Floats, p: Floats) -> None:
    fits = p.ndim == y.ndim == 2 and len(p) == len(y) and (task == "multiclass" or p.shape[1] == y.shape[1])
    if not fits or (task in ("binary", "multiclass") and y.shape[1] != 1):
        raise ValueError(f"{task}: targets {y.shape} and predictions {p.shape} do not fit each other")
    valued = [each.name for each in metrics if not each.ranks_only]
    low, high = (np.nanmin(p), np.nanmax(p)) if p.size and not np.isnan(p).all() else (0.0, 0.0)
    if valued and task != "regression" and not -PROBABILITY_SLACK <= low <= high <= 1 + PROBABILITY_SLACK:
        ranking = ", ".join(name for name, each in METRICS.items() if each.ranks_only and task in each.tasks)
        raise DataError(
            f"metric {valued[0]!r} of a {task} target: got predictions from {low:.6g} to {high:.6g},"
            f" it needs probabilities in 0..1" + (f"; {ranking} take any scores" if ranking else "")
        )


def _prepare(metrics: Sequence[Metric], task: Task, c: int, column: Column, p: Floats) -> tuple[Predicted, list[Value]]:
    values = np.asarray(p if task == "multiclass" else p[:, c], np.float64)
    predicted = Predicted(column, values)
    functions = []
    for each in metrics:
        # An infinite score has a place in an order and nothing else; a NaN has none.
        bad = np.isnan(predicted.p) if each.ranks_only else ~np.isfinite(predicted.p)
        functions.append(_undefined if bad.any() or not len(column.y) else each.prepare(predicted))
    return predicted, functions


def _undefined(sample: Sample) -> Floats:
    return np.full(len(sample.n_rows), np.nan)


# Regression


def _spearman(predicted: Predicted) -> Value:
    ranked = predicted.ordering

    def value(sample: Sample) -> Floats:
        standing = ranked.standing(sample.cumulated)
        square = np.einsum("rn,rn->r", sample.ordered * standing, standing)
        product = np.einsum("rn,rn->r", sample.drawn.weighted_standing.take(ranked.order, axis=1), standing)
        return _correlation(product, sample.drawn.standing_square, square)

    return value


def _pearson(predicted: Predicted) -> Value:
    of = moments(predicted.y, predicted.p)

    def value(sample: Sample) -> Floats:
        yy, pp, yp = of(sample)
        return _correlation(yp, yy, pp)

    return value


def _r2(predicted: Predicted) -> Value:
    squares = (predicted.y - predicted.p) ** 2
    of = moments(predicted.y, predicted.y)
    return lambda sample: 1.0 - ratio(sample.mean(squares), of(sample)[0])


def _rmse(predicted: Predicted) -> Value:
    squares = (predicted.y - predicted.p) ** 2
    return lambda sample: np.sqrt(sample.mean(squares))


def _mae(predicted: Predicted) -> Value:
    absolute = np.abs(predicted.y - predicted.p)
    return lambda sample: sample.mean(absolute)


def _correlation(product: Floats, a_square: Floats, b_square: Floats) -> Floats:
    return np.clip(ratio(product, np.sqrt(a_square) * np.sqrt(b_square)), -1.0, 1.0)


# Rankings: binary targets, any scores


def _auroc(predicted: Predicted) -> Value:
    ranked = predicted.ordering
    places = np.flatnonzero(predicted.y[ranked.order] == 1)
    start, stop = ranked.start[places], ranked.stop[places]

    def value(sample: Sample) -> Floats:
        positives = sample.ordered.take(places, axis=1).astype(np.float64)
        below, through = sample.cumulated.take(start, axis=1), sample.cumulated.take(stop, axis=1)
        n_positive = positives.sum(axis=1)
        # Among positives, those below and above cancel over the sum: what is left is Mann-Whitney U.
        lead = np.subtract(below + through, sample.n_rows[:, None])
        return 0.5 + ratio(np.einsum("rn,rn->r", positives, lead), 2 * n_positive * (sample.n_rows - n_positive))

    return value


def _average_precision(predicted: Predicted) -> Value:
    ranked = predicted.ordering
    places = np.flatnonzero(predicted.y[ranked.order] == 1)
    start = ranked.start[places]
    first = np.searchsorted(places, start)  # the first positive of each one's ties

    def value(sample: Sample) -> Floats:
        positives = sample.ordered.take(places, axis=1)
        cumulated = cumulate(positives)
        hits = cumulated[:, -1:] - cumulated.take(first, axis=1)
        calls = np.subtract(sample.n_rows[:, None], sample.cumulated.take(start, axis=1))
        precision = hits / np.maximum(calls, 1.0)  # no call means no such row was drawn: its count is 0
        return ratio(np.einsum("rn,rn->r", positives, precision), cumulated[:, -1].astype(np.float64))

    return value


# Classes and probabilities


def _accuracy(predicted: Predicted) -> Value:
    right = (_called(predicted) == predicted.y).astype(np.float64)
    return lambda sample: sample.mean(right)


def _f1(predicted: Predicted) -> Value:
    tables = _tables(predicted)
    return lambda sample: _f1_of(*tables(sample))[:, 1]


def _macro_f1(predicted: Predicted) -> Value:
    tables = _tables(predicted)
    return lambda sample: macro(_f1_of(*tables(sample)))


def _balanced_accuracy(predicted: Predicted) -> Value:
    tables = _tables(predicted)

    def value(sample: Sample) -> Floats:
        true, _, right = tables(sample)
        return macro(ratio(right, true))

    return value


def _mcc(predicted: Predicted) -> Value:
    tables = _tables(predicted)

    def value(sample: Sample) -> Floats:
        true, called, right = tables(sample)
        n = sample.n_rows
        covariance = n * right.sum(axis=1) - (true * called).sum(axis=1)
        square = (n**2 - (true**2).sum(axis=1)) * (n**2 - (called**2).sum(axis=1))
        mcc = np.where(square == 0, 0.0, covariance / np.sqrt(np.where(square == 0, 1.0, square)))
        return np.where(n == 0, np.nan, mcc)

    return value


def _log_loss(predicted: Predicted) -> Value:
    y, p = predicted.y, predicted.p
    given = p[np.arange(len(y)), y.astype(np.intp)] if p.ndim == 2 else np.where(y == 1, p, 1 - p)
    epsilon = np.finfo(np.float64).eps
    loss = -np.log(np.clip(given, epsilon, 1 - epsilon))
    return lambda sample: sample.mean(loss)


def _brier(predicted: Predicted) -> Value:
    squares = (predicted.y - predicted.p) ** 2
    return lambda sample: sample.mean(squares)


def _called(predicted: Predicted) -> NDArray[np.intp]:
    p = predicted.p
    return np.argmax(p, axis=1) if p.ndim == 2 else (p >= THRESHOLD).astype(np.intp)


def _f1_of(true: Floats, called: Floats, right: Floats) -> Floats:
    return ratio(2 * right, true + called)


def _tables(predicted: Predicted) -> Callable[[Sample], tuple[Floats, Floats, Floats]]:
    """Per draw and class, rows that are it, rows called it, and rows that are both: three float64 (R, K)."""
    classes = np.arange(predicted.p.shape[1] if predicted.p.ndim == 2 else 2)
    true = (predicted.y[:, None] == classes).astype(np.float64)
    called = (_called(predicted)[:, None] == classes).astype(np.float64)
    terms = np.concatenate([true, called, true * called], axis=1)

    def value(sample: Sample) -> tuple[Floats, Floats, Floats]:
        sums = sample.total(terms)
        k = len(classes)
        return sums[:, :k], sums[:, k : 2 * k], sums[:, 2 * k :]

    return value


_REGRESSION: tuple[Task, ...] = ("regression",)
_TWO: tuple[Task, ...] = ("binary", "multilabel")
_MANY: tuple[Task, ...] = ("multiclass",)
_CLASSES = (*_TWO, *_MANY)
_CONSTANT = "the targets or the predictions are constant"
_EMPTY = "no target is known"

# fmt: off
_ALL = (
    Metric("spearman", _REGRESSION, True, True, "Pearson correlation of mid-ranks", _CONSTANT, _spearman),
    Metric("pearson", _REGRESSION, True, False, "linear correlation", _CONSTANT, _pearson),
    Metric("r2", _REGRESSION, True, False, "1 - mean squared error / variance of the targets",
           "the targets are constant", _r2),
    Metric("rmse", _REGRESSION, False, False, "root of the mean squared error", _EMPTY, _rmse),
    Metric("mae", _REGRESSION, False, False, "mean absolute error", _EMPTY, _mae),
    Metric("auroc", _TWO, True, True, "chance that a positive scores above a negative, ties count half",
           "the targets are all of one class", _auroc),
    Metric("average_precision", _TWO, True, True, "precision averaged over the recall of every threshold",
           "there is no positive", _average_precision),
    Metric("mcc", _CLASSES, True, False, "Matthews correlation, many classes: Gorodkin 2004; 0 for one class",
           _EMPTY, _mcc),
    Metric("f1", _TWO, True, False, "harmonic mean of precision and recall at probability 0.5",
           "no row is positive or called positive", _f1),
    Metric("macro_f1", _MANY, True, False, "mean f1 of the classes that occur or are called",
           _EMPTY, _macro_f1),
    Metric("balanced_accuracy", _CLASSES, True, False, "mean recall of the classes that occur",
           _EMPTY, _balanced_accuracy),
    Metric("accuracy", _CLASSES, True, False, "share of rows with the right class", _EMPTY, _accuracy),
    Metric("log_loss", _CLASSES, False, False, "mean of -ln of the probability given to the true class",
           _EMPTY, _log_loss),
    Metric("brier", _TWO, False, False, "mean squared error of the probability", _EMPTY, _brier),
)
# fmt: on

METRICS: Mapping[str, Metric] = MappingProxyType({each.name: each for each in _ALL})
"""Every metric by name."""

_DEFAULTS: Mapping[Task, tuple[str, ...]] = {
    "regression": ("spearman", "pearson", "r2", "rmse", "mae"),
    "binary": ("auroc", "average_precision", "mcc", "f1", "balanced_accuracy", "log_loss", "brier"),
    "multiclass": ("macro_f1", "accuracy", "balanced_accuracy", "mcc", "log_loss"),
    "multilabel": ("auroc", "average_precision", "mcc", "f1", "log_loss", "brier"),
}
