"""Linear models: ridge for values, logistic for classes, the penalty chosen on valid rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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

    penalty: float = 0.0
    """L2 penalty; 0 chooses it on valid rows."""

    def fit(self, train: Examples, valid: Examples, job: Job) -> Fitted:
        """One linear model per target column."""
        parts = [self._fit_column(train.known(c), valid.known(c), job) for c in range(job.dims.n_targets)]
        coef = np.concatenate([part[0] for part in parts])
        return FittedLinear(coef, np.concatenate([part[1] for part in parts]), job.dims.task)

    def restore(self, state: State, dims: Dims) -> Fitted:
        """The coefficients of `state()`."""
        return FittedLinear(state["coef"], state["intercept"], dims.task)

    def _fit_column(self, train: Examples, valid: Examples, job: Job) -> tuple[np.ndarray, np.ndarray]:
        task = job.dims.task
        if task != "regression" and len(np.unique(train.y)) < 2:
            share = np.clip(prior(train.y, Dims("binary", 1, 1)), 1e-4, 1 - 1e-4)
            return np.zeros((1, job.dims.n_features)), np.log(share / (1 - share))
        dims = Dims(task, 1, job.dims.n_outputs if task == "multiclass" else 1)

        penalties = RIDGE_PENALTIES if task == "regression" else LOGISTIC_PENALTIES
        if self.penalty or not len(valid):
            return _fit(together(train, valid), [self.penalty or 1.0], dims)[0]
        models = _fit(train, penalties, dims)
        losses = [default_loss(valid.y, FittedLinear(*model, task).predict(valid.inputs), dims) for model in models]
        best = penalties[int(np.argmin(losses))]
        job.log(f"linear: penalty {best:g} of {', '.join(f'{each:g}' for each in penalties)}")
        return _fit(together(train, valid), [best], dims)[0]


@dataclass(frozen=True)
class FittedLinear(Fitted):
    """Coefficients (T, D) and intercepts (T,), float64."""

    coef: np.ndarray
    intercept: np.ndarray
    task: str

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


def _fit(examples: Examples, penalties: Sequence[float], dims: Dims) -> list[Model]:
    """One model per penalty."""
    return _ridge(examples, penalties) if dims.task == "regression" else _logistic(examples, penalties, dims)


def _ridge(train: Examples, penalties: Sequence[float]) -> list[Model]:
    from sklearn.linear_model import Ridge

    x = features_of(train.inputs).astype(np.float64)
    models = [Ridge(alpha=penalty).fit(x, train.y[:, 0]) for penalty in penalties]
    return [(model.coef_[None], np.array([model.intercept_])) for model in models]


def _logistic(train: Examples, penalties: Sequence[float], dims: Dims) -> list[Model]:
    from sklearn.linear_model import LogisticRegression

    x, y = features_of(train.inputs).astype(np.float64), train.y[:, 0].astype(np.int64)
    model = LogisticRegression(warm_start=True, max_iter=300, tol=1e-3)
    models = []
    for penalty in penalties:
        model.set_params(C=1 / penalty)
        model.fit(x, y)
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
