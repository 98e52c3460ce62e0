"""A predictor fitted as it should be: classes weighed, bounds dealt with, bags taken apart before `Predictor.fit`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pyarrow as pa

from seqloom.encode.base import Inputs, State
from seqloom.predict.base import Examples, Fitted, Job, Predictor, features_of
from seqloom.predict.bounds import imputed
from seqloom.predict.weights import weighed

MONITOR_INSTANCES = 1000
"""Instances scored after each epoch for the curves, those of valid rows aside: nets look at no more, and would cut bags apart."""

Score = Callable[[np.ndarray, np.ndarray, np.ndarray | None], float]


def fit_model(predictor: Predictor, train: Examples, valid: Examples, job: Job) -> Fitted:
    """The predictor fitted on `train`; `valid` may choose penalties and epochs, and may be empty.

    Examples have the weights of `train.class_weight` where the predictor takes them, and bounds where its loss knows them;
    elsewhere bounds are replaced by what is expected beyond them, or taken for values. ConfigError for weights that are all 0.

    Rows that are bags are fitted as their instances, each with the row's target and a share of its weight. Predictors that take
    no weights see every instance alike, so that a row with more of them counts for more.
    """
    return fit_models(predictor, [(train, valid, job)])[0]


def fit_models(predictor: Predictor, members: Sequence[tuple[Examples, Examples, Job]]) -> list[Fitted]:
    """Several members, each as by `fit_model`, whose dims are the same; side by side where the predictor can."""
    fitted = predictor.fit_members([prepared(predictor, *member) for member in members])
    return [fitted_on_rows(own, valid) for own, (_, valid, _) in zip(fitted, members, strict=True)]


def prepared(predictor: Predictor, train: Examples, valid: Examples, job: Job) -> tuple[Examples, Examples, Job]:
    """What `Predictor.fit` takes, for those that call it themselves; see `fit_model`."""
    if predictor.weighs_classes:
        train, valid = weighed(train, valid, job)
    if train.bounds is not None and predictor.censored != "loss":
        if predictor.censored == "imputed":
            train, valid = _imputed(predictor, train, valid, job)
        train, valid = replace(train, bounds=None), replace(valid, bounds=None)
    return _as_instances(predictor, train, valid, job)


def fitted_on_rows(fitted: Fitted, valid: Examples) -> Fitted:
    """The model that `Predictor.fit` gave for `prepared` examples, with what it holds back told by row."""
    if fitted.held_back is None or len(fitted.held_back) == len(valid):
        return fitted
    return _Regrouped(fitted, valid.inputs.averaged(fitted.held_back))


def _as_instances(predictor: Predictor, train: Examples, valid: Examples, job: Job) -> tuple[Examples, Examples, Job]:
    """Examples whose rows are instances, with the scores of the curves those of rows; as they are without bags."""
    if train.inputs.bags is None or not predictor.by_instance:
        return train, valid, job
    parts = {"train": train, "valid": valid, **{name: _thinned(each) for name, each in job.monitor.items()}}
    instances = {name: each.instances(weighs=predictor.weighs_classes) for name, each in parts.items()}
    how = "each weighed by its share of the row" if predictor.weighs_classes else "all alike, as it takes no weights"
    job.log(f"{predictor.kind}: {len(train):,} training rows are {len(instances['train']):,} instances, {how}")
    monitor = {name: instances[name] for name in job.monitor}
    score = job.score and _score_of_rows(job.score, [(parts[name], each) for name, each in instances.items()])
    return instances["train"], instances["valid"], replace(job, monitor=monitor, score=score)


def _imputed(predictor: Predictor, train: Examples, valid: Examples, job: Job) -> tuple[Examples, Examples]:
    """As `bounds.imputed`; as that must not part the instances of a row, it is shown numbers that stand for bags."""
    if train.inputs.bags is None:
        return imputed(predictor, train, valid, job)
    distinct, numbers = _distinct(train.inputs, valid.inputs)
    shown = [
        replace(each, inputs=Inputs(features=own[:, None].astype(np.float64)))
        for each, own in zip((train, valid), numbers, strict=True)
    ]
    filled = imputed(cast("Predictor", _ByNumber(predictor, distinct)), shown[0], shown[1], job)
    return replace(train, y=filled[0].y), replace(valid, y=filled[1].y)


def _distinct(train: Inputs, valid: Inputs) -> tuple[Inputs, list[np.ndarray]]:
    """The bags that differ, and which of them each training and each valid row is, int64 (N,) each."""
    assert train.features is not None and train.bags is not None  # noqa: PT018 - one invariant
    assert valid.features is not None and valid.bags is not None  # noqa: PT018
    features = np.concatenate([train.features, valid.features])
    bags = np.concatenate([train.bags, valid.bags[1:] + train.bags[-1]])
    buffers = [None, pa.py_buffer(bags * features.itemsize * features.shape[1]), pa.py_buffer(features)]
    rows = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(bags) - 1, buffers)
    codes = np.asarray(rows.dictionary_encode().indices.to_numpy(), np.int64)
    first = np.unique(codes, return_index=True)[1]
    return Inputs(features=features, bags=bags).take(first), list(np.split(codes, [len(train)]))


def _thinned(examples: Examples) -> Examples:
    """Whole rows, evenly spaced, of at most `MONITOR_INSTANCES` instances together."""
    n_instances = int(examples.inputs.sizes.sum())
    if n_instances <= MONITOR_INSTANCES:
        return examples
    rows = np.linspace(0, len(examples) - 1, int(len(examples) * MONITOR_INSTANCES / n_instances)).astype(np.int64)
    return examples.take(rows[np.cumsum(examples.inputs.sizes[rows]) <= MONITOR_INSTANCES])


def _score_of_rows(score: Score, pairs: Sequence[tuple[Examples, Examples]]) -> Score:
    """`score` of rows, asked with targets and predictions of their instances; examples are told by their array of targets."""

    def of_rows(y: np.ndarray, predicted: np.ndarray, bounds: np.ndarray | None) -> float:
        for rows, instances in pairs:
            if y is instances.y:
                return score(rows.y, rows.inputs.averaged(predicted), rows.bounds)
        return score(y, predicted, bounds)

    return of_rows


@dataclass(frozen=True)
class _Regrouped(Fitted):
    """A model of instances with what it holds back told by row."""

    model: Fitted
    held_back: np.ndarray | None

    def predict(self, inputs: Inputs) -> np.ndarray:
        """As the model."""
        return self.model.predict(inputs)

    def state(self) -> State:
        """The model's."""
        return self.model.state()


@dataclass(frozen=True)
class _ByNumber:
    """A predictor of bags that is given rows as numbers (N, 1) of the distinct bags they are."""

    predictor: Predictor
    distinct: Inputs

    @property
    def kind(self) -> str:
        """The predictor's."""
        return self.predictor.kind

    def fit(self, train: Examples, valid: Examples, job: Job) -> _NumbersFitted:
        """The predictor fitted on the bags of these numbers."""
        own = [replace(each, inputs=self.bags(each.inputs)) for each in (train, valid)]
        return _NumbersFitted(self, self.predictor.fit(*_as_instances(self.predictor, own[0], own[1], job)))

    def bags(self, numbers: Inputs) -> Inputs:
        """The bags of rows that are given as numbers."""
        return self.distinct.take(features_of(numbers)[:, 0].astype(np.int64))


@dataclass(frozen=True)
class _NumbersFitted:
    """A model of bags that is asked by number."""

    by_number: _ByNumber
    model: Fitted

    def predict(self, inputs: Inputs) -> np.ndarray:
        """As the model of the bags."""
        return self.model.predict(self.by_number.bags(inputs))
