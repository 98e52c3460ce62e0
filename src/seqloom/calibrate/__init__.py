"""How far to believe a prediction: probabilities that mean what they say, intervals and sets that hold what they promise.

All is fitted on *held-back* rows, which trained nothing, and is plain numbers in and out: `fit_calibrator` maps probabilities to
calibrated ones; `reliability` says how calibrated they are; `prior_shift`, `prior_reference` and `detect_prior_shift` deal with
another prevalence than in training; `fit_intervals` and `fit_sets` are split-conformal; `expected_error` tells the error at an
identity to the nearest training row. Every result is immutable and says in words what it was made from and where it fell back.
"""

from seqloom.calibrate.calibrator import Calibrator, Curve, Method
from seqloom.calibrate.distance import Band, ErrorByIdentity, Expected, expected_error
from seqloom.calibrate.fit import fit_calibrator
from seqloom.calibrate.intervals import ConformalIntervals, fit_intervals
from seqloom.calibrate.prior import (
    PriorReference,
    PriorShift,
    detect_prior_shift,
    estimate_prevalence,
    prevalence,
    prior_reference,
    prior_shift,
)
from seqloom.calibrate.quantiles import LEVELS, Quantiles, conformal_quantile
from seqloom.calibrate.reliability import Bin, Reliability, reliability, top_label, wilson
from seqloom.calibrate.sets import ConformalSets, fit_sets

__all__ = [
    "LEVELS",
    "Band",
    "Bin",
    "Calibrator",
    "ConformalIntervals",
    "ConformalSets",
    "Curve",
    "ErrorByIdentity",
    "Expected",
    "Method",
    "PriorReference",
    "PriorShift",
    "Quantiles",
    "Reliability",
    "conformal_quantile",
    "detect_prior_shift",
    "estimate_prevalence",
    "expected_error",
    "fit_calibrator",
    "fit_intervals",
    "fit_sets",
    "prevalence",
    "prior_reference",
    "prior_shift",
    "reliability",
    "top_label",
    "wilson",
]
