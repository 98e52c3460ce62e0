"""A metric within each group: how well rows are told apart that share a protein, an assay, a scaffold.

A metric of all rows together also rewards telling groups apart. Here every group is scored by itself, and the
scores are summarised: mean, median, mean weighted by rows. A group without a score is left out, with a reason.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqloom.errors import ConfigError
from seqloom.metrics.base import Metric, Task
from seqloom.metrics.bounds import Bounds, target_of
from seqloom.metrics.scoring import METRICS, check, find_metric, score
from seqloom.resample import Floats, blocks, cumulate, held, ratio

FEWEST_IN_GROUP = 5
"""Rows with a known target that a group needs; the metrics of fewer rows are mostly noise."""

Reason = Literal["", "small", "constant", "undefined"]
"""Why a group is left out: too few known targets; targets that are all equal, of which the metric says nothing;
predictions that the metric cannot score. Empty for a group that is counted."""


@dataclass(frozen=True, eq=False)
class WithinGroups:
    """The scores of G groups, in the order of their sorted labels; arrays are read-only.

    `labels` (G,); `sizes` int64 (G,), rows with a known target; `values` float64 (G,), NaN where left out;
    `reasons` (G,) why. `n_without_group` rows have no group. A summary of no group is NaN.
    """

    metric: str
    labels: NDArray[Any]
    sizes: NDArray[np.int64]
    values: Floats
    reasons: tuple[Reason, ...]
    fewest: int
    n_without_group: int

    @property
    def n_counted(self) -> int:
        """Groups that have a score."""
        return self.reasons.count("")

    @property
    def mean(self) -> float:
        """Mean of the scores, every group alike."""
        return float(np.mean(self._counted)) if self.n_counted else np.nan

    @property
    def median(self) -> float:
        """Median of the scores."""
        return float(np.median(self._counted)) if self.n_counted else np.nan

    @property
    def weighted_mean(self) -> float:
        """Mean of the scores, weighted by the rows with a known target."""
        weights = self.sizes[~np.isnan(self.values)]
        return float(np.average(self._counted, weights=weights)) if self.n_counted else np.nan

    @property
    def note(self) -> str:
        """How many groups are counted, and why others are not, in words."""
        causes: dict[Reason, str] = {
            "small": f"with fewer than {self.fewest} known targets",
            "constant": "whose targets are all equal",
            "undefined": f"without a score ({METRICS[self.metric].undefined}, or a prediction is not a number)",
        }
        found = Counter(self.reasons)
        left_out = [f"{found[reason]:,} {cause}" for reason, cause in causes.items() if found[reason]]
        parts = [f"{self.metric} within {self.n_counted:,} of {len(self.reasons):,} groups"]
        parts += [f"left out: {', '.join(left_out)}"] if left_out else []
        parts += [f"{self.n_without_group:,} rows are in no group"] if self.n_without_group else []
        return "; ".join(parts)

    @property
    def _counted(self) -> Floats:
        return self.values[~np.isnan(self.values)]


class SummaryDraws(NamedTuple):
    """Summaries of P predictions in R draws of groups, float64 (P, R) each; NaN where no drawn group has a score."""

    mean: Floats
    median: Floats
    weighted_mean: Floats


def within_groups(
    name: str,
    task: Task,
    y: Floats,
    p: Floats,
    groups: NDArray[Any],
    *,
    fewest: int = FEWEST_IN_GROUP,
    bounds: Bounds | None = None,
) -> WithinGroups:
    """The metric of predictions p (N, T) for targets y (N, C) within each of `groups` (N,), labels of any kind.

    A group's score is the mean over columns that have `fewest` known targets there (and unequal ones, where the
    metric needs that) and a defined metric. A label of None or NaN is no group. Targets that are bounds, int8 (N, C), are held
    against predictions or left out as in `metrics.bounds`, and known in the first case only. Raises as `metrics.score`;
    ConfigError for `fewest` below 1.

    >>> y, p = np.array([[1.0], [2.0], [8.0], [9.0], [9.0]]), np.array([[2.0], [1.0], [8.0], [9.0], [9.0]])
    >>> within_groups("spearman", "regression", y, p, np.array(list("aabbb")), fewest=2).values
    array([-1.,  1.])
    """
    metric = find_metric(name, task)
    check([metric], task, y, p)
    y = target_of(metric, y, p, bounds)
    if groups.shape != (len(y),):
        raise ValueError(f"groups {groups.shape} for {len(y)} rows")
    if fewest < 1:
        raise ConfigError(f"fewest = {fewest}: a group needs a known target at least; {FEWEST_IN_GROUP} is usual")
    grouped = np.flatnonzero(~_missing(groups))
    labels, codes = np.unique(groups[grouped], return_inverse=True)
    order = np.argsort(codes, kind="stable")
    y, p = np.asarray(y[grouped][order], np.float64), p[grouped][order]
    starts = np.searchsorted(codes[order], np.arange(len(labels)))
    sizes = np.add.reduceat(~np.isnan(y).all(axis=1), starts, dtype=np.int64) if len(labels) else np.zeros(0, np.int64)
    values, reasons = np.full(len(labels), np.nan), []
    for g, (own, usable, reason) in enumerate(_usable(metric, y, starts, fewest)):
        if not reason:
            values[g] = score(name, task, np.where(usable, y[own], np.nan), p[own])
        reasons.append(reason or ("undefined" if np.isnan(values[g]) else ""))
    for array in (labels, sizes, values):
        array.setflags(write=False)
    return WithinGroups(name, labels, sizes, values, tuple(reasons), fewest, len(groups) - len(grouped))


def draw_summaries(results: Sequence[WithinGroups], draws: int, seed: int) -> SummaryDraws:
    """Summaries of several predictions in the same draws of groups with replacement; scores of groups stay as they are.

    Drawn are the groups that targets allow a score, as many as there are; a prediction that has none for one of
    them is summarised over the others. With fewer than two such groups all is NaN: one drawn of one would have no width.
    ValueError unless all results are of the same metric, groups and known targets.
    """
    first = results[0]
    allowed = np.array([reason not in ("small", "constant") for reason in first.reasons], bool)
    for each in results:
        own = np.array([reason not in ("small", "constant") for reason in each.reasons], bool)
        alike = each.metric == first.metric and np.array_equal(each.labels, first.labels)
        if not alike or not np.array_equal(each.sizes, first.sizes) or not np.array_equal(own, allowed):
            raise ValueError("results of different metrics, groups or targets cannot be drawn together")
    values = np.stack([each.values[allowed] for each in results])
    summaries = SummaryDraws(*(np.full((len(results), draws), np.nan) for _ in SummaryDraws._fields))
    n_groups = values.shape[1]
    if n_groups < 2:
        return summaries
    defined, sizes = ~np.isnan(values), first.sizes[allowed].astype(np.float64)
    rng = np.random.default_rng(seed)
    for block in blocks(draws, n_groups):
        drawn = rng.integers(0, n_groups, (block.stop - block.start, n_groups))
        counts = np.stack([np.bincount(row, minlength=n_groups) for row in drawn]).astype(np.int32)
        for i, own in enumerate(defined):  # one by one, so that company does not change even the last digit
            scores, weights = values[i, own], counts[:, own].astype(np.float64)
            summaries.mean[i, block] = ratio(weights @ scores, weights.sum(axis=1))
            summaries.median[i, block] = _medians(scores, counts[:, own])
            weights *= sizes[own]
            summaries.weighted_mean[i, block] = ratio(weights @ scores, weights.sum(axis=1))
    return summaries


def _missing(groups: NDArray[Any]) -> NDArray[np.bool_]:
    if groups.dtype.kind == "O":
        return np.array([label is None or label != label for label in groups.tolist()], bool)
    return np.isnan(groups) if groups.dtype.kind == "f" else np.zeros(len(groups), bool)


def _usable(
    metric: Metric, y: Floats, starts: NDArray[np.intp], fewest: int
) -> Iterator[tuple[slice, NDArray[np.bool_], Reason]]:
    """Per group its rows of y, the columns (C,) that can be scored there, and why it is left out if none can."""
    known = ~np.isnan(y)
    for start, stop in itertools.pairwise([*starts, len(y)]):
        own = slice(start, stop)
        enough = known[own].sum(axis=0) >= fewest
        usable = enough
        if metric.needs_variation:
            least, most = np.where(known[own], y[own], np.inf), np.where(known[own], y[own], -np.inf)
            usable = enough & (least.min(axis=0) < most.max(axis=0))
        yield own, usable, "" if usable.any() else "constant" if enough.any() else "small"


def _medians(values: Floats, counts: NDArray[np.int32]) -> Floats:
    """Median of values (G,) in every draw of counts (R, G), float64 (R,)."""
    if not len(values):
        return np.full(len(counts), np.nan)
    order = np.argsort(values)
    cumulated = cumulate(counts[:, order])
    ranked, n = values[order], cumulated[:, -1]
    middle = (ranked[held(cumulated, (n - 1) // 2)] + ranked[held(cumulated, n // 2)]) / 2
    return np.where(n == 0, np.nan, middle)
