"""What is written once all members of an experiment are done: predictions, metrics, leaderboard, report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from seqloom.config import Variant, difference
from seqloom.evaluation import Evaluated, evaluate, run_metrics
from seqloom.files import read_json, write_json, write_parquet
from seqloom.plan import Plan
from seqloom.run import Member, Run, prediction_columns
from seqloom.split.base import TEST
from seqloom.split.random import GroupSplit
from seqloom.table import Table
from seqloom.target import Target, class_names


def conclude(plan: Plan, folder: Path, folders: Mapping[str, Path], seconds: float, *, single: bool) -> dict[str, Any]:
    """Write what follows from the members' predictions; the contents of `leaderboard.json`."""
    from seqloom.report.build import write_report

    evaluated = _evaluated(plan, folders)
    for variant in plan.variants:
        _write_predictions(plan, Run(folders[variant.name], variant), evaluated)
    command = "train" if single else "compare"
    board = evaluated.leaderboard_json(
        command, folder, seconds, plan.baselines, _changes(plan), _fit_seconds(plan, folders)
    )
    board["findings"] = [each.as_json() for each in plan.findings]
    write_json(folder / "leaderboard.json", board)
    write_report(folder)
    return board


def _evaluated(plan: Plan, folders: Mapping[str, Path]) -> Evaluated:
    tests = [plan.scores[plan.partition.rows(fold, TEST)] for fold in range(plan.partition.n_folds)]
    predictions: dict[str, list[list[np.ndarray]]] = {}
    targets = _targets(plan, folders)
    for variant in plan.variants:
        run = Run(folders[variant.name], variant)
        predictions[variant.name] = [
            [
                _on_common_scale(run.member_predictions(Member(fold, seed)), target, plan.target)
                for seed in variant.seeds
            ]
            for fold, target in enumerate(targets[variant.name])
        ]
    return evaluate(plan.target, tests, predictions, plan.variants[0].report, _clusters(plan))


def _clusters(plan: Plan) -> list[np.ndarray] | None:
    """Groups of the test rows of every fold, where the table has groups, whatever splitter divided it."""
    if plan.table.roles.group is None:
        return None
    groups = GroupSplit().units(plan.table)
    return [groups[plan.partition.rows(fold, TEST)] for fold in range(plan.partition.n_folds)]


def _on_common_scale(outputs: np.ndarray, own: Target, common: Target) -> np.ndarray:
    """Outputs on the score scale all variants are compared on, whatever transform each was trained with."""
    scores = own.from_model(outputs)
    return scores if own.transform == common.transform else common.to_score(own.to_original(scores))


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
        parts.append(pa.table(columns | prediction_columns(plan.target, scale)))
    write_parquet(run.folder / "predictions.parquet", pa.concat_tables(parts))
    write_json(run.folder / "metrics.json", run_metrics(evaluated, run, plan.members(run.variant)))


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


def _fit_seconds(plan: Plan, folders: Mapping[str, Path]) -> dict[str, float]:
    return {
        variant.name: sum(
            Run(folders[variant.name], variant).member_seconds(member) for member in plan.members(variant)
        )
        for variant in plan.variants
    }
