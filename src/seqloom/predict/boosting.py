"""Gradient-boosted trees, grown by scikit-learn and kept as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from seqloom.encode.base import Inputs, State
from seqloom.predict.base import Dims, Examples, Fitted, Job, Predictor, features_of, prior
from seqloom.registry import register

NODE_FIELDS = ("feature_idx", "num_threshold", "left", "right", "is_leaf", "value")


@register("predictor", "boosting")
class Boosting(Predictor):
    """Histogram gradient boosting (scikit-learn), stopped when valid rows no longer gain.

    Several target columns are fitted one by one.
    """

    weighs_classes = True

    rounds: int = 300
    """Most rounds."""
    lr: float = 0.1
    """Shrinkage of each tree."""
    leaves: int = 31
    """Most leaves of a tree."""
    patience: int = 20
    """Rounds without a gain on valid rows before growing stops."""

    def fit(self, train: Examples, valid: Examples, job: Job) -> Fitted:
        """One forest per target column."""
        dims = job.dims
        forests = [self._grow(train.known(c), valid.known(c), dims, job) for c in range(dims.n_targets)]
        return FittedTrees(_merged(forests), dims)

    def restore(self, state: State, dims: Dims) -> Fitted:
        """The trees of `state()`."""
        return FittedTrees(state, dims)

    def _grow(self, train: Examples, valid: Examples, dims: Dims, job: Job) -> State:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        y = train.y[:, 0]
        if dims.task != "regression" and len(np.unique(y)) < 2:
            return _constant_forest(prior(train.y, Dims("binary", 1, 1))) if dims.task != "multiclass" else _refused()
        stopping = (
            len(valid) > 0 and set(np.unique(valid.y)) <= set(np.unique(y))
            if dims.task != "regression"
            else len(valid) > 0
        )
        settings: dict[str, Any] = {
            "max_iter": self.rounds if stopping else min(self.rounds, 100),
            "learning_rate": self.lr,
            "max_leaf_nodes": self.leaves,
            "min_samples_leaf": int(np.clip(len(train) // 50, 2, 20)),
            "early_stopping": stopping,
            "n_iter_no_change": self.patience,
            "random_state": job.seed,
        }
        kind = HistGradientBoostingRegressor if dims.task == "regression" else HistGradientBoostingClassifier
        held_out: dict[str, Any] = {}
        if stopping:
            held_out = {"X_val": features_of(valid.inputs), "y_val": valid.y[:, 0]}
            held_out["sample_weight_val"] = None if valid.weights is None else valid.weights[:, 0]
        weights = None if train.weights is None else train.weights[:, 0]
        model = kind(**settings).fit(features_of(train.inputs), y, weights, **held_out)
        job.log(f"boosting: {model.n_iter_} rounds")
        classes = model.classes_.astype(np.int64) if dims.task == "multiclass" else np.zeros(1, np.int64)
        return _arrays(model, classes, dims)


@dataclass(frozen=True)
class FittedTrees(Fitted):
    """All trees as arrays: nodes of every tree in one, `start` (trees + 1,), `output` (trees,) and `baseline` (T,)."""

    trees: State
    dims: Dims

    def predict(self, inputs: Inputs) -> np.ndarray:
        """Sums of leaves, as values or probabilities, (N, T)."""
        features = features_of(inputs)
        scores = np.tile(self.trees["baseline"], (len(features), 1))
        start = self.trees["start"]
        for index, output in enumerate(self.trees["output"]):
            nodes = {name: self.trees[name][start[index] : start[index + 1]] for name in NODE_FIELDS}
            scores[:, output] += _leaf_values(nodes, features)
        if self.dims.task == "regression":
            return scores
        if self.dims.task == "multiclass":
            scores = np.exp(scores - scores.max(1, keepdims=True))
            return np.asarray(scores / scores.sum(1, keepdims=True))
        return np.asarray(0.5 * (1 + np.tanh(scores / 2)))

    def state(self) -> State:
        """The arrays."""
        return self.trees


def _leaf_values(nodes: State, features: np.ndarray) -> np.ndarray:
    at = np.zeros(len(features), np.int64)
    active = np.flatnonzero(~nodes["is_leaf"][at])
    while len(active):
        node = at[active]
        goes_left = features[active, nodes["feature_idx"][node]] <= nodes["num_threshold"][node]
        at[active] = np.where(goes_left, nodes["left"][node], nodes["right"][node])
        active = active[~nodes["is_leaf"][at[active]]]
    return np.asarray(nodes["value"][at])


def _arrays(model: Any, classes: np.ndarray, dims: Dims) -> State:
    # Reads two private attributes of the fitted model; a test holds the result against its own predictions.
    trees = [(tree.nodes, index) for round_ in model._predictors for index, tree in enumerate(round_)]
    n_trees_a_round = len(model._predictors[0]) if model._predictors else 1
    two_of_many = dims.task == "multiclass" and n_trees_a_round == 1  # two classes seen: one tree decides between them
    output = [classes[-1] if two_of_many else classes[index] if dims.task == "multiclass" else 0 for _, index in trees]
    baseline = np.full(dims.n_outputs if dims.task == "multiclass" else 1, -50.0 if dims.task == "multiclass" else 0.0)
    start = np.ravel(model._baseline_prediction)
    if two_of_many:
        baseline[classes[0]], baseline[classes[1]] = 0.0, start[0]
    else:
        baseline[classes] = start
    nodes = {name: np.concatenate([tree[name] for tree, _ in trees]) if trees else np.zeros(0) for name in NODE_FIELDS}
    types = {"feature_idx": np.int32, "left": np.int32, "right": np.int32, "is_leaf": np.bool_}
    nodes = {name: value.astype(types.get(name, np.float64)) for name, value in nodes.items()}
    sizes = [len(tree) for tree, _ in trees]
    return nodes | {
        "start": np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        "output": np.array(output, np.int64),
        "baseline": baseline,
    }


def _constant_forest(share: np.ndarray) -> State:
    clipped = np.clip(share, 1e-4, 1 - 1e-4)
    empty: State = {name: np.zeros(0) for name in NODE_FIELDS}
    return empty | {
        "start": np.zeros(1, np.int64),
        "output": np.zeros(0, np.int64),
        "baseline": np.log(clipped / (1 - clipped)),
    }


def _refused() -> State:
    from seqloom.errors import DataError

    raise DataError(
        "boosting: the training rows of this fold hold one class only; use fewer folds or a stratified split"
    )


def _merged(forests: list[State]) -> State:
    if len(forests) == 1:
        return forests[0]
    ends = np.cumsum([0] + [forest["start"][-1] for forest in forests])
    merged = {name: np.concatenate([forest[name] for forest in forests]) for name in NODE_FIELDS}
    types = {"feature_idx": np.int32, "left": np.int32, "right": np.int32, "is_leaf": np.bool_}
    merged = {name: value.astype(types.get(name, np.float64)) for name, value in merged.items()}
    starts = [forest["start"][:-1] + shift for forest, shift in zip(forests, ends, strict=False)]
    outputs = [np.full(len(forest["output"]), index) for index, forest in enumerate(forests)]
    return merged | {
        "start": np.concatenate([*starts, ends[-1:]]).astype(np.int64),
        "output": np.concatenate(outputs).astype(np.int64),
        "baseline": np.concatenate([forest["baseline"] for forest in forests]),
    }
