"""Metrics of predicted numbers: correlations and errors over all rows; those of the best rows alone are in `top`."""

from __future__ import annotations

import numpy as np

from seqloom.metrics.base import EMPTY, REGRESSION, Metric, Value
from seqloom.resample import Floats, Predicted, Sample, moments, ratio


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


_CONSTANT = "the targets or the predictions are constant"

# fmt: off
METRICS = (
    Metric("spearman", REGRESSION, True, True, True, "Pearson correlation of mid-ranks", _CONSTANT, _spearman),
    Metric("pearson", REGRESSION, True, False, True, "linear correlation", _CONSTANT, _pearson),
    Metric("r2", REGRESSION, True, False, True, "1 - mean squared error / variance of the targets",
           "the targets are constant", _r2),
    Metric("rmse", REGRESSION, False, False, False, "root of the mean squared error", EMPTY, _rmse, True),
    Metric("mae", REGRESSION, False, False, False, "mean absolute error", EMPTY, _mae, True),
)
# fmt: on
