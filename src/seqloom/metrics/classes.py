"""Metrics of called classes and of probabilities.

A binary row is called positive at a probability of at least `THRESHOLD`, a multiclass row is called its most
probable class, the first of equals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqloom.metrics.base import EMPTY, MANY, TWO, Metric, Value, macro
from seqloom.resample import Column, Drawn, Floats, Predicted, Sample, ratio

THRESHOLD = 0.5
"""A probability of at least this is a predicted positive."""
CALIBRATION_BINS = 15


class PerClass(NamedTuple):
    """Scores of each class, float64 (K,), and `support` int64 (K,): how many known rows are of it."""

    recall: Floats
    precision: Floats
    f1: Floats
    support: NDArray[np.int64]


def per_class(y: Floats, p: Floats, n_classes: int) -> PerClass:
    """Recall, precision, f1 and support of every class; y (N, 1) class indices, p (N, n_classes) probabilities.

    With two classes p may be (N, 1), the probability of class 1. NaN where there is nothing to divide by: the
    recall of a class without rows, the precision of one never called, the f1 of one that is neither; all of
    them when a row of known class has a NaN prediction. ValueError for shapes that do not fit.

    >>> per_class(np.array([[0.0], [0.0], [1.0]]), np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0, 1, 0]]), 3).recall
    array([0.5, 1. , nan])
    """
    two = n_classes == 2 and p.ndim == 2 and p.shape[1] == 1
    if y.shape != (len(p), 1) or p.shape != (len(p), 1 if two else n_classes):
        raise ValueError(f"targets {y.shape} and predictions {p.shape} do not fit {n_classes} classes")
    column = Column(np.asarray(y[:, 0], np.float64))
    predicted = Predicted(column, np.asarray(p[:, 0] if two else p, np.float64))
    sample = Sample(Drawn(column, np.ones((1, len(y)), np.int32)), predicted)
    true, called, right = (sums[0, :n_classes] for sums in _tables(predicted)(sample))
    support = true.astype(np.int64)
    if np.isnan(predicted.p).any():
        nothing = np.full(n_classes, np.nan)
        return PerClass(nothing, nothing.copy(), nothing.copy(), support)
    return PerClass(ratio(right, true), ratio(right, called), _f1_of(true, called, right), support)


def _accuracy(predicted: Predicted) -> Value:
    right = (_called(predicted) == predicted.y).astype(np.float64)
    return lambda sample: sample.mean(right)


def _f1(predicted: Predicted) -> Value:
    tables = _tables(predicted)
    return lambda sample: _f1_of(*tables(sample))[:, 1]


def _macro_f1(predicted: Predicted) -> Value:
    tables = _tables(predicted)
    return lambda sample: macro(_f1_of(*tables(sample)))


def _weighted_f1(predicted: Predicted) -> Value:
    tables = _tables(predicted)

    def value(sample: Sample) -> Floats:
        true, called, right = tables(sample)
        return ratio((true * np.nan_to_num(_f1_of(true, called, right))).sum(axis=1), sample.n_rows)

    return value


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
    if p.ndim == 2:
        known = (y >= 0) & (y < p.shape[1])
        given = np.where(known, p[np.arange(len(y)), np.where(known, y, 0).astype(np.intp)], 0.0)
    else:
        given = np.where(y == 1, p, 1 - p)
    epsilon = np.finfo(np.float64).eps
    loss = -np.log(np.clip(given, epsilon, 1 - epsilon))
    return lambda sample: sample.mean(loss)


def _brier(predicted: Predicted) -> Value:
    squares = (predicted.y - predicted.p) ** 2
    return lambda sample: sample.mean(squares)


def _ece(predicted: Predicted) -> Value:
    """Naeini et al. 2015 (AAAI 29:2901) with bins of equal mass, made of all rows and kept for every draw.

    Rows of equal probability are in one bin, that of the middle of their places, so that bins do not depend on
    the order of rows. A calibrated model of few rows has more than 0.
    """
    ranked, n = predicted.ordering, len(predicted.y)
    bins = np.empty(n, np.intp)
    bins[ranked.order] = (ranked.start + ranked.stop) * CALIBRATION_BINS // (2 * n)
    gaps = np.zeros((n, CALIBRATION_BINS))
    gaps[np.arange(n), bins] = predicted.p - predicted.y
    gaps = gaps[:, np.unique(bins)]
    return lambda sample: ratio(np.abs(sample.total(gaps)).sum(axis=1), sample.n_rows)


def _called(predicted: Predicted) -> NDArray[np.intp]:
    p = predicted.p
    return np.argmax(p, axis=1) if p.ndim == 2 else (p >= THRESHOLD).astype(np.intp)


def _f1_of(true: Floats, called: Floats, right: Floats) -> Floats:
    return ratio(2 * right, true + called)


def _tables(predicted: Predicted) -> Callable[[Sample], tuple[Floats, Floats, Floats]]:
    """Per draw and class, rows that are it, rows called it, and rows that are both: three float64 (R, K).

    Classes that the model does not know follow those it does.
    """
    classes = np.arange(predicted.p.shape[1] if predicted.p.ndim == 2 else 2)
    classes = np.concatenate([classes, np.setdiff1d(predicted.y, classes)])
    true = (predicted.y[:, None] == classes).astype(np.float64)
    called = (_called(predicted)[:, None] == classes).astype(np.float64)
    terms = np.concatenate([true, called, true * called], axis=1)

    def value(sample: Sample) -> tuple[Floats, Floats, Floats]:
        sums = sample.total(terms)
        k = len(classes)
        return sums[:, :k], sums[:, k : 2 * k], sums[:, 2 * k :]

    return value


_BOTH = (*TWO, *MANY)

# fmt: off
METRICS = (
    Metric("mcc", _BOTH, True, False, True, "Matthews correlation, many classes: Gorodkin 2004; 0 for one class",
           EMPTY, _mcc),
    Metric("f1", TWO, True, False, False, "harmonic mean of precision and recall at probability 0.5",
           "no row is positive or called positive", _f1),
    Metric("macro_f1", MANY, True, False, False, "mean f1 of the classes that occur or are called",
           EMPTY, _macro_f1),
    Metric("weighted_f1", MANY, True, False, False, "mean f1 of the classes, each weighted by its rows",
           EMPTY, _weighted_f1),
    Metric("balanced_accuracy", _BOTH, True, False, False, "mean recall of the classes that occur",
           EMPTY, _balanced_accuracy),
    Metric("accuracy", _BOTH, True, False, False, "share of rows with the right class", EMPTY, _accuracy),
    Metric("log_loss", _BOTH, False, False, False, "mean of -ln of the probability given to the true class",
           EMPTY, _log_loss),
    Metric("brier", TWO, False, False, False, "mean squared error of the probability", EMPTY, _brier),
    Metric("ece", TWO, False, False, False,
           "expected calibration error: mean gap of probability and frequency in 15 bins of equal mass",
           EMPTY, _ece),
)
# fmt: on
