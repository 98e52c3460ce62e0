"""Gradient boosting by LightGBM, for larger tables than scikit-learn's trees like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from seqloom.encode.base import Inputs, State
from seqloom.errors import MissingExtra
from seqloom.predict.base import Dims, Examples, Fitted, Job, Predictor, features_of
from seqloom.registry import register


@register("predictor", "lightgbm")
class LightGBM(Predictor):
    """LightGBM trees (extra `boost`), stopped when valid rows no longer gain.

    Several target columns are fitted one by one.
    """

    weighs_classes = True

    rounds: int = 1000
    """Most rounds."""
    lr: float = 0.05
    """Shrinkage of each tree."""
    leaves: int = 31
    """Most leaves of a tree."""
    patience: int = 50
    """Rounds without a gain on valid rows before growing stops."""

    def fit(self, train: Examples, valid: Examples, job: Job) -> Fitted:
        """One booster per target column."""
        boosters = [self._grow(train.known(c), valid.known(c), job) for c in range(job.dims.n_targets)]
        return FittedBoosters(tuple(boosters), job.dims)

    def restore(self, state: State, dims: Dims) -> Fitted:
        """The boosters of `state()`."""
        library = _library()
        texts = [state[f"model/{column}"].tobytes().decode() for column in range(len(state))]
        return FittedBoosters(tuple(library.Booster(model_str=text) for text in texts), dims)

    def _grow(self, train: Examples, valid: Examples, job: Job) -> Any:
        library = _library()
        task = job.dims.task
        settings: dict[str, Any] = {
            "objective": {"regression": "regression", "multiclass": "multiclass"}.get(task, "binary"),
            "learning_rate": self.lr, "num_leaves": self.leaves, "min_data_in_leaf": int(np.clip(len(train) // 50, 2, 20)),
            "verbosity": -1, "seed": job.seed, "deterministic": True, "force_row_wise": True,
        }  # fmt: skip
        if task == "multiclass":
            settings["num_class"] = job.dims.n_outputs
        weights, held_weights = (None if each.weights is None else each.weights[:, 0] for each in (train, valid))
        data = library.Dataset(features_of(train.inputs), train.y[:, 0], weight=weights, free_raw_data=False)
        if not len(valid):
            return library.train(settings, data, num_boost_round=100)
        held_out = library.Dataset(features_of(valid.inputs), valid.y[:, 0], weight=held_weights, reference=data)
        stop = library.early_stopping(self.patience, verbose=False)
        booster = library.train(settings, data, self.rounds, valid_sets=[held_out], callbacks=[stop])
        job.log(f"lightgbm: {booster.best_iteration} rounds")
        return booster


@dataclass(frozen=True)
class FittedBoosters(Fitted):
    """One booster per target column."""

    boosters: tuple[Any, ...]
    dims: Dims

    def predict(self, inputs: Inputs) -> np.ndarray:
        """Values or probabilities, (N, T)."""
        columns = [np.asarray(booster.predict(features_of(inputs))) for booster in self.boosters]
        width = self.dims.n_outputs // len(columns)
        return np.concatenate([column.reshape(len(inputs), width) for column in columns], axis=1)

    def state(self) -> State:
        """LightGBM's own text format, as bytes, by target column."""
        texts = [booster.model_to_string(num_iteration=booster.best_iteration) for booster in self.boosters]
        return {f"model/{column}": np.frombuffer(text.encode(), np.uint8) for column, text in enumerate(texts)}


def _library() -> Any:
    try:
        import lightgbm
    except ImportError:
        raise MissingExtra("predictor 'lightgbm'", "boost") from None
    return lightgbm
