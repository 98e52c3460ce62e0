"""How far to believe a run: what its held-out test rows say of intervals, sets of classes, errors at a distance, probabilities.

Decides what is measured and how it is kept (`uncertainty.json`). Which rows these are is decided in `seqloom.held_out`, what
a table of predictions shows of it in `seqloom.answers`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from seqloom.calibrate import (
    ConformalIntervals,
    ConformalSets,
    PriorReference,
    fit_calibrator,
    fit_intervals,
    fit_sets,
    prevalence,
    prior_reference,
    reliability,
    top_label,
    wilson,
)
from seqloom.calibrate.prior import MATTERS
from seqloom.calibrate.quantiles import rows_needed
from seqloom.domain import Domain, measure_domain
from seqloom.resample import Floats
from seqloom.split.deal import deal
from seqloom.stats import Interval
from seqloom.target import Target

FILE = "uncertainty.json"
SEED = 0
LABEL_SET = ("0", "1")


@dataclass(frozen=True)
class HeldOut:
    """N rows that trained nothing, each once, and what a run says of them; all on the run's own score scale."""

    target: Target
    y: np.ndarray  # float64 (N, C), NaN where missing
    p: np.ndarray  # float64 (N, T): values, or calibrated probabilities
    raw: np.ndarray  # float64 (N, T), before calibration
    error: np.ndarray  # float64 (N,), as `errors_of` gives
    baseline: np.ndarray  # float64 (N,), the same of the constant baseline
    losses: np.ndarray  # float64 (N, 2), as `losses_of` gives, of the model and of the constant baseline
    identity: np.ndarray  # float64 (N,) to the nearest training row; NaN where it was not looked at
    units: np.ndarray | None  # int64 (N,): related rows, which are drawn together; None if none are

    def take(self, rows: np.ndarray) -> HeldOut:
        """The rows at `rows`, int64 or bool."""
        arrays = {
            name: getattr(self, name)[rows] for name in ("y", "p", "raw", "error", "baseline", "losses", "identity")
        }
        return replace(self, **arrays, units=None if self.units is None else self.units[rows])


@dataclass(frozen=True)
class Coverage:
    """What intervals or sets held when they were made of one half of the held-out rows and tried on the other, both ways."""

    of: str
    """The target; empty for classes."""
    share: Interval
    """Of targets held, with its Wilson interval, which takes rows for independent; NaN where rows are too few."""
    rows: int
    size: float
    """Median width in original units, or mean number of classes; of all held-out rows."""

    def as_json(self) -> dict[str, Any]:
        """Everything; undefined numbers are null."""
        return {"of": self.of, "share": self.share.as_json(), "rows": self.rows, "size": self.size}


@dataclass(frozen=True)
class Scale:
    """The scale errors are on: a transform of regression targets, and what differences of each are divided by."""

    transform: str
    divisors: tuple[float, ...]
    name: str
    """What an error is, in words."""

    @staticmethod
    def of(target: Target, scores: Floats) -> Scale:
        """The scale of a target: that of scores; several regression targets count in standard deviations of `scores` (N, C)."""
        columns = target.columns
        if target.task != "regression":
            name = "share of wrong labels" if target.task == "multilabel" else "share of wrong classes"
            return Scale(target.transform, (1.0,) * len(columns), name)
        if len(columns) == 1:
            unit = target.scale_name
            return Scale(target.transform, (1.0,), f"absolute error{'' if unit == 'original units' else f' ({unit})'}")
        known = ~np.isnan(scores)
        n = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, scores, 0).sum(axis=0) / n
        std = np.sqrt(np.where(known, (scores - mean) ** 2, 0).sum(axis=0) / n)
        divisors = tuple(np.where(std > 0, std, 1.0).tolist())
        return Scale(target.transform, divisors, "absolute error in standard deviations, mean over targets")

    def as_json(self) -> dict[str, Any]:
        """The fields."""
        return {**vars(self), "divisors": list(self.divisors)}

    @staticmethod
    def from_json(facts: Mapping[str, Any]) -> Scale:
        """What `as_json` wrote."""
        return Scale(facts["transform"], tuple(facts["divisors"]), facts["name"])


@dataclass(frozen=True)
class Uncertainty:
    """What is known of the errors of a run; `facts` holds all that `uncertainty.json` says beside."""

    level: float
    intervals: ConformalIntervals | None
    sets: tuple[ConformalSets, ...]
    """One for classes, one per label of a multilabel target."""
    scale: Scale
    domain: Domain | None
    """None where no held-out row was compared with training rows."""
    train: tuple[float, ...]
    """Prevalence per output in training; empty for a regression."""
    reference: PriorReference | None
    facts: Mapping[str, Any]

    def bounds(self, target: Target, mean: Floats) -> tuple[Floats, Floats]:
        """Low and high ends (N, C) of the intervals in original units, for predictions (N, C) on the score scale."""
        assert self.intervals is not None
        with np.errstate(over="ignore"):
            ends = np.stack([target.to_original(end) for end in self.intervals.interval(mean)])
        return ends.min(axis=0), ends.max(axis=0)  # log50k falls where affinity rises

    def members(self, target: Target, mean: Floats) -> np.ndarray:
        """Which classes or labels (N, K) cannot be ruled out, bool; for probabilities (N, T)."""
        return _members(target, self.sets, mean)

    def summary(self) -> dict[str, Any]:
        """What the leaderboard says: the level and its measured coverage, and the calibration error before and after."""
        own = self.facts["reliability"]
        coverage = [{"of": each["of"], **each["share"], "rows": each["rows"]} for each in self.facts["coverage"]]
        said: dict[str, Any] = {"level": self.level, "coverage": coverage}
        if own is not None:
            said |= {
                "ece": own["calibrated"]["ece"],
                "ece_raw": own["raw"]["ece"],
                "is_off": own["calibrated"]["is_off"],
            }
        return said

    def as_json(self) -> dict[str, Any]:
        """`uncertainty.json`."""
        return {
            **self.facts,
            "level": self.level,
            "intervals": None if self.intervals is None else self.intervals.as_json(),
            "sets": [each.as_json() for each in self.sets],
            "scale": self.scale.as_json(),
            "domain": None if self.domain is None else self.domain.as_json(),
            "prior": {"train": list(self.train), "reference": None if self.reference is None else self.reference.as_json()},
        }  # fmt: skip

    @staticmethod
    def from_json(facts: Mapping[str, Any]) -> Uncertainty:
        """What `as_json` wrote."""
        intervals, domain, prior = facts["intervals"], facts["domain"], facts["prior"]
        return Uncertainty(
            facts["level"],
            None if intervals is None else ConformalIntervals.from_json(intervals),
            tuple(ConformalSets.from_json(each) for each in facts["sets"]),
            Scale.from_json(facts["scale"]),
            None if domain is None else Domain.from_json(domain),
            tuple(math.nan if each is None else each for each in prior["train"]),
            None if prior["reference"] is None else PriorReference.from_json(prior["reference"]),
            facts,
        )


def errors_of(target: Target, scale: Scale, y: Floats, p: Floats) -> Floats:
    """Error of each row, float64 (N,), of predictions (N, T) for targets (N, C), both on the scale of errors.

    |y - p| of a regression, 0 or 1 for a right or wrong class, mean of that over known labels. NaN without a known target or
    with a prediction that is not a number.
    """
    if target.task in ("binary", "multiclass"):
        called = p[:, 0] >= 0.5 if target.task == "binary" else p.argmax(axis=1)
        lost = np.isnan(y[:, 0]) | np.isnan(p).any(axis=1)
        return np.where(lost, np.nan, called != y[:, 0])
    known = ~np.isnan(y)
    each = np.abs(y - p) / np.array(scale.divisors) if target.task == "regression" else ((p >= 0.5) != y).astype(float)
    untold = ~known.any(axis=1) | (known & np.isnan(p)).any(axis=1)
    mean = np.where(known, each, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.where(untold, np.nan, mean)


def losses_of(target: Target, scale: Scale, y: Floats, p: Floats) -> Floats:
    """Loss of each row, float64 (N,), arguments and NaN as for `errors_of`: it tells whether a model knows more than a constant.

    The error itself of a regression. Of classes the squared distance of probabilities from the truth (Brier 1950), 0 to 1: for
    several classes half of it, of labels the mean over known ones. Right probabilities have the least, which is not so of 1 - p
    of the true class: that is least where the commonest class has all of it.
    """
    if target.task == "regression":
        return errors_of(target, scale, y, p)
    if target.task == "multiclass":
        return np.asarray(
            ((p - (np.arange(p.shape[1]) == y)) ** 2).sum(axis=1) / 2 + np.where(np.isnan(y[:, 0]), np.nan, 0.0)
        )
    known = ~np.isnan(y)
    untold = ~known.any(axis=1) | (known & np.isnan(p)).any(axis=1)
    mean = np.where(known, (p - y) ** 2, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.where(untold, np.nan, mean)


def measure(
    held: HeldOut,
    scale: Scale,
    level: float,
    trained_on: Floats,
    *,
    how: str,
    likeness: str = "identity",
    draws: int = 1000,
) -> Uncertainty:
    """What held-out rows say of a run. `trained_on`: targets (M, C) of the rows it was fitted on; `how`: which rows are held out.

    Nothing is raised for few rows, one class or predictions that are not numbers: notes say what could not be made.
    """
    target, task = held.target, held.target.task
    known = held.take(~np.isnan(held.y).all(axis=1))
    regression = task == "regression"
    train = () if regression else tuple(prevalence(task, trained_on, target.n_outputs).tolist())
    lost = int(np.isnan(known.p).any(axis=1).sum())
    notes = [f"{lost:,} held-out rows have predictions that are not numbers, and no error"] if lost else []
    intervals = fit_intervals(known.y, known.p, (level,), names=target.columns) if regression else None
    sets = () if regression else _fit_sets(target, known.y, known.p, level)
    promised = [*(intervals.notes if intervals is not None else ()), *(note for each in sets for note in each.notes)]
    domain = measure_domain(
        known.identity, known.error, known.baseline,
        losses=known.losses, clusters=known.units, draws=draws, seed=SEED,
    )  # fmt: skip
    facts = {
        "task": task,
        "rows": len(known.y),
        "how": how,
        "likeness": likeness,
        "coverage": [each.as_json() for each in _coverage(known, level)],
        "reliability": None if regression else _reliability(known, train, draws),
        "notes": [*notes, *dict.fromkeys(promised)],
    }
    reference = None if regression else _reference(known, train)
    return Uncertainty(level, intervals, sets, scale, domain, train, reference, facts)


# --- intervals and sets ---------------------------------------------------------------------------------------------------


def _fit_sets(target: Target, y: Floats, p: Floats, level: float) -> tuple[ConformalSets, ...]:
    """Sets of classes; of labels, per label, made of the rows that have it, so that those are promised to keep it."""
    if target.task != "multilabel":
        return (fit_sets(target.task, y, p, (level,), names=target.classes),)
    parts = []
    for c in range(p.shape[1]):
        own = y[:, c] == 1
        parts.append(fit_sets("binary", y[own][:, [c]], p[own][:, [c]], (level,), names=LABEL_SET))
    return tuple(parts)


def _members(target: Target, sets: Sequence[ConformalSets], p: Floats) -> np.ndarray:
    """Which classes or labels (N, K) stand in the set of each row, bool."""
    if target.task != "multilabel":
        return sets[0].contains(p)
    return np.stack([each.contains(p[:, [c]])[:, 1] for c, each in enumerate(sets)], axis=1)


def _coverage(held: HeldOut, level: float) -> list[Coverage]:
    """Per target (for classes: one) what intervals or sets of one half held in the other."""
    names = held.target.columns if held.target.task == "regression" else ("",)
    half = _halves(held)
    one, other = held.take(half == 0), held.take(half == 1)
    tried = (_tried(one, other, level), _tried(other, one, level))
    found = []
    for c, (name, size) in enumerate(zip(names, _sizes(held, level).tolist(), strict=True)):
        enough = all(each.n_made_of[c] >= rows_needed(level) for each in tried)
        hits, rows = (sum(int(each[place][c]) for each in tried) for place in (0, 1))
        share = wilson(hits, rows) if enough else Interval(math.nan, math.nan, math.nan)
        found.append(Coverage(name, share, rows, size))
    return found


def _halves(held: HeldOut) -> np.ndarray:
    """0 or 1 for each row, int64 (N,): about as many of either, related rows together."""
    return deal(np.arange(len(held.y)) if held.units is None else held.units, None, [0.5, 0.5], SEED)


class _Tried(NamedTuple):
    """Per column, int64: targets held, targets tried, and targets that the promise was made of."""

    hits: np.ndarray
    rows: np.ndarray
    n_made_of: np.ndarray


def _tried(one: HeldOut, other: HeldOut, level: float) -> _Tried:
    """What intervals or sets made of `one` hold in `other`."""
    target = one.target
    if target.task == "regression":
        low, high = fit_intervals(one.y, one.p, (level,)).interval(other.p)
        known = ~np.isnan(other.y)
        inside = known & (low <= other.y) & (other.y <= high)
        return _Tried(inside.sum(axis=0), known.sum(axis=0), (~np.isnan(one.y)).sum(axis=0))
    inside = _members(target, _fit_sets(target, one.y, one.p, level), other.p)
    if target.task == "multilabel":
        true, made_of = other.y == 1, int((one.y == 1).sum())
    else:
        true, made_of = np.arange(inside.shape[1]) == other.y, len(one.y)
    return _Tried(*(np.array([each]) for each in ((inside & true).sum(), true.sum(), made_of)))


def _sizes(held: HeldOut, level: float) -> Floats:
    """Median width (C,) in original units, or mean number of classes (1,)."""
    target = held.target
    if not len(held.p):
        return np.full(len(target.columns) if target.task == "regression" else 1, np.nan)
    if target.task != "regression":
        return np.array([_members(target, _fit_sets(target, held.y, held.p, level), held.p).sum(axis=1).mean()])
    low, high = fit_intervals(held.y, held.p, (level,)).interval(held.p)
    with np.errstate(over="ignore", invalid="ignore"):
        widths = np.abs(target.to_original(high) - target.to_original(low))
    return np.asarray(np.median(widths, axis=0))


# --- probabilities --------------------------------------------------------------------------------------------------------


def _reliability(held: HeldOut, train: Sequence[float], draws: int) -> dict[str, Any]:
    """How calibrated probabilities are, after calibration and, where it changed them, before; and why, if a gap is left."""
    of = {"binary": "the positive class", "multiclass": "the likeliest class", "multilabel": "all labels together"}
    after = _measured(held, held.p, draws)
    before = after if np.array_equal(held.raw, held.p, equal_nan=True) else _measured(held, held.raw, draws)
    why = _why_off(held, train, draws) if after["is_off"] else ""
    return {"of": of[held.target.task], "calibrated": after, "raw": before, "why": why}


def _why_off(held: HeldOut, train: Sequence[float], draws: int) -> str:
    """Why a gap is left: whether other test rows would calibrate better than valid rows did, and prevalences."""
    task, half = held.target.task, _halves(held)
    other = held.raw.copy()
    for side in (0, 1):
        fitted = fit_calibrator(task, held.y[half == side], held.raw[half == side], seed=SEED)
        other[half != side] = fitted.apply(held.raw[half != side])
    found = _measured(held, other, draws)
    text = f"calibrated on the other half of these rows it would be {found['ece']['value']:.3f}, "
    if not found["is_off"]:
        text += "no more than chance: valid rows tell too little of test rows, being few or of another kind"
    elif held.units is None:
        text += "more than chance as well: calibration needs more rows than there are"
    else:
        text += "more than chance as well: groups of related rows differ in what a probability is worth"
    here = prevalence(task, held.y, held.target.n_outputs)
    moved = np.nan_to_num(np.abs(here - np.array(train)))
    if task != "multilabel" and moved.max() > MATTERS:
        k = int(moved.argmax())
        name = held.target.classes[-1] if task == "binary" else held.target.classes[k]
        text += f"; {train[k]:.0%} of train and valid rows and {here[k]:.0%} of test rows are {name}"
    return text


def _measured(held: HeldOut, p: Floats, draws: int) -> dict[str, Any]:
    y, units = held.y, held.units
    if held.target.task == "multiclass":
        right, share = top_label(y, p)
    else:
        right, share = y.ravel(), p.ravel()
        if p.shape[1] > 1:
            units = np.repeat(np.arange(len(y)) if units is None else units, p.shape[1])
    found = reliability(right, share, clusters=units, draws=draws, seed=SEED)
    return {**found.as_json(), "is_off": found.is_off}


def _reference(held: HeldOut, train: Sequence[float]) -> PriorReference:
    """How predictions look at the prevalence of training: held-out rows of a class count as often as the class is there."""
    task, y, p = held.target.task, held.y, held.p
    old, new = np.array(train), prevalence(task, y, held.target.n_outputs)
    with np.errstate(divide="ignore", invalid="ignore"):
        if task == "multiclass":
            weights = np.nan_to_num(old / new, posinf=0.0)[y[:, [0]].astype(np.intp)]
            return prior_reference(task, p, np.repeat(weights, p.shape[1], axis=1))
        up, down = (np.nan_to_num(each, posinf=0.0) for each in (old / new, (1 - old) / (1 - new)))
    return prior_reference(task, p, np.where(np.isnan(y), 0.0, np.where(y == 1, up, down)))
