"""How far to believe a score: variants compared on the same test rows, with intervals and paired differences.

The value of a metric for a variant is the mean over folds of the mean over seeds of the metric on the
fold's test rows. A draw of the bootstrap takes, in every fold, the test rows again with replacement (whole
clusters when labels are given, a cluster that stands in several folds in all of them at once), the same rows for
every variant and seed; a variant with several seeds has
these drawn again too, apart in every fold. An interval holds the middle 95 % of the draws, and more where few rows or
clusters decide the score; `interval` says how much more.

It covers the choice of test rows and of seeds, not another choice of training rows; and two or three seeds
say little about all seeds. Drawing is in `bootstrap`, metrics in `metrics`, words for the numbers in
`verdict`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seqloom.bootstrap import Drawn, Draws, Labels, ScoredFold, draws_of, score_fold
from seqloom.errors import ConfigError
from seqloom.interval import tail
from seqloom.metrics import METRICS, Bounds, Task, left_out
from seqloom.resample import Floats

MOST_UNDEFINED = 0.5
"""With a larger share of draws undefined there is no interval."""
FEW_UNITS = 10
"""With fewer rows or groups to draw from, intervals still come out too narrow; a note says so.

Of simulated tables with normal errors, intervals held rmse in 88 % with 10 groups, 90 % with 20 and 94 % with 50; spearman in
96 to 97 % (600 tables each, `bench/intervals.py coverage`)."""
POWER = 2.8
"""True differences of this many standard errors are detected four times in five."""


@dataclass(frozen=True)
class Interval:
    """A value and the ends of its 95 % interval.

    NaN: the value is undefined; or, for low and high alone, too many draws are. `undefined` is the share of
    draws in which the metric could not be computed; they are left out of low and high.
    """

    value: float
    low: float
    high: float
    undefined: float = 0.0

    def __neg__(self) -> Interval:
        return Interval(0.0 - self.value, 0.0 - self.high, 0.0 - self.low, self.undefined)

    @property
    def excludes_zero(self) -> bool:
        """Whether low..high lies on one side of 0, so that the sign is detectable; False without interval."""
        return self.low > 0 or self.high < 0

    def as_json(self) -> dict[str, float | None]:
        """The stable keys `value`, `low`, `high`; undefined numbers are null."""
        return {"value": _number(self.value), "low": _number(self.low), "high": _number(self.high)}


@dataclass(frozen=True)
class Member:
    """The scores of one fold and one seed, both counted from 0 in the order they were given."""

    fold: int
    seed: int
    metrics: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """`fold`, `seed`, `metrics`; undefined scores are null."""
        scores = {name: _number(value) for name, value in self.metrics.items()}
        return {"fold": self.fold, "seed": self.seed, "metrics": scores}


@dataclass(frozen=True)
class VariantScores:
    """All scores of one variant.

    `ensemble`: scores of the mean prediction of the fold's seeds; None when no fold has two seeds.
    `draws`: per metric float64 (R,), the values that differences are taken of. `influence`: per metric float64 (J,), what
    the score loses without each row or cluster, or block of them; a metric it does not name is taken to have equal ones.
    """

    name: str
    members: tuple[Member, ...]
    metrics: Mapping[str, Interval]
    ensemble: Mapping[str, Interval] | None
    draws: Mapping[str, Floats]
    influence: Mapping[str, Floats] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """`variant`, `members` (a list), `metrics`, `ensemble`."""
        return {
            "variant": self.name,
            "members": [member.as_json() for member in self.members],
            "metrics": _intervals_json(self.metrics),
            "ensemble": None if self.ensemble is None else _intervals_json(self.ensemble),
        }


@dataclass(frozen=True)
class Comparison:
    """Several variants on the same test rows, best first.

    `metrics`: their names, the first is primary. `resampled`: what was drawn and how often, in words.
    `notes`: what a reader must know of the intervals (folds left out, groups too few, draws undefined).
    """

    task: Task
    metrics: tuple[str, ...]
    variants: tuple[VariantScores, ...]
    n_draws: int
    n_units: int
    """Rows or clusters that were drawn from; 1 where a binary target has a class in one of them only, which decides alone."""
    resampled: str
    notes: tuple[str, ...]

    @property
    def primary(self) -> str:
        """Name of the metric that orders the variants."""
        return self.metrics[0]

    @property
    def order(self) -> tuple[str, ...]:
        """Names of the variants, best first by the primary metric; undefined last, ties by name."""
        return tuple(variant.name for variant in self.variants)

    def scores(self, name: str) -> VariantScores:
        """The variant of that name; KeyError if there is none."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise KeyError(name)

    def interval(self, name: str, metric: str | None = None) -> Interval:
        """Value and interval of a variant in a metric (default: the primary one)."""
        return self.scores(name).metrics[metric or self.primary]

    def difference(self, a: str, b: str, metric: str | None = None) -> Interval:
        """Value of a minus value of b, paired: both in the same draws of rows."""
        metric = metric or self.primary
        one, other = self.scores(a), self.scores(b)
        value = one.metrics[metric].value - other.metrics[metric].value
        both = metric in one.influence and metric in other.influence
        influence = one.influence[metric] - other.influence[metric] if both else None
        return interval_of(value, one.draws[metric] - other.draws[metric], self.n_units, influence)

    def detectable(self, a: str, b: str) -> float:
        """How large a true difference of a and b in the primary metric would be detected four times in five; NaN if unknown."""
        draws = self.scores(a).draws[self.primary] - self.scores(b).draws[self.primary]
        defined = draws[~np.isnan(draws)]
        return POWER * float(defined.std(ddof=1)) if len(defined) > 1 else math.nan

    def as_json(self) -> list[dict[str, Any]]:
        """The leaderboard, best first: `variant`, `members` (how many), `metrics`, `ensemble`, `differences`.

        `differences`: by name of every other variant, this one minus that one in the primary metric.
        """
        pairs: dict[tuple[str, str], Interval] = {}
        for i, a in enumerate(self.order):
            for b in self.order[i + 1 :]:
                pairs[a, b] = self.difference(a, b)
                pairs[b, a] = -pairs[a, b]
        return [
            variant.as_json()
            | {
                "members": len(variant.members),
                "differences": {b: pairs[variant.name, b].as_json() for b in self.order if b != variant.name},
            }
            for variant in self.variants
        ]


def compare(
    task: Task,
    y: Sequence[Floats],
    predictions: Mapping[str, Sequence[Sequence[Floats]]],
    metrics: Sequence[str],
    *,
    clusters: Sequence[Labels] | None = None,
    draws: int = 1000,
    seed: int = 0,
    bounds: Sequence[Bounds] | None = None,
) -> Comparison:
    """Scores, intervals and order of variants that predicted the same test rows.

    `y`: per fold float64 (N, C). `predictions`: per variant, fold and seed float64 (N, T), shapes as in
    `metrics`; the number of seeds may differ. `clusters`: per fold labels (N,) of related rows, which are
    drawn together. Rows without any known target take no part. A fold whose targets do not allow a metric
    (one class only) is left out of that metric for all variants alike; a variant without a score in any
    other fold has none. The numbers of a variant do not depend on which others are there. `bounds`: per fold int8 (N, C),
    where true targets lie; the notes say which metrics leave such rows out.

    ConfigError for an unknown or unfit metric or for no draws; DataError for probabilities outside 0..1;
    ValueError for shapes that do not fit.
    """
    names = tuple(metrics)
    _check(y, predictions, clusters, draws)
    known = [~np.isnan(targets).all(axis=1) for targets in y]
    labels = None if clusters is None else [np.asarray(each)[own] for each, own in zip(clusters, known, strict=True)]
    plans = draws_of(labels, [int(own.sum()) for own in known], draws, seed)
    folds = []
    for f, (targets, own, plan) in enumerate(zip(y, known, plans, strict=True)):
        predicted = {name: [p[own] for p in seeds[f]] for name, seeds in predictions.items()}
        folds.append(score_fold(task, targets[own], predicted, names, plan, None if bounds is None else bounds[f][own]))
    n_units, n_rare = _n_units(folds, plans), math.inf
    if task == "binary":
        n_rare = min(_units_of_classes([targets[own] for targets, own in zip(y, known, strict=True)], labels, folds))
    resampled = _resampled(folds, n_units, draws)
    n_units = n_units if n_rare > 1 else 1
    variants = [_combine(name, folds, names, n_units) for name in predictions]
    sign = -1 if METRICS[names[0]].higher_is_better else 1
    variants.sort(key=lambda each: _place(sign * each.metrics[names[0]].value, each.name))
    notes = (*_notes(folds, n_units, n_rare, names, variants), *_bounds_notes(y, bounds, names))
    return Comparison(task, names, tuple(variants), draws, n_units, resampled, notes)


def _combine(name: str, folds: Sequence[ScoredFold], metrics: tuple[str, ...], n_units: int) -> VariantScores:
    """Means over folds, their draws and intervals."""
    members = [
        Member(f, s, dict(zip(metrics, scores.tolist(), strict=True)))
        for f, fold in enumerate(folds)
        for s, scores in enumerate(fold.members[name])
    ]
    intervals, draws, influence, ensemble = {}, {}, {}, {}
    for m, metric in enumerate(metrics):
        value, draws[metric], influence[metric] = _over_folds(folds, [fold.mean[name] for fold in folds], m)
        intervals[metric] = interval_of(value, draws[metric], n_units, influence[metric])
        value, drawn, own = _over_folds(folds, [fold.ensemble[name] for fold in folds], m)
        ensemble[metric] = interval_of(value, drawn, n_units, own)
    several = len(members) > len(folds)
    return VariantScores(name, tuple(members), intervals, ensemble if several else None, draws, influence)


def _over_folds(folds: Sequence[ScoredFold], scores: Sequence[Drawn], m: int) -> tuple[float, Floats, Floats]:
    """Mean of metric m over the folds that allow it: its value, float64 (R,) its draws, float64 (J,) its influence."""
    none = np.full(scores[0].draws.shape[1], np.nan), np.empty(0)
    counted = [f for f, fold in enumerate(folds) if fold.definable[m]]
    if not counted:
        return math.nan, *none
    value = float(np.mean([scores[f].value[m] for f in counted]))
    if all(folds[f].n_units < 2 for f in counted):  # drawing one of one: an interval of no width would be a lie
        return value, *none
    influence: dict[tuple[int, bool], Floats] = {}
    for f in counted:  # a block that lies in several folds is left out of all of them at once
        influence[folds[f].stream] = influence.get(folds[f].stream, 0) + scores[f].influence[m] / len(counted)
    draws = np.mean([scores[f].draws[m] for f in counted], axis=0)
    return value, draws, np.concatenate(list(influence.values()))


def interval_of(value: float, draws: Floats, n_units: int, influence: Floats | None = None) -> Interval:
    """The interval of a value from its draws (R,), NaN where undefined, of `n_units` rows or clusters.

    `influence` float64 (J,): what the value loses without each of them, or each block of them; None if all matter alike.
    """
    defined = draws[~np.isnan(draws)]
    undefined = 1 - len(defined) / len(draws)
    if math.isnan(value) or undefined > MOST_UNDEFINED or n_units < 2:
        return Interval(value, math.nan, math.nan, undefined)
    outside = tail(n_units, influence)
    low, high = np.quantile(defined, [outside, 1 - outside])
    return Interval(value, float(low), float(high), undefined)


def _place(value: float, name: str) -> tuple[bool, float, str]:
    return (True, 0.0, name) if math.isnan(value) else (False, value, name)


def _n_units(folds: Sequence[ScoredFold], plans: Sequence[Draws]) -> int:
    """Rows or groups that were drawn from; what stands in several folds counts once."""
    lone = sum(fold.n_units for fold in folds if fold.lone_cluster)
    return lone + sum(
        {p.stream: p.n_units for fold, p in zip(folds, plans, strict=True) if not fold.lone_cluster}.values()
    )


def _units_of_classes(
    y: Sequence[Floats], labels: Sequence[Labels] | None, folds: Sequence[ScoredFold]
) -> tuple[int, int]:
    """Of a binary target, what is drawn that holds a 0, and what holds a 1: rows, or clusters, each counted once."""
    rows, clusters = [0, 0], (set[Any](), set[Any]())
    for f, (targets, fold) in enumerate(zip(y, folds, strict=True)):
        for each in (0, 1):
            own = targets[:, 0] == each
            if labels is None or fold.lone_cluster:
                rows[each] += int(own.sum())
            else:
                clusters[each].update(np.unique(labels[f][own]).tolist())
    return rows[0] + len(clusters[0]), rows[1] + len(clusters[1])


def _resampled(folds: Sequence[ScoredFold], n_units: int, draws: int) -> str:
    n_rows = sum(fold.n_rows for fold in folds)
    grouped = any(fold.n_units < fold.n_rows for fold in folds)
    text = f"{draws:,} draws over {n_units:,} {f'groups of {n_rows:,} rows' if grouped else 'rows'}"
    if len(folds) > 1:
        text += f" in {len(folds)} folds"
    seeds = {len(members) for fold in folds for members in fold.members.values()} - {1}
    if seeds:
        text += f" and {'' if len(seeds) == 1 else 'up to '}{max(seeds)} seeds"
    return text


def _notes(
    folds: Sequence[ScoredFold],
    n_units: int,
    n_rare: float,
    metrics: tuple[str, ...],
    variants: Sequence[VariantScores],
) -> tuple[str, ...]:
    notes = []
    lone = [f for f, fold in enumerate(folds) if fold.lone_cluster]
    if lone:
        notes.append(f"all test rows of {_named(lone)} are in one group: rows were drawn, intervals are too narrow")
    if min(n_units, n_rare) < FEW_UNITS:
        n, of = (n_rare, "of the rarer class") if n_rare < n_units or n_rare < 2 else (n_units, "to draw from")
        notes.append(f"only {n} rows or groups {of}: {'no interval' if n < 2 else 'intervals are too narrow'}")
    for m, metric in enumerate(metrics):
        left_out = [f for f, fold in enumerate(folds) if not fold.definable[m]]
        if left_out:
            notes.append(f"{metric} is left out in {_named(left_out)}, whose targets do not allow it")
        notes += _undefined_notes(metric, variants)
    return tuple(notes)


def _undefined_notes(metric: str, variants: Sequence[VariantScores]) -> list[str]:
    """One line for all variants of equal share of undefined draws."""
    shares: dict[float, list[str]] = {}
    for variant in variants:
        own = variant.metrics[metric]
        if own.undefined and not math.isnan(own.value):
            shares.setdefault(own.undefined, []).append(variant.name)
    return [
        f"{metric} of {'every variant' if len(names) == len(variants) > 1 else ', '.join(names)} is undefined in {share:.1%} of "
        f"the draws{'; no interval' if share > MOST_UNDEFINED else ''}"
        for share, names in shares.items()
    ]


def _bounds_notes(y: Sequence[Floats], bounds: Sequence[Bounds] | None, metrics: tuple[str, ...]) -> list[str]:
    """Which metrics leave out rows whose targets are bounds, and how many."""
    if bounds is None or not any(own.any() for own in bounds):
        return []
    n_known = sum(int((~np.isnan(targets)).any(axis=1).sum()) for targets in y)
    counts: dict[int, list[str]] = {}
    for metric in metrics:
        n = sum(left_out(METRICS[metric], targets, own) for targets, own in zip(y, bounds, strict=True))
        counts.setdefault(n, []).append(metric)
    return [
        f"{', '.join(names)}: {n:,} of {n_known:,} test rows are left out, whose targets are bounds"
        if n
        else f"{', '.join(names)}: of targets that are bounds, only predictions on the wrong side have an error"
        for n, names in sorted(counts.items(), reverse=True)
    ]


def _named(folds: Sequence[int]) -> str:
    return f"fold{'s' if len(folds) > 1 else ''} {', '.join(map(str, folds))}"


def _intervals_json(intervals: Mapping[str, Interval]) -> dict[str, dict[str, float | None]]:
    return {metric: interval.as_json() for metric, interval in intervals.items()}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _check(
    y: Sequence[Floats],
    predictions: Mapping[str, Sequence[Sequence[Floats]]],
    clusters: Sequence[Labels] | None,
    draws: int,
) -> None:
    if draws < 1:
        raise ConfigError(f"draws = {draws}: an interval needs at least one draw; 1000 is usual")
    if not y or not predictions:
        raise ValueError("nothing to compare: no fold, or no variant")
    sizes = [len(targets) for targets in y]
    if clusters is not None and [len(labels) for labels in clusters] != sizes:
        raise ValueError(f"clusters of {[len(labels) for labels in clusters]} rows for folds of {sizes} rows")
    for name, folds in predictions.items():
        got = [[len(p) for p in seeds] for seeds in folds]
        if len(got) != len(sizes) or any(set(own) != {n} for own, n in zip(got, sizes, strict=True)):
            raise ValueError(f"{name}: predictions of {got} rows (per fold and seed) for folds of {sizes} rows")
