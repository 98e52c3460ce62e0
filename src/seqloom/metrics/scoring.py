"""All metrics by name, and their values: which fit a task, what is refused, one or many draws, one or many predictions."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqloom.errors import ConfigError, DataError
from seqloom.metrics import classes, ranking, regression, top
from seqloom.metrics.base import Metric, Task, Value, macro, nothing
from seqloom.metrics.bounds import Bounds
from seqloom.resample import Column, Drawn, Floats, Predicted, Sample, blocks

PROBABILITY_SLACK = 1e-6  # rounding of float32 models; log_loss clips and brier does not notice

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        each.name: each
        for each in (
            *regression.METRICS,
            *top.METRICS_OF_NUMBERS,
            *ranking.METRICS,
            *top.METRICS_OF_TWO,
            *classes.METRICS,
        )
    }
)
"""Every metric by name."""

_DEFAULTS: Mapping[Task, tuple[str, ...]] = {
    "regression": ("spearman", "pearson", "r2", "rmse", "mae"),
    "binary": ("auroc", "average_precision", "mcc", "f1", "balanced_accuracy", "log_loss", "brier"),
    "multiclass": ("macro_f1", "accuracy", "balanced_accuracy", "mcc", "log_loss"),
    "multilabel": ("auroc", "average_precision", "mcc", "f1", "log_loss", "brier"),
}


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


def score(name: str, task: Task, y: Floats, p: Floats, bounds: Bounds | None = None) -> float:
    """The metric of predictions p (N, T) for targets y (N, C), averaged over columns; NaN where undefined.

    `bounds` (N, C), of a regression: what is made of targets that are bounds is decided in `metrics.bounds`.
    ConfigError for a metric that does not exist or fit; DataError for probabilities outside 0..1; ValueError for
    shapes that do not fit, or classes that are no indices.

    >>> score("auroc", "binary", np.array([[0.0], [1.0], [1.0]]), np.array([[0.2], [0.1], [0.7]]))
    0.5
    """
    return float(scores(name, task, y, p, bounds=bounds).value[0])


def scores(
    name: str,
    task: Task,
    y: Floats,
    p: Floats,
    counts: NDArray[np.integer] | None = None,
    bounds: Bounds | None = None,
) -> Scores:
    """The metric in every draw of `counts` int (R, N): what it would be with each row repeated that often.

    Without counts one draw with every row once. Raises as `score`.
    """
    if counts is None:
        counts = np.ones((1, len(y)), np.int32)
    cut = (counts[block] for block in blocks(*counts.shape))
    parts = [part[0, 0] for part in score_draws((name,), task, y, (p,), cut, bounds)]
    per_target = np.concatenate(parts) if parts else np.empty((0, y.shape[1]))
    return Scores(macro(per_target), per_target, np.isnan(per_target).sum(axis=1))


def score_draws(
    names: Sequence[str],
    task: Task,
    y: Floats,
    predictions: Sequence[Floats],
    counts: Iterable[NDArray[np.integer]],
    bounds: Bounds | None = None,
) -> Iterator[Floats]:
    """Per block of counts (R, N), the metrics of all predictions: float64 (predictions, metrics, R, C).

    Sorting is done once and draws are shared by all predictions. `bounds` and what is raised are those of `score`.
    """
    metrics = [find_metric(name, task) for name in names]
    for p in predictions:
        check(metrics, task, y, p)
    if bounds is not None and (task != "regression" or bounds.shape != y.shape):
        raise ValueError(f"{task}: bounds {bounds.shape} do not fit targets {y.shape}")
    parts = [part for c in range(y.shape[1]) for part in _parts(metrics, y[:, c], c, bounds)]
    prepared = [[_prepare(metrics, task, part, p) for p in predictions] for part in parts]
    for block in counts:
        values = np.empty((len(predictions), len(metrics), len(block), y.shape[1]))
        for part, own in zip(parts, prepared, strict=True):
            drawn = Drawn(part.column, block)
            for i, (predicted, functions) in enumerate(own):
                sample = Sample(drawn, predicted)
                for m, value in functions:
                    values[i, m, :, part.c] = value(sample)
        yield values


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


def check(metrics: Sequence[Metric], task: Task, y: Floats, p: Floats) -> None:
    """Refuse shapes, targets and predictions that the metrics cannot take; raises as `score`."""
    fits = p.ndim == y.ndim == 2 and len(p) == len(y) and (task == "multiclass" or p.shape[1] == y.shape[1])
    if not fits or (task in ("binary", "multiclass") and y.shape[1] != 1):
        raise ValueError(f"{task}: targets {y.shape} and predictions {p.shape} do not fit each other")
    if task != "regression":
        odd = y[~np.isnan(y) & (y != (np.round(y) if task == "multiclass" else (y == 1)))]
        if len(odd):
            wanted = "class indices" if task == "multiclass" else "0 or 1"
            raise ValueError(f"{task}: {len(odd)} targets, the first {odd[0]:g}, are not {wanted} or NaN")
    valued = [each.name for each in metrics if not each.ranks_only]
    low, high = (np.nanmin(p), np.nanmax(p)) if p.size and not np.isnan(p).all() else (0.0, 0.0)
    if valued and task != "regression" and not -PROBABILITY_SLACK <= low <= high <= 1 + PROBABILITY_SLACK:
        any_scores = ", ".join(name for name, each in METRICS.items() if each.ranks_only and task in each.tasks)
        raise DataError(
            f"metric {valued[0]!r} of a {task} target: got predictions from {low:.6g} to {high:.6g},"
            f" it needs probabilities in 0..1" + (f"; {any_scores} take any scores" if any_scores else "")
        )


class _Part(NamedTuple):
    """The rows of one target that some of the metrics are taken of."""

    c: int
    column: Column
    metrics: tuple[int, ...]
    bounds: Bounds | None = None  # (n,) in the order of the column


def _parts(metrics: Sequence[Metric], y: Floats, c: int, bounds: Bounds | None) -> list[_Part]:
    """One part of target y (N,), or where there are bounds one with these rows and one without."""
    every, own = tuple(range(len(metrics))), None if bounds is None else bounds[:, c]
    if own is None or not own[~np.isnan(y)].any():
        return [_Part(c, Column(np.asarray(y, np.float64)), every)]
    found = []
    for takes in (True, False):
        asked = tuple(m for m in every if metrics[m].takes_bounds is takes)
        if asked:
            column = Column(np.where((own == 0) | takes, y, np.nan))
            found.append(_Part(c, column, asked, own[column.rows] if takes else None))
    return found


def _prepare(
    metrics: Sequence[Metric], task: Task, part: _Part, p: Floats
) -> tuple[Predicted, list[tuple[int, Value]]]:
    """A prediction, and its metrics by their place among all."""
    values = np.asarray(p if task == "multiclass" else p[:, part.c], np.float64)
    predicted = Predicted(part.column, values, part.bounds)
    functions = []
    for m in part.metrics:
        # An infinite value has a place in an order and nothing else; a NaN has none.
        fine = not np.isnan(predicted.p).any() if metrics[m].ranks_only else _finite(predicted)
        functions.append((m, metrics[m].prepare(predicted) if fine and len(part.column.y) else nothing))
    return predicted, functions


def _finite(predicted: Predicted) -> bool:
    return bool(np.isfinite(predicted.p).all() and np.isfinite(predicted.y).all())
