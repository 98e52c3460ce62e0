"""k nearest neighbours among feature vectors, k chosen on valid rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from seqloom.encode.base import Inputs, State
from seqloom.predict.base import (
    Dims,
    Examples,
    Fitted,
    Job,
    Predictor,
    default_loss,
    features_of,
    indicator,
    prior,
    together,
)  # fmt: skip
from seqloom.registry import register

NEIGHBOURS = (1, 2, 3, 5, 10, 20, 50)
BLOCK_BYTES = 256 * 2**20


@register("predictor", "knn")
class KNN(Predictor):
    """The mean target of the k training rows with the nearest feature vectors (Euclidean).

    Classes are shares among the neighbours, with the training share counted as one neighbour more.
    """

    k: int = 0
    """Neighbours; 0 chooses among 1 to 50 on valid rows."""

    def fit(self, train: Examples, valid: Examples, job: Job) -> Fitted:
        """Keep the training and valid rows, and choose k."""
        if not len(valid):
            return _fitted(train, self.k or 5, job.dims)
        alone = _fitted(train, self.k or NEIGHBOURS[-1], job.dims)
        nearest = alone.nearest(valid.inputs)
        k = self.k or self._chosen(alone, nearest, valid, job)
        return replace(_fitted(together(train, valid), k, job.dims), held_back=alone.averaged(nearest[:, :k]))

    def restore(self, state: State, dims: Dims) -> Fitted:
        """The rows of `state()`."""
        return FittedKNN(state["features"], state["y"], state["prior"], int(state["k"][0]), dims)

    def _chosen(self, alone: FittedKNN, nearest: np.ndarray, valid: Examples, job: Job) -> int:
        losses = [default_loss(valid.y, alone.averaged(nearest[:, :k]), job.dims) for k in NEIGHBOURS]
        k = NEIGHBOURS[int(np.argmin(losses))]
        job.log(f"knn: {k} neighbours of {', '.join(map(str, NEIGHBOURS))}")
        return k


def _fitted(examples: Examples, k: int, dims: Dims) -> FittedKNN:
    return FittedKNN(features_of(examples.inputs), indicator(examples.y, dims), prior(examples.y, dims), k, dims)


@dataclass(frozen=True)
class FittedKNN(Fitted):
    """The training rows."""

    features: np.ndarray  # float32 (M, D)
    y: np.ndarray  # float64 (M, T)
    prior: np.ndarray  # float64 (T,)
    k: int
    dims: Dims
    held_back: np.ndarray | None = None

    def predict(self, inputs: Inputs) -> np.ndarray:
        """Mean targets of the nearest rows, (N, T)."""
        return self.averaged(self.nearest(inputs))

    def nearest(self, inputs: Inputs) -> np.ndarray:
        """Training rows by distance, int64 (N, k), equal distances in table order."""
        features = features_of(inputs)
        k = min(self.k, len(self.features))
        squared = np.einsum("md,md->m", self.features, self.features)
        block = max(BLOCK_BYTES // (4 * max(len(self.features), 1)), 1)
        found = []
        for start in range(0, len(features), block):
            distance = squared - 2 * features[start : start + block] @ self.features.T
            part = np.argpartition(distance, k - 1, axis=1)[:, :k]
            part.sort(axis=1)
            order = np.argsort(np.take_along_axis(distance, part, 1), axis=1, kind="stable")
            found.append(np.take_along_axis(part, order, 1))
        return np.concatenate(found) if found else np.zeros((0, k), np.int64)

    def averaged(self, nearest: np.ndarray) -> np.ndarray:
        """Mean known target of the rows `nearest` (N, k), float64 (N, T)."""
        return mean_of_neighbours(self.y, nearest, self.prior, self.dims)

    def state(self) -> State:
        """`features`, `y`, `prior`, `k`."""
        return {"features": self.features, "y": self.y, "prior": self.prior, "k": np.array([self.k])}


def mean_of_neighbours(y: np.ndarray, nearest: np.ndarray, prior: np.ndarray, dims: Dims) -> np.ndarray:
    """Mean of y (M, T) over each row of `nearest` (N, k; -1 = none), float64 (N, T).

    Missing targets do not count. Classes take the prior as one neighbour more, so that no probability is 0 or 1; values
    take the prior only where no neighbour has one.
    """
    chosen = np.where((nearest >= 0)[:, :, None], y[nearest], np.nan)
    known = ~np.isnan(chosen)
    total, count = np.where(known, chosen, 0).sum(1), known.sum(1)
    if dims.task == "regression":
        return np.where(count > 0, total / np.maximum(count, 1), prior)
    return np.asarray((total + prior) / (count + 1))
