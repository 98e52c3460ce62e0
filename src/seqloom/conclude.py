"""What is written once all members of an experiment are done: predictions, metrics, leaderboard, report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from seqloom.answers import prediction_columns
from seqloom.censored import symbols
from seqloom.config import Variant
from seqloom.evaluation import Evaluated, evaluate, on_scale_of, run_metrics
from seqloom.files import read_json, write_json, write_parquet
from seqloom.findings import Finding
from seqloom.held_out import HeldOutRows, outputs, uncertainty_of
from seqloom.nested import nested
from seqloom.plan import Plan
from seqloom.run import Member, Run
from seqloom.sections import difference
from seqloom.slices import scores_by_identity, scores_by_slice, scores_within_groups, slices_of
from seqloom.split.base import TEST, TRAIN
from seqloom.split.inputs import joined
from seqloom.split.random import GroupSplit
from seqloom.table import Table
from seqloom.target import Target, class_names
from seqloom.uncertainty import FILE as UNCERTAINTY

FEWEST_UNITS = 20
"""Units of related test rows at least, for intervals to draw units rather than rows."""
RATE_CHANGES = 1e-6
"""Rates that differ by no more than this share are one."""
MOST_NAMED = 4
"""Variants named in a note."""


def conclude(plan: Plan, folder: Path, folders: Mapping[str, Path], seconds: float, *, single: bool) -> dict[str, Any]:
    """Write what follows from the members' predictions; the contents of `leaderboard.json`."""
    from seqloom.report.build import write_report

    clusters, notes = _related(plan)
    evaluated = _evaluated(plan, folders, clusters)
    for variant in plan.variants:
        _write_predictions(plan, Run(folders[variant.name], variant), evaluated)
    command = "train" if single else "compare"
    board = evaluated.leaderboard_json(
        command, folder, seconds, plan.baselines, _changes(plan), _fit_seconds(plan, folders)
    )
    board |= _by_identity(plan, evaluated, clusters)
    board["slices"] = _slices(plan, evaluated, clusters)
    board["within_groups"] = _within_groups(plan, evaluated)
    board["nested"] = nested(plan, folders, evaluated, clusters)
    believed = _uncertainties(plan, folders, evaluated, clusters)
    board["leaderboard"] = [row | {"calibration": believed[row["variant"]]} for row in board["leaderboard"]]
    still = _unchanged_rates(plan, folders)
    board["notes"] = [*(each.message for each in still), *notes, *board["notes"]]
    board["findings"] = [each.as_json() for each in (*plan.findings, *still)]
    write_json(folder / "leaderboard.json", board)
    write_report(folder)
    return board


def _evaluated(plan: Plan, folders: Mapping[str, Path], clusters: list[np.ndarray] | None) -> Evaluated:
    predictions: dict[str, list[list[np.ndarray]]] = {}
    targets = _targets(plan, folders)
    for variant in plan.variants:
        run = Run(folders[variant.name], variant)
        predictions[variant.name] = [
            [
                on_scale_of(plan.target, target, outputs(run, Member(fold, seed), target, calibrate=True))
                for seed in variant.seeds
            ]
            for fold, target in enumerate(targets[variant.name])
        ]
    bounds = None if plan.bounds is None else [plan.bounds[rows] for rows in _test_rows(plan)]
    models = [name for name in predictions if name not in plan.baselines]
    return evaluate(plan.target, _tests(plan), predictions, plan.variants[0].report, clusters, bounds, permute=models)


def _tests(plan: Plan) -> list[np.ndarray]:
    """Targets of the test rows of every fold, score scale."""
    return [plan.scores[rows] for rows in _test_rows(plan)]


def _test_rows(plan: Plan) -> list[np.ndarray]:
    return [plan.partition.rows(fold, TEST) for fold in range(plan.partition.n_folds)]


def _related(plan: Plan) -> tuple[list[np.ndarray] | None, list[str]]:
    """Per fold labels (N,) of the test rows that intervals draw together, None to draw rows; and what to know of it.

    Related are rows that the splitter does not divide, or of one group of the table. Of too few such units a bootstrap says
    nothing: the groups alone are drawn then, whatever their number, as the user named them; or else the rows.
    """
    rows = _test_rows(plan)
    tested = np.unique(np.concatenate(rows))
    groups = None if plan.table.roles.group is None else GroupSplit().units(plan.table)
    units = plan.variants[0].split.units(plan.table)
    if groups is not None:
        units = joined(units, groups)
    n_units = len(np.unique(units[tested]))
    drawn: np.ndarray | None = units
    notes = []
    if n_units == len(tested):
        drawn = None
    elif n_units < FEWEST_UNITS:
        drawn = groups
        if groups is None or n_units < len(np.unique(groups[tested])):
            instead = "rows" if groups is None else "groups"
            notes = [
                f"all {len(tested):,} test rows are {n_units} unit{'s' * (n_units > 1)} of related rows, too few to draw "
                f"from: {instead} were drawn, and intervals are too narrow"
            ]
    if drawn is None and sum(map(len, rows)) > len(tested):
        drawn = np.arange(plan.table.n_rows)  # rows tested in several folds are drawn once for all of them
    return (None if drawn is None else [drawn[own] for own in rows]), notes


def _by_identity(plan: Plan, evaluated: Evaluated, clusters: list[np.ndarray] | None) -> dict[str, Any]:
    """Scores within bands of identity of the test rows to their nearest training rows, as the audit found it."""
    report, inner = plan.variants[0].report, plan.variants[0].split.inner
    return scores_by_identity(
        evaluated, _tests(plan), _identities(plan, inner), report, clusters, inner=inner, likeness=_likeness(plan)
    )


def _likeness(plan: Plan) -> str:
    measures = {fold.get("nearest", {}).get("measure") for fold in plan.facts["audit"]["folds"]}
    return "Tanimoto similarity" if "tanimoto" in measures else "identity"


def _uncertainties(
    plan: Plan, folders: Mapping[str, Path], evaluated: Evaluated, clusters: list[np.ndarray] | None
) -> dict[str, dict[str, Any]]:
    """Write `uncertainty.json` of every run; what the leaderboard says of it, by variant."""
    rows = HeldOutRows.of(plan, clusters, _identities(plan, plan.variants[0].split.inner))
    targets, said = _targets(plan, folders), {}
    for variant in plan.variants:
        run = Run(folders[variant.name], variant)
        known = uncertainty_of(rows, run, targets[variant.name], evaluated.predictions, _likeness(plan))
        write_json(run.folder / UNCERTAINTY, known.as_json())
        said[variant.name] = known.summary()
    return said


def _slices(plan: Plan, evaluated: Evaluated, clusters: list[np.ndarray] | None) -> list[dict[str, Any]]:
    """Scores of the parts that `report.by` asks for, a property that does not divide the rows left out."""
    report, inner = plan.variants[0].report, plan.variants[0].split.inner
    rows = _test_rows(plan)
    trained = np.unique(np.concatenate([plan.partition.rows(fold, TRAIN) for fold in range(plan.partition.n_folds)]))
    found = [
        scores_by_slice(
            evaluated, _tests(plan), slices_of(plan.table, by), rows, report, clusters, trained=trained, inner=inner
        )
        for by in report.by
    ]
    return [each for each in found if len(each["slices"]) + len(each["too_small"]) + len(each["untested"]) > 1]


def _within_groups(plan: Plan, evaluated: Evaluated) -> dict[str, Any] | None:
    """Scores within the groups that the table names; None without a group column, or where none can be scored."""
    group = plan.table.roles.group
    if group is None:
        return None
    labels = np.array(plan.table.text(group).to_pylist(), object)
    draws = plan.variants[0].report.draws
    return scores_within_groups(
        evaluated, _tests(plan), [labels[rows] for rows in _test_rows(plan)], draws, inner=plan.variants[0].split.inner
    )


def _identities(plan: Plan, inner: int) -> list[np.ndarray]:
    """Identity of every test row of every fold to its nearest training row, float64 (N,), NaN where it was not looked at."""
    nearest = plan.audit.nearest
    fold, number, identity = (nearest[name].to_numpy() for name in ("fold", "row", "identity"))
    found = []
    for place, rows in enumerate(_test_rows(plan)):
        # Folds of nested cross-validation that test the same rows were looked at once, at the first of them.
        own = np.flatnonzero(fold == place - place % inner)
        own = own[np.argsort(number[own], kind="stable")]
        wanted = plan.table.row_numbers[rows]
        values = np.full(len(rows), np.nan)
        if len(own):
            at = np.minimum(np.searchsorted(number[own], wanted), len(own) - 1)
            values = np.where(number[own][at] == wanted, identity[own][at], np.nan)
        found.append(values)
    return found


def _targets(plan: Plan, folders: Mapping[str, Path]) -> dict[str, list[Target]]:
    """The fitted target of every variant and fold."""
    found = {}
    for variant in plan.variants:
        folds = read_json(folders[variant.name] / "target.json")["folds"]
        found[variant.name] = [Target.from_json(folds[str(fold)]["target"]) for fold in range(plan.partition.n_folds)]
    return found


def _write_predictions(plan: Plan, run: Run, evaluated: Evaluated) -> None:
    parts = []
    for member in plan.members(run.variant):
        rows = plan.partition.rows(member.fold, TEST)
        table = plan.table.take(rows)
        scale = evaluated.predictions[run.variant.name][member.fold][member.seed - run.variant.train.seed]
        columns: dict[str, Any] = {
            "row": table.row_numbers,
            "id": table.ids.cast(pa.string()),
            "fold": np.full(len(rows), member.fold, np.int32),
            "seed": np.full(len(rows), member.seed, np.int32),
        }
        for column in plan.target.columns:
            name = "target" if len(plan.target.columns) == 1 else f"target_{column}"
            columns[name] = _original_target(table, plan.target, column)
            if plan.target.task == "regression" and column in plan.table.bounds:
                columns[name.replace("target", "target_bound", 1)] = symbols(table.bounds[column])
        parts.append(pa.table(columns | prediction_columns(plan.target, scale)))
    write_parquet(run.folder / "predictions.parquet", pa.concat_tables(parts))
    members = plan.members(run.variant)
    metrics = run_metrics(evaluated, run, members)
    metrics["members"] = [
        facts | {"calibrator": _calibrator(run, member)}
        for facts, member in zip(metrics["members"], members, strict=True)
    ]
    write_json(run.folder / "metrics.json", metrics)


def _calibrator(run: Run, member: Member) -> dict[str, Any] | None:
    """Which calibrator a member has, why, and log loss on its valid rows before and after; None for a regression."""
    found = run.calibrator(member)
    if found is None:
        return None
    losses = {"log_loss_before": found.log_loss_before, "log_loss_after": found.log_loss_after}
    return {"method": found.name, "why": found.why, "rows": found.n_rows, **losses}


def _original_target(table: Table, target: Target, column: str) -> Any:
    """A target column as the table has it: numbers in original units, or class names."""
    if target.task == "regression":
        values = table.numeric(column)
        return pa.array(values, mask=np.isnan(values))
    return class_names(table, column)


def _changes(plan: Plan) -> dict[str, dict[str, list[Any]]]:
    """For each variant what its predictor's first variant has otherwise: `section.key` -> [there, here]."""
    first: dict[str, Variant] = {}
    changes = {}
    for variant in plan.variants:
        base = first.setdefault(variant.predictor.kind, variant)
        changes[variant.name] = {key: list(pair) for key, pair in difference(base.resolved, variant.resolved).items()}
    return changes


def _unchanged_rates(plan: Plan, folders: Mapping[str, Path]) -> list[Finding]:
    """A finding for every schedule by which the learning rate was to change, and did not in any member: whoever compares it
    with a constant rate compares two equal things."""
    import pyarrow.parquet as pq

    names: dict[str, list[str]] = {}
    for variant in plan.variants:
        run, schedule = Run(folders[variant.name], variant), variant.train.schedule
        paths = [run.member_folder(member) / "curves.parquet" for member in plan.members(variant)]
        rates = [pq.read_table(path, columns=["lr"])["lr"].to_numpy() for path in paths if path.exists()]
        if rates and schedule != "constant" and all(np.ptp(own) <= RATE_CHANGES * own.max() for own in rates):
            names.setdefault(schedule, []).append(variant.name)
    return [
        Finding(
            "rate-never-changed",
            "warning",
            f"the learning rate of {_named(each)} never changed, although {'its' if len(each) == 1 else 'their'} schedule is "
            f"{schedule}",
        )
        for schedule, each in names.items()
    ]


def _named(names: list[str]) -> str:
    """`a`, `a and b`, `a, b, c, d and 4 more`."""
    if len(names) > MOST_NAMED:
        return f"{', '.join(names[:MOST_NAMED])} and {len(names) - MOST_NAMED} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _fit_seconds(plan: Plan, folders: Mapping[str, Path]) -> dict[str, float]:
    return {
        variant.name: sum(
            Run(folders[variant.name], variant).member_seconds(member) for member in plan.members(variant)
        )
        for variant in plan.variants
    }
