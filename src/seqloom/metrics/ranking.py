"""Metrics of binary targets by the order of any scores, over all rows; those of the first rows are in `top`."""

from __future__ import annotations

import numpy as np

from seqloom.metrics.base import ONE_CLASS, TWO, Metric, Value
from seqloom.resample import Floats, Predicted, Sample, cumulate, ratio


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


# fmt: off
METRICS = (
    Metric("auroc", TWO, True, True, True, "chance that a positive scores above a negative, ties count half",
           ONE_CLASS, _auroc),
    Metric("average_precision", TWO, True, True, True, "precision averaged over the recall of every threshold",
           "there is no positive", _average_precision),
)
# fmt: on
