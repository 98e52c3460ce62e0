"""The mean, or the share of each class: what any model must beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seqloom.encode.base import Inputs, State
from seqloom.predict.base import Dims, Examples, Fitted, Job, Predictor, prior
from seqloom.registry import register


@register("predictor", "constant")
class Constant(Predictor):
    """The training mean, or the training share of each class, for every row."""

    baseline = True
    by_instance = False

    def fit(self, train: Examples, valid: Examples, job: Job) -> Fitted:
        """The mean of known targets."""
        return FittedConstant(prior(train.y, job.dims))

    def restore(self, state: State, dims: Dims) -> Fitted:
        """The constants of `state()`."""
        return FittedConstant(state["value"])


@dataclass(frozen=True)
class FittedConstant(Fitted):
    """One value per output."""

    value: np.ndarray  # float64 (T,)

    def predict(self, inputs: Inputs) -> np.ndarray:
        """The constants for each row, (N, T)."""
        return np.tile(self.value, (len(inputs), 1))

    def state(self) -> State:
        """`value`."""
        return {"value": self.value}
