"""What a metric is taken of where targets are bounds of the true ones.

An error is 0 where the prediction is on the right side of the bound, and else the distance to it. Every other metric needs the
order of true values, or how far they lie apart, which bounds do not tell: such rows are left out, and counted. For `r2` both
its errors and the variance they are held against are those of measured rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seqloom.metrics.base import Metric
from seqloom.resample import Floats

Bounds = NDArray[np.int8]


def target_of(metric: Metric, y: Floats, p: Floats, bounds: Bounds | None) -> Floats:
    """Targets (N, C) that the metric is taken of: y where `bounds` (N, C) are 0.

    Where a true value is at most (-1) or at least (1) y, the prediction p (N, C) itself if it is too, else y; NaN for a metric
    that leaves such rows out.

    >>> from seqloom.metrics import METRICS
    >>> y, p, bounds = np.array([[1.0], [1.0], [1.0]]), np.array([[3.0], [3.0], [0.0]]), np.array([[0], [1], [1]])
    >>> target_of(METRICS["mae"], y, p, bounds).ravel(), target_of(METRICS["pearson"], y, p, bounds).ravel()
    (array([1., 3., 1.]), array([ 1., nan, nan]))
    """
    if bounds is None or not bounds.any():
        return y
    if not metric.takes_bounds:
        return np.where(bounds != 0, np.nan, y)
    return np.where(bounds * (p - y) > 0, p, y)


def left_out(metric: Metric, y: Floats, bounds: Bounds | None) -> int:
    """How many rows with a known target the metric leaves out because all their known targets (N, C) are bounds."""
    if bounds is None or metric.takes_bounds:
        return 0
    known = ~np.isnan(y)
    return int((known.any(axis=1) & ~(known & (bounds == 0)).any(axis=1)).sum())
