"""A predictor fitted as it should be: classes weighed and bounds dealt with before `Predictor.fit` sees the examples."""

from __future__ import annotations

from dataclasses import replace

from seqloom.predict.base import Examples, Fitted, Job, Predictor
from seqloom.predict.bounds import imputed
from seqloom.predict.weights import weighed


def fit_model(predictor: Predictor, train: Examples, valid: Examples, job: Job) -> Fitted:
    """The predictor fitted on `train`; `valid` may choose penalties and epochs, and may be empty.

    Examples have the weights of `train.class_weight` where the predictor takes them, and bounds where its loss knows them;
    elsewhere bounds are replaced by what is expected beyond them, or taken for values. ConfigError for weights that are all 0.
    """
    if predictor.weighs_classes:
        train, valid = weighed(train, valid, job)
    if train.bounds is None or predictor.censored == "loss":
        return predictor.fit(train, valid, job)
    if predictor.censored == "imputed":
        train, valid = imputed(predictor, train, valid, job)
    return predictor.fit(replace(train, bounds=None), replace(valid, bounds=None), job)
