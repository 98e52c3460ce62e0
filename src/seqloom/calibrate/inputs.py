"""What calibration accepts: shapes as in `seqloom.metrics`, probabilities in 0..1, weights of 0 or more. Nothing is fitted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seqloom.errors import DataError
from seqloom.findings import N_NAMED_ROWS
from seqloom.metrics import PROBABILITY_SLACK, Task
from seqloom.resample import Floats


def probabilities(task: Task, p: Floats) -> Floats:
    """`p` as float64 (N, T) within 0..1; rounding of float32 models is cut off, NaN stays.

    DataError for numbers outside 0..1; ValueError for a shape or task that has no probabilities.
    """
    p = np.asarray(p, np.float64)
    if task == "regression" or p.ndim != 2 or (task == "binary" and p.shape[1] != 1):
        raise ValueError(f"{task}: predictions {p.shape} are no probabilities (rows, outputs)")
    bad = np.flatnonzero(((p < -PROBABILITY_SLACK) | (p > 1 + PROBABILITY_SLACK)).any(axis=1))
    if len(bad):
        named = ", ".join(f"{row + 1}: {p[row].tolist()}" for row in bad[:N_NAMED_ROWS])
        raise DataError(f"probabilities of {len(bad)} rows are outside 0..1, by row: {named}")
    return np.clip(p, 0.0, 1.0)


def classes(task: Task, y: Floats, p: Floats) -> Floats:
    """Targets `y` as float64 (N, C), NaN where missing; ValueError where they do not fit the probabilities `p` (N, T)."""
    y = np.asarray(y, np.float64)
    if y.ndim != 2 or len(y) != len(p) or y.shape[1] != (1 if task == "multiclass" else p.shape[1]):
        raise ValueError(f"{task}: targets {y.shape} and predictions {p.shape} do not fit each other")
    known = y[~np.isnan(y)]
    n_classes = p.shape[1] if task == "multiclass" else 2
    if not np.isin(known, np.arange(n_classes)).all():
        raise ValueError(f"{task}: targets are class indices 0..{n_classes - 1}, got {np.unique(known)[:8].tolist()}")
    return y


def row_weights(weights: Floats | None, n_rows: int) -> Floats:
    """Weights float64 (N,), ones if there are none; DataError for a negative, infinite or missing one."""
    if weights is None:
        return np.ones(n_rows)
    given = np.asarray(weights, np.float64)
    if given.shape != (n_rows,):
        raise ValueError(f"weights {given.shape} for {n_rows} rows")
    bad = np.flatnonzero(~(np.isfinite(given) & (given >= 0)))
    if len(bad):
        named = ", ".join(f"{row + 1}: {given[row]:g}" for row in bad[:N_NAMED_ROWS])
        raise DataError(f"weights of {len(bad)} rows are not numbers of 0 or more, by row: {named}")
    return given


def row_labels(labels: NDArray[np.generic] | None, n_rows: int) -> NDArray[np.str_] | None:
    """Labels of rows (N,) as text, or None; ValueError for another number of them."""
    if labels is None:
        return None
    text = np.asarray(labels).astype(str)
    if text.shape != (n_rows,):
        raise ValueError(f"labels {text.shape} for {n_rows} rows")
    return text
