"""Weights of classes: how much each target counts in a loss, by `train.class_weight`.

Nothing is drawn or repeated: every row stands once in an epoch whatever its weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from seqloom.errors import ConfigError
from seqloom.predict.base import Dims, Examples, Job

LABELS = ("0", "1")
"""Classes of targets without names of their own."""


def weighed(train: Examples, valid: Examples, job: Job) -> tuple[Examples, Examples]:
    """The examples with weights (N, C) that are 1 in the mean of known training targets; as they were without any to give.

    Weights are learnt from training rows; a class that these lack counts as the mean. ConfigError if all that occur are 0.
    """
    choice = job.settings.class_weight
    if choice == "none" or job.dims.task == "regression":
        return train, valid
    tables = [_of_column(choice, train.y[:, column], job) for column in range(train.y.shape[1])]
    return replace(train, weights=_taken(tables, train.y)), replace(valid, weights=_taken(tables, valid.y))


def refuse_unknown_classes(class_weight: str | Mapping[str, float], classes: tuple[str, ...]) -> None:
    """ConfigError for weights of classes that the target does not have; `classes` are empty for columns of 0 and 1."""
    names = classes or LABELS
    unknown = [] if isinstance(class_weight, str) else [name for name in class_weight if name not in names]
    if unknown:
        raise ConfigError(
            f"[train] class_weight: no class {', '.join(map(repr, unknown))}; the target has {', '.join(map(repr, names))}"
        )


def _of_column(choice: str | Mapping[str, float], y: np.ndarray, job: Job) -> np.ndarray:
    """The weight of each class of a column, float64 (K,)."""
    n_classes = _n_classes(job.dims)
    counts = np.bincount(y[~np.isnan(y)].astype(np.int64), minlength=n_classes).astype(np.float64)
    if isinstance(choice, str):  # balanced
        return np.where(counts > 0, counts.sum() / (np.maximum(counts, 1) * max(int((counts > 0).sum()), 1)), 1.0)
    weights = np.array([choice.get(name, 1.0) for name in job.classes or LABELS], np.float64)
    total = float(weights @ counts)
    if counts.any() and total == 0:
        raise ConfigError(
            "[train] class_weight: all classes that the training rows have count 0; give one of them more"
        )
    return np.where(counts > 0, weights * counts.sum() / total, 1.0) if counts.any() else weights


def _n_classes(dims: Dims) -> int:
    return dims.n_outputs if dims.task == "multiclass" else 2


def _taken(tables: list[np.ndarray], y: np.ndarray) -> np.ndarray:
    """The weight of every target of y (N, C), 1 where it is missing."""
    columns = [
        np.where(np.isnan(own), 1.0, table[np.nan_to_num(own).astype(np.int64)])
        for table, own in zip(tables, y.T, strict=True)
    ]
    return np.stack(columns, axis=1)
