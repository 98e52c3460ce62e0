"""Conformal prediction sets: the classes that cannot be ruled out for a row.

Decides the score of a class, LAC or APS, and whether quantiles are per group or per class; ranks are in `quantiles`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seqloom.calibrate.inputs import classes, probabilities, row_labels
from seqloom.calibrate.quantiles import LEVELS, Quantiles, fit_quantiles
from seqloom.metrics import Task
from seqloom.resample import Floats

Score = Literal["lac", "aps"]
_ROUNDING = 1e-12  # sums of the same probabilities in another order


@dataclass(frozen=True)
class ConformalSets:
    """Sets of classes that hold the true one with at least the chance of their level.

    A set may be empty: no class is as likely as true classes of held-back rows were. With too few rows it has all classes.
    """

    task: Task
    score: Score
    classes: tuple[str, ...]
    by: Literal["all", "group", "class"]
    """What quantiles are taken over."""
    quantiles: Quantiles
    notes: tuple[str, ...]
    """What a reader must know: too few rows, pooled groups or classes."""

    def contains(
        self, p: Floats, level: float | None = None, *, groups: NDArray[np.generic] | None = None
    ) -> NDArray[np.bool_]:
        """Which classes are in each row's set, bool (N, K), of probabilities p (N, T); binary: K = 2, the negative first.

        `level`: by default the first. `groups` (N,) when fitted by group; a label not seen there takes the pooled quantile. A row
        with a NaN has all classes. Raises as `fit_sets`, and ConfigError for a level it was not fitted at.
        """
        shares = _shares(self.task, p)
        if shares.shape[1] != len(self.classes):
            raise ValueError(f"the sets are of {len(self.classes)} classes, predictions have {shares.shape[1]}")
        scores = _scores(self.score, shares)
        if self.by == "class":
            limits = self.quantiles.at(level, np.array(self.classes), len(self.classes))[None, :]
        else:
            limits = self.quantiles.at(level, row_labels(groups, len(shares)), len(shares))[:, None]
        inside: NDArray[np.bool_] = (scores <= limits + _ROUNDING) | np.isnan(shares).any(axis=1, keepdims=True)
        return inside

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain numbers and text; `from_json` makes an equal one."""
        return {
            **vars(self),
            "classes": list(self.classes),
            "quantiles": self.quantiles.as_json(),
            "notes": list(self.notes),
        }

    @staticmethod
    def from_json(facts: Mapping[str, Any]) -> ConformalSets:
        """The sets that `as_json` wrote."""
        given = {**facts, "classes": tuple(facts["classes"]), "notes": tuple(facts["notes"])}
        return ConformalSets(**{**given, "quantiles": Quantiles.from_json(facts["quantiles"])})


def fit_sets(
    task: Task,
    y: Floats,
    p: Floats,
    levels: Sequence[float] = LEVELS,
    *,
    score: Score = "lac",
    groups: NDArray[np.generic] | None = None,
    by_class: bool = False,
    names: Sequence[str] = (),
) -> ConformalSets:
    """Sets from class indices y (N, 1), NaN where missing, and probabilities p (N, T) of held-back rows; binary or multiclass.

    `lac`: 1 - p of the class (Sadinle et al. 2019, JASA 114:223), the smallest sets; `aps`: sum of all probabilities that
    are no less than the class's (Romano et al. 2020, NeurIPS), without randomisation, larger but evener over rows. `groups`
    (N,) or `by_class`: quantiles of their own (Mondrian), so that the promise holds in each group or for each true class.
    A row with a NaN prediction counts as one that no set holds. `names` (K,) of classes, for notes and JSON.

    Columns of a multilabel target are binary targets one by one. DataError for probabilities outside 0..1, ConfigError for levels
    not between 0 and 1, ValueError for shapes or tasks that do not fit, or groups and classes together.
    """
    if groups is not None and by_class:
        raise ValueError("quantiles per group or per class, not both")
    shares = _shares(task, p)
    known_classes = tuple(names) or tuple(str(k) for k in range(shares.shape[1]))
    if len(set(known_classes)) != shares.shape[1]:
        raise ValueError(f"{len(known_classes)} names for {shares.shape[1]} classes")
    targets = classes("multiclass", y, shares)[:, 0]
    known = ~np.isnan(targets)
    own = targets[known].astype(np.intp)
    scores = _scores(score, shares[known])[np.arange(len(own)), own]
    labels = np.array(known_classes)[own] if by_class else row_labels(groups, len(shares))
    if labels is not None and not by_class:
        labels = labels[known]
    quantiles = fit_quantiles(np.where(np.isnan(scores), np.inf, scores), levels, labels)
    notes = quantiles.notes("classes" if by_class else "groups", "its sets have all classes")
    unseen = [name for k, name in enumerate(known_classes) if by_class and not (own == k).any()]
    if unseen:
        notes += (f"no held-back row is {', '.join(unseen[:5])}: the pooled quantile stands in",)
    by: Literal["all", "group", "class"] = "class" if by_class else "group" if groups is not None else "all"
    return ConformalSets(task, score, known_classes, by, quantiles, notes)


def _shares(task: Task, p: Floats) -> Floats:
    """Probabilities (N, K) of all classes."""
    if task not in ("binary", "multiclass"):
        raise ValueError(f"{task}: prediction sets are of binary and multiclass targets")
    p = probabilities(task, p)
    return np.concatenate([1 - p, p], axis=1) if task == "binary" else p


def _scores(score: Score, shares: Floats) -> Floats:
    """How little each class (N, K) fits; NaN where a row has one."""
    if score == "lac":
        return np.asarray(1 - shares)
    order = np.argsort(-shares, axis=1, kind="stable")
    ranked = np.take_along_axis(shares, order, axis=1)
    sums = np.cumsum(ranked, axis=1)
    # Equal probabilities enter together: each has the sum at the last of its ties.
    for k in range(shares.shape[1] - 2, -1, -1):
        sums[:, k] = np.where(ranked[:, k] == ranked[:, k + 1], sums[:, k + 1], sums[:, k])
    scores = np.empty_like(sums)
    np.put_along_axis(scores, order, sums, axis=1)
    scores[np.isnan(shares).any(axis=1)] = np.nan
    return scores
