"""What a metric is: its name, its meaning, and how it is computed for many draws at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from seqloom.resample import Floats, Predicted, Sample, ratio

Task = Literal["regression", "binary", "multiclass", "multilabel"]
Value = Callable[[Sample], Floats]

REGRESSION: tuple[Task, ...] = ("regression",)
TWO: tuple[Task, ...] = ("binary", "multilabel")
"""Tasks of targets that are 0 or 1."""
MANY: tuple[Task, ...] = ("multiclass",)

EMPTY = "no target is known"
ONE_CLASS = "the targets are all of one class"


@dataclass(frozen=True)
class Metric:
    """A metric: what it is, which way is better, and how it is computed.

    `ranks_only` metrics see only the order of the predictions, which may then be any real scores. `prepare`
    does once what depends on the predictions alone; what it returns gives the values of any draws.
    """

    name: str
    tasks: tuple[Task, ...]
    higher_is_better: bool
    ranks_only: bool
    needs_variation: bool
    """Of targets that are all equal it says nothing: it is NaN, or the same for all predictions."""
    description: str
    undefined: str
    """When it is NaN."""
    prepare: Callable[[Predicted], Value]
    takes_bounds: bool = False
    """Whether rows whose target is a bound count, with a target that is the prediction where this is beyond the bound."""


def nothing(sample: Sample) -> Floats:
    """NaN in every draw: the value of a metric that cannot be computed."""
    return np.full(len(sample.n_rows), np.nan)


def macro(per_target: Floats) -> Floats:
    """Mean over the last axis (targets) of what is defined there; NaN where nothing is."""
    defined = ~np.isnan(per_target)
    return ratio(np.where(defined, per_target, 0.0).sum(axis=-1), defined.sum(axis=-1).astype(np.float64))
