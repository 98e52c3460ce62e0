"""Chance: what a model that knows nothing would score on few test rows, by permuting their targets.

A bootstrap of a few rows says how a score varies, and not how far from nothing it is: with twenty rows a Spearman correlation
of 0.4 comes about by chance once in twelve times. Rows are exchanged within their fold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqloom.metrics import METRICS, Task, macro, score, score_draws
from seqloom.resample import Floats

FEW_ROWS = 100
"""With more test rows the bootstrap interval says it all."""
PERMUTATIONS = 1_000
RARE = 0.05
AT_ONCE = 50
"""Permuted predictions held in memory."""


@dataclass(frozen=True)
class Chance:
    """A score against its permutation null."""

    value: float
    reached: float
    """What one in twenty permutations reaches."""
    p_value: float
    """Share of permutations, the rows as they are counted as one, that score at least as well."""

    @property
    def is_likely(self) -> bool:
        """Whether the score may be chance."""
        return not self.p_value < RARE

    def as_json(self) -> dict[str, float | None]:
        """`value`, `reached`, `p_value`; null where undefined."""
        return {name: own if math.isfinite(own) else None for name, own in vars(self).items()}


def by_chance(
    metric: str, task: Task, y: Sequence[Floats], predictions: Sequence[Floats], seed: int = 0, n: int = PERMUTATIONS
) -> Chance:
    """The mean over folds of a metric, and what targets y (N, C) exchanged between the rows of each fold give.

    `predictions`: per fold (N, T). Folds in which the metric is undefined are left out. NaN where it is so in all, or where no
    permutation has a score. Raises as `metrics.score`.
    """
    folds = [(each, p) for each, p in zip(y, predictions, strict=True) if not math.isnan(score(metric, task, each, p))]
    if not folds:
        return Chance(math.nan, math.nan, math.nan)
    rng = np.random.default_rng(seed)
    value = float(np.mean([score(metric, task, each, p) for each, p in folds]))
    null = np.mean([_permuted(metric, task, each, p, rng, n) for each, p in folds], axis=0)
    null = null[~np.isnan(null)]
    if not len(null):
        return Chance(value, math.nan, math.nan)
    sign = 1 if METRICS[metric].higher_is_better else -1
    reached = sign * float(np.quantile(sign * null, 1 - RARE))
    return Chance(value, reached, (1 + int((sign * null >= sign * value - 1e-12).sum())) / (1 + len(null)))


def _permuted(metric: str, task: Task, y: Floats, p: Floats, rng: np.random.Generator, n: int) -> Floats:
    """The metric of `n` permutations, float64 (n,): predictions are exchanged, so that targets are put in order once."""
    once = np.ones((1, len(y)), np.int32)
    found = []
    for start in range(0, n, AT_ONCE):
        exchanged = [p[rng.permutation(len(p))] for _ in range(start, min(start + AT_ONCE, n))]
        (values,) = score_draws((metric,), task, y, exchanged, [once])
        found.append(macro(values[:, 0, 0]))
    return np.concatenate(found)
