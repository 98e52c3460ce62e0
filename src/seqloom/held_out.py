"""The test rows of all folds as one set of held-out rows, and what each run says of them.

A row that several folds test is predicted by the members of all of them, none of which has seen it. What is made of these rows
is in `seqloom.uncertainty`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from seqloom.config import Variant
from seqloom.plan import Plan, target_of
from seqloom.run import Member, Run
from seqloom.split.base import TEST, TRAIN, VALID
from seqloom.target import Target
from seqloom.uncertainty import HeldOut, Scale, Uncertainty, errors_of, losses_of, measure

BASELINE = "constant"
"""The kind of predictor that errors are held against: it stands in every experiment."""


@dataclass(frozen=True)
class HeldOutRows:
    """The rows that any fold tests, each once, and what all variants share of them."""

    plan: Plan
    rows: np.ndarray  # int64 (N,), ascending
    identity: np.ndarray  # float64 (N,), NaN where it was not looked at
    units: np.ndarray | None  # int64 (N,), related rows; None if none are

    @staticmethod
    def of(plan: Plan, clusters: Sequence[np.ndarray] | None, identities: Sequence[np.ndarray]) -> HeldOutRows:
        """`clusters`: per fold labels (N,) of related test rows; `identities`: per fold float (N,), NaN where unknown."""
        per_fold = [plan.partition.rows(fold, TEST) for fold in range(plan.partition.n_folds)]
        rows = np.unique(np.concatenate(per_fold))
        identity, units = np.full(len(rows), np.nan), np.zeros(len(rows), np.int64)
        for fold, own in enumerate(per_fold):
            place = np.searchsorted(rows, own)
            identity[place] = np.fmax(identity[place], identities[fold])
            if clusters is not None:
                units[place] = clusters[fold]
        labelled = clusters is not None and len(np.unique(units)) < len(rows)
        return HeldOutRows(plan, rows, identity, units if labelled else None)

    def averaged(self, folds: Sequence[np.ndarray]) -> np.ndarray:
        """Predictions of the test rows of each fold (n, T) as one (N, T): the mean where several folds test a row."""
        total = np.zeros((len(self.rows), folds[0].shape[1]))
        times = np.zeros((len(self.rows), 1))
        for fold, predicted in enumerate(folds):
            place = np.searchsorted(self.rows, self.plan.partition.rows(fold, TEST))
            total[place] += predicted
            times[place] += 1
        return total / times

    @cached_property
    def scale(self) -> Scale:
        """The scale of errors, the same for all variants."""
        return Scale.of(self.plan.target, self.plan.scores[self._fitted])

    @cached_property
    def targets(self) -> np.ndarray:
        """Targets (N, C) on the score scale of the experiment; NaN where missing, or where only a bound is known."""
        return _values(self.plan.scores, self.plan.bounds)[self.rows]

    @cached_property
    def n_bounds(self) -> int:
        """Rows of which a target is known by a bound alone."""
        return 0 if self.plan.bounds is None else int((self.plan.bounds[self.rows] != 0).any(axis=1).sum())

    @cached_property
    def trained_on(self) -> np.ndarray:
        """Targets (M, C) of the rows that any fold is fitted on."""
        return self.plan.scores[self._fitted]

    def errors(self, folds: Sequence[Sequence[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
        """Errors and losses (N,) of predictions per fold and seed, on the score scale of the experiment."""
        predicted = self.averaged([np.mean(seeds, axis=0) for seeds in folds])
        target, scale, y = self.plan.target, self.scale, self.targets
        return errors_of(target, scale, y, predicted), losses_of(target, scale, y, predicted)

    @property
    def _fitted(self) -> np.ndarray:
        return np.flatnonzero(np.isin(self.plan.partition.roles, (TRAIN, VALID)).any(axis=0))


def uncertainty_of(
    tests: HeldOutRows,
    run: Run,
    targets: Sequence[Target],
    predictions: Mapping[str, Sequence[Sequence[np.ndarray]]],
    likeness: str,
) -> Uncertainty:
    """What the test rows say of a run. `targets`: its fitted one per fold; `predictions`: of every variant, calibrated, per fold
    and seed, on the score scale of the experiment."""
    plan, variant = tests.plan, run.variant
    own = target_of(variant, plan.table, plan.target)
    same = own == plan.target
    y = tests.targets if same else _values(own.read(plan.table), own.bounds(plan.table))[tests.rows]
    raw, calibrated = (
        tests.averaged(
            [
                np.mean([outputs(run, Member(fold, seed), target, calibrate=each) for seed in variant.seeds], axis=0)
                for fold, target in enumerate(targets)
            ]
        )
        for each in (False, True)
    )
    error, loss = tests.errors(predictions[variant.name])
    guessed, guessed_loss = tests.errors(predictions[_baseline(plan.variants)])
    held = HeldOut(
        own,
        y,
        calibrated,
        raw,
        error,
        guessed,
        np.stack([loss, guessed_loss], axis=1),
        tests.identity,
        tests.units,
    )
    return measure(
        held,
        tests.scale,
        variant.calibrate.level,
        tests.trained_on,
        how=_how(tests, variant),
        likeness=likeness,
        draws=plan.variants[0].report.draws,
    )


def outputs(run: Run, member: Member, target: Target, *, calibrate: bool) -> np.ndarray:
    """Test predictions of a finished member, float64 (N_test, T), on the score scale of its target, or probabilities."""
    predicted = target.from_model(run.member_predictions(member))
    calibrator = run.calibrator(member) if calibrate else None
    return predicted if calibrator is None else calibrator.apply(predicted)


def _values(scores: np.ndarray, bounds: np.ndarray | None) -> np.ndarray:
    """Scores (N, C), NaN where they are bounds."""
    return scores if bounds is None else np.where(bounds == 0, scores, np.nan)


def _baseline(variants: Sequence[Variant]) -> str:
    return next(variant.name for variant in variants if variant.predictor.kind == BASELINE)


def _how(tests: HeldOutRows, variant: Variant) -> str:
    n_folds, n_seeds = tests.plan.partition.n_folds, len(variant.seeds)
    folds = f" of {n_folds} folds" if n_folds > 1 else ""
    seeds = f", predictions averaged over {n_seeds} seeds" if n_seeds > 1 else ""
    calibrated = "" if tests.plan.target.task == "regression" else ", calibrated on valid rows"
    bounds = f"; bounds are left out ({tests.n_bounds:,} rows)" if tests.n_bounds else ""
    return f"the {len(tests.rows):,} test rows{folds}, each predicted by members that have not seen it{seeds}{calibrated}{bounds}"
