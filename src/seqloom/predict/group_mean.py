"""The mean of a row's group: what is known of a row once it is known where it belongs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seqloom.encode.base import Inputs, State
from seqloom.encode.groups import FAMILY, GROUP, Groups
from seqloom.encode.wild_types import families_unasked
from seqloom.predict.base import Dims, Examples, Fitted, Job, Predictor, features_of, indicator, prior
from seqloom.registry import register
from seqloom.split.base import TEST, TRAIN

if TYPE_CHECKING:
    from seqloom.split.base import Partition
    from seqloom.table import Table

LEAST_KNOWN = 0.1
"""Share of test rows with training rows of their group, below which this is the constant under another name."""


@register("predictor", "group-mean")
class GroupMean(Predictor):
    """The mean target, or share of each class, of the training rows of the same group, and within it of the same family.

    The mean of all training rows counts as one row more of every group, and the mean of a group as one row more of every family
    of variants in it; a row of no known family has the mean of its group, one of no known group that of all rows. A model that
    is no better tells groups apart and nothing within them.
    """

    takes = "groups"
    reads = "groups"
    baseline = True

    def suits(self, table: Table, partition: Partition) -> bool:
        """Whether a tenth of the test rows or more have training rows of their group, and not all of one group."""
        if table.roles.group is None and families_unasked(table) is None:
            return False
        numbers = features_of(Groups().fit(table).transform(table)).astype(np.int64)
        found = []
        for fold in range(partition.n_folds):
            places = Places.of(numbers[partition.rows(fold, TRAIN)])
            found.append(places.places(numbers[partition.rows(fold, TEST)]))
        differ = any(len(np.unique(each)) > 1 for each in found)
        return differ and bool((np.concatenate(found) >= 0).mean() >= LEAST_KNOWN)

    def fit(self, train: Examples, valid: Examples, job: Job) -> Fitted:
        """Means of the training rows by group, and by family within it."""
        y, mean = indicator(train.y, job.dims), prior(train.y, job.dims)
        numbers = features_of(train.inputs).astype(np.int64)
        places = Places.of(numbers)
        groups = _shrunk(y, places.group(numbers), np.tile(mean, (len(places.groups), 1)))
        of_group = np.concatenate([groups, mean[None]])
        families = _shrunk(y, places.family(numbers), of_group[places.group(places.families)])
        return FittedGroupMean(places, np.concatenate([groups, families, mean[None]]))

    def restore(self, state: State, dims: Dims) -> Fitted:
        """The means of `state()`."""
        return FittedGroupMean(Places(state["groups"], state["families"]), state["means"])


@dataclass(frozen=True)
class Places:
    """The groups of training rows, int64 (G,), and the families in them, int64 (F, 2), both sorted."""

    groups: np.ndarray
    families: np.ndarray

    @staticmethod
    def of(numbers: np.ndarray) -> Places:
        """Those of training rows, by group and family (N, 2)."""
        group, family = numbers[:, GROUP], numbers[:, FAMILY]
        return Places(np.unique(group[group >= 0]), np.unique(numbers[family >= 0], axis=0))

    def group(self, numbers: np.ndarray) -> np.ndarray:
        """Which of the groups each row is of, int64 (N,), -1 for none."""
        return _found(self.groups, numbers[:, GROUP])

    def family(self, numbers: np.ndarray) -> np.ndarray:
        """Which of the families each row is of, int64 (N,), -1 for none."""
        width = int(max(self.families[:, FAMILY].max(initial=0), numbers[:, FAMILY].max(initial=0))) + 1
        keys = [(each[:, GROUP] + 1) * width + each[:, FAMILY] for each in (self.families, numbers)]
        return np.where(numbers[:, FAMILY] < 0, -1, _found(*keys))

    def places(self, numbers: np.ndarray) -> np.ndarray:
        """Where each row belongs, int64 (N,): a family (from G), else a group (below G), else -1."""
        family = self.family(numbers)
        return np.where(family >= 0, family + len(self.groups), self.group(numbers))


@dataclass(frozen=True)
class FittedGroupMean(Fitted):
    """The means of all groups, of all families in them, and of all training rows, float64 (G + F + 1, T)."""

    where: Places
    means: np.ndarray

    def predict(self, inputs: Inputs) -> np.ndarray:
        """Means of the rows' families or groups, (N, T)."""
        return np.asarray(self.means[self.where.places(features_of(inputs).astype(np.int64))])

    def state(self) -> State:
        """`groups`, `families` and `means`."""
        return {"groups": self.where.groups, "families": self.where.families, "means": self.means}


def _found(known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Index of each wanted number (N,) among the sorted `known`, -1 where it is not there."""
    if not len(known):
        return np.full(len(wanted), -1)
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[place] == wanted, place, -1)


def _shrunk(y: np.ndarray, place: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Means (K, T) of the known y (N, T) of each place (int64 (N,), -1 for none), with `start` (K, T) as one row more."""
    means = np.empty_like(start)
    for output in range(y.shape[1]):
        known = (place >= 0) & ~np.isnan(y[:, output])
        total = np.bincount(place[known], y[known, output], minlength=len(start))
        means[:, output] = (total + start[:, output]) / (np.bincount(place[known], minlength=len(start)) + 1)
    return means
