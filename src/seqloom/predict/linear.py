"""Linear models: ridge for values, logistic for classes, the penalty chosen on valid rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from seqloom.encode.base import Inputs, State
from seqloom.predict.base import Dims, Examples, Fitted, Job, Predictor, default_loss, features_of, prior, together
from seqloom.registry import register

RIDGE_PENALTIES = tuple(10.0**power for power in range(-3, 6))
LOGISTIC_PENALTIES = tuple(10.0**power for power in (3, 2, 1, 0, -1))  # strong first: each fit warms up the next


@register("predictor", "linear")
class Linear(Predictor):
    """Ridge regression, or logistic regression with an L2 penalty.

    The penalty with the lowest loss on valid rows is taken, and the model is then fitted on training and valid rows
    together; several target columns are fitted one by one.
    """

    baseline = True
    weighs_classes = True

    penalty: float = 0.0
    """L2 penalty; 0 chooses it on valid rows."""

    def fit(self, train: Examples, valid: Examples, job: Job) -> Fitted:
        """One linear model per target column."""
        parts = [self._fit_column(train.known(c), valid.known(c), job) for c in range(job.dims.n_targets)]
        alone = _joined([part[0] for part in parts], job.dims)
        held_back = alone.predict(valid.inputs) if len(valid) else None
        return replace(_joined([part[1] for part in parts], job.dims), held_back=held_back)

    def restore(self, state: State, dims: Dims) -> Fitted:
        """The coefficients of `state()`."""
        return FittedLinear(state["coef"], state["intercept"], dims.task)

    def _fit_column(self, train: Examples, valid: Examples, job: Job) -> tuple[Model, Model]:
        """The model of the training rows alone, and of them and the valid rows together."""
        task = job.dims.task
        if task != "regression" and len(np.unique(train.y)) < 2:
            constant = _constant(train.y, job.dims)
            return constant, constant
        dims = Dims(task, 1, job.dims.n_outputs if task == "multiclass" else 1)

        penalties = RIDGE_PENALTIES if task == "regression" else LOGISTIC_PENALTIES
        if not len(valid):
            only = _fit(train, [self.penalty or 1.0], dims)[0]
            return only, only
        if self.penalty:
            penalties = (self.penalty,)
        models = _fit(train, penalties, dims)
        losses = [
            default_loss(valid.y, FittedLinear(*model, task).predict(valid.inputs), dims, weights=valid.weights)
            for model in models
        ]
        best = int(np.argmin(losses))
        job.log(f"linear: penalty {penalties[best]:g} of {', '.join(f'{each:g}' for each in penalties)}")
        return models[best], _fit(together(train, valid), [penalties[best]], dims)[0]


@dataclass(frozen=True)
class FittedLinear(Fitted):
    """Coefficients (T, D) and intercepts (T,), float64."""

    coef: np.ndarray
    intercept: np.ndarray
    task: str
    held_back: np.ndarray | None = None

    def predict(self, inputs: Inputs) -> np.ndarray:
        """Values, or probabilities by the logistic function or softmax, (N, T)."""
        scores = features_of(inputs).astype(np.float64) @ self.coef.T + self.intercept
        if self.task == "regression":
            return np.asarray(scores)
        if self.task == "multiclass":
            scores = np.exp(scores - scores.max(1, keepdims=True))
            return np.asarray(scores / scores.sum(1, keepdims=True))
        return np.asarray(0.5 * (1 + np.tanh(scores / 2)))

    def state(self) -> State:
        """`coef` and `intercept`."""
        return {"coef": self.coef, "intercept": self.intercept}


Model = tuple[np.ndarray, np.ndarray]


def _joined(models: Sequence[Model], dims: Dims) -> FittedLinear:
    """Models of one column each as one of all."""
    coef, intercept = (np.concatenate(parts) for parts in zip(*models, strict=True))
    return FittedLinear(coef, intercept, dims.task)


def _constant(y: np.ndarray, dims: Dims) -> Model:
    """Of rows of one class, or of none: their share of each class, whatever the row."""
    if dims.task == "multiclass":
        return np.zeros((dims.n_outputs, dims.n_features)), np.log(np.clip(prior(y, dims), 1e-4, 1))
    share = np.clip(prior(y, Dims("binary", 1, 1)), 1e-4, 1 - 1e-4)
    return np.zeros((1, dims.n_features)), np.log(share / (1 - share))


def _fit(examples: Examples, penalties: Sequence[float], dims: Dims) -> list[Model]:
    """One model per penalty."""
    return _ridge(examples, penalties) if dims.task == "regression" else _logistic(examples, penalties, dims)


def _ridge(train: Examples, penalties: Sequence[float]) -> list[Model]:
    from sklearn.linear_model import Ridge

    x = features_of(train.inputs).astype(np.float64)
    weights = None if train.weights is None else train.weights[:, 0]
    models = [Ridge(alpha=penalty).fit(x, train.y[:, 0], weights) for penalty in penalties]
    return [(model.coef_[None], np.array([model.intercept_])) for model in models]


def _logistic(train: Examples, penalties: Sequence[float], dims: Dims) -> list[Model]:
    from sklearn.linear_model import LogisticRegression

    x, y = features_of(train.inputs).astype(np.float64), train.y[:, 0].astype(np.int64)
    model = LogisticRegression(warm_start=True, max_iter=300, tol=1e-3)
    models = []
    for penalty in penalties:
        model.set_params(C=1 / penalty)
        model.fit(x, y, None if train.weights is None else train.weights[:, 0])
        models.append(_all_classes(model.coef_.copy(), model.intercept_.copy(), model.classes_, dims))
    return models


def _all_classes(coef: np.ndarray, intercept: np.ndarray, classes: np.ndarray, dims: Dims) -> Model:
    """Rows for every class of a multiclass target; a class without training rows gets a score that never wins."""
    if dims.task != "multiclass":
        return coef, intercept
    if len(classes) == 2:  # scikit-learn keeps one row for two classes
        coef, intercept = np.concatenate([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
    full = np.zeros((dims.n_outputs, coef.shape[1]))
    offsets = np.full(dims.n_outputs, -50.0)
    full[classes], offsets[classes] = coef, intercept
    return full, offsets
