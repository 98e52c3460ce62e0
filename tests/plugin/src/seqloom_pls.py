"""Partial least squares: an example of a predictor that lives outside seqloom."""

from dataclasses import dataclass

import numpy as np
from sklearn.cross_decomposition import PLSRegression

from seqloom.encode.base import Inputs, State
from seqloom.predict.base import Dims, Examples, Fitted, Job, Predictor, features_of, indicator, prior
from seqloom.registry import register


@register("predictor", "pls")
class PLS(Predictor):
    """Partial least squares regression on features; classes are regressed as 0 and 1."""

    components: int = 5
    """Latent components."""

    def fit(self, train: Examples, valid: Examples, job: Job) -> Fitted:
        """Fit on training rows; an unknown target counts as the mean."""
        x, y = features_of(train.inputs), indicator(train.y, job.dims)
        mean = prior(train.y, job.dims)
        n_components = min(self.components, x.shape[1], len(x))
        model = PLSRegression(n_components, scale=False).fit(x, np.where(np.isnan(y), mean, y))
        coef = model.coef_.reshape(job.dims.n_outputs, x.shape[1])
        return FittedPLS(coef, model.intercept_ - coef @ model._x_mean, job.dims)

    def restore(self, state: State, dims: Dims) -> Fitted:
        """The coefficients of `state()`."""
        return FittedPLS(state["coef"], state["intercept"], dims)


@dataclass(frozen=True)
class FittedPLS(Fitted):
    """Coefficients (T, D) and intercepts (T,)."""

    coef: np.ndarray
    intercept: np.ndarray
    dims: Dims

    def predict(self, inputs: Inputs) -> np.ndarray:
        """Values, or shares made to lie between 0 and 1, (N, T)."""
        outputs = features_of(inputs).astype(np.float64) @ self.coef.T + self.intercept
        if self.dims.task == "regression":
            return outputs
        shares = np.clip(outputs, 1e-3, 1 - 1e-3)
        return shares / shares.sum(1, keepdims=True) if self.dims.task == "multiclass" else shares

    def state(self) -> State:
        """`coef` and `intercept`."""
        return {"coef": self.coef, "intercept": self.intercept}
