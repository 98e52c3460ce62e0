"""Whether a table has another prevalence of classes than the rows a run was fitted on, so that its probabilities are off.

Decides from how many rows on that is looked at, and how it is said; the test is in `seqloom.calibrate`.
"""

from __future__ import annotations

import numpy as np

from seqloom.answers import Prediction
from seqloom.calibrate import detect_prior_shift
from seqloom.findings import Finding, finding

FEWEST_ROWS = 50


def prior_finding(prediction: Prediction, name: str) -> Finding | None:
    """A warning if the prevalence in the table called `name` differs from training; None if not, or if it cannot be told."""
    known = prediction.uncertainty
    if known is None or known.reference is None or len(prediction.mean) < FEWEST_ROWS or np.isnan(known.train).any():
        return None
    target = prediction.target
    names = target.classes[-1:] if target.task == "binary" else target.output_names
    shift = detect_prior_shift(target.task, prediction.mean, known.train, known.reference, names=names)
    if not shift.differs:
        return None
    return finding("prior-shift", "warning", f"{name}: {shift.why}, unless rows differ in more than their classes")
