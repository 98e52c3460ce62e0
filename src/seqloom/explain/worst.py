"""Which test rows a run gets most wrong, and whether residues stand otherwise among them than among the other test rows.

Errors are on the scale metrics are taken on; of classes, 1 - the probability of the true class; of a bound, what the prediction
lies beyond it. Predictions of several members are averaged first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from seqloom.errors import ConfigError, DataError, RunError
from seqloom.files import read_json
from seqloom.joined import read_tables
from seqloom.model import load_variant
from seqloom.positions import Contrast, SymbolCounts, count_symbols
from seqloom.report.members import Predictions, read_predictions
from seqloom.summary import sequence_lengths
from seqloom.table import Table, read_source
from seqloom.target import Target

MOST_FROM_AN_END = 15
"""Positions looked at from either end."""
FEWEST = 3
"""Rows that the worst must be for their residues to be looked at."""
Q = 0.05
AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*sd|(\d+)")


class Amount(NamedTuple):
    """How many rows are the worst: beyond so many standard deviations above the mean error, or just so many."""

    deviations: float | None
    rows: int | None


@dataclass(frozen=True)
class Residues:
    """Residues of one sequence column by position, of the other test rows (0) and of the worst (1), and their contrast."""

    column: str
    counts: SymbolCounts
    contrast: Contrast
    """Of the worst against the others."""


@dataclass(frozen=True)
class Worst:
    """The rows with the largest errors of M test rows, largest first."""

    how: str
    """What makes a row one of the worst, in words."""
    unit: str
    """What errors are measured in."""
    direction: int
    """1 where an error below 0 means a prediction below the true value, in the units of the table; -1 where it means one above
    it, as large scores are small values; 0 of classes, whose errors have no sign."""
    errors: np.ndarray  # float64 (M,), at least 0
    threshold: float | None
    """Errors beyond it are the worst; None if so many rows were asked for."""
    table: pa.Table
    """id, row, sequences, true, predicted, error; the worst alone."""
    residues: tuple[Residues, ...]
    """Of every sequence column; none where there are too few rows to compare."""

    @property
    def too_low(self) -> int:
        """How many of the worst are predicted below their true value, in the units of the table."""
        return int((self.table["error"].to_numpy() * self.direction < 0).sum())


def read_amount(text: str) -> Amount:
    """`2sd` or `20`; ConfigError for others.

    >>> read_amount("2.5sd"), read_amount("20")
    (Amount(deviations=2.5, rows=None), Amount(deviations=None, rows=20))
    """
    match = AMOUNT.fullmatch(text.strip().lower())
    if match is None or not float(match[1] or match[2]):
        raise ConfigError(
            f"--worst {text}: write 2sd (errors above the mean + 2 standard deviations), or 20 (that many rows)"
        )
    return Amount(float(match[1]), None) if match[1] else Amount(None, int(match[2]))


def worst_rows(folder: Path, amount: Amount, column: str = "", source: Any = None) -> Worst:
    """The worst test rows of a run, whose table is read again from `source`, or from where the run read it.

    `column`: of several targets. RunError if the run is not finished, or the table is not there or another one.
    """
    predictions = read_predictions(folder / "predictions.parquet")
    if predictions is None:
        raise RunError(
            f"{folder}: no predictions of test rows yet; run the same compare or train command again to go on"
        )
    folds = read_json(folder / "target.json")["folds"]
    target = Target.from_json(next(iter(folds.values()))["target"])
    place = _place(target, column)
    row, signed, true, predicted = _errors(predictions, target, place)
    table = _test_table(folder, row, source)
    errors = np.abs(signed)
    order = np.argsort(-errors, kind="stable")
    mean, deviation = float(errors.mean()), float(errors.std())
    threshold = None if amount.deviations is None else mean + amount.deviations * deviation
    n_worst = min(amount.rows or 0, len(errors)) if threshold is None else int((errors > threshold).sum())
    how = f"the {n_worst:,} largest errors"
    if threshold is not None:
        above = f"the mean of all, {mean:.3g}, + {amount.deviations:g} standard deviations of {deviation:.3g}"
        how = f"errors above {threshold:.3g} ({above})"
    first = order[:n_worst]
    is_worst = np.isin(np.arange(len(errors)), first)
    kept = table.take(first)
    columns: dict[str, Any] = {"id": kept.ids, "row": kept.row_numbers}
    columns |= {name: kept.sequences(name) for name in kept.roles.sequences}
    columns |= {"true": _taken(true, first), "predicted": _taken(predicted, first), "error": signed[first]}
    residues = _residues(table, is_worst) if FEWEST <= n_worst <= len(errors) - FEWEST else ()
    unit = {"regression": target.scale_name}.get(target.task, "1 - probability of the true class")
    direction = 0 if target.task != "regression" else 1 if target.rises else -1
    return Worst(how, unit, direction, errors, threshold, pa.table(columns), residues)


def _place(target: Target, column: str) -> int:
    """Which target column is meant."""
    if column and column not in target.columns:
        raise ConfigError(f"--target {column}: the run predicts {', '.join(target.columns)}")
    if not column and len(target.columns) > 1:
        raise ConfigError(f"the run predicts {', '.join(target.columns)}; name one of them with --target COLUMN")
    return target.columns.index(column) if column else 0


def _errors(predictions: Predictions, target: Target, place: int) -> tuple[np.ndarray, np.ndarray, pa.Array, pa.Array]:
    """Row numbers (M,), signed errors (M,), true values and predictions of test rows whose target is known.

    Errors are predicted - true; of classes they have no sign.
    """
    row, first, line = np.unique(predictions.row, return_index=True, return_inverse=True)
    share = 1 / np.bincount(line)

    def averaged(values: np.ndarray) -> np.ndarray:
        return np.bincount(line, weights=values) * share

    own = predictions.target[first, place]
    if target.task == "regression":
        limit, bound = predictions.limit[first, place], predictions.bounds[first, place]
        own = np.where(np.isnan(own), limit, own)
        known = ~np.isnan(own)
        single = Target("regression", (target.columns[place],), transform=target.transform)
        score = averaged(single.to_score(predictions.pred[:, [place]])[:, 0])
        signed = score - single.to_score(np.where(known, own, 1.0)[:, None])[:, 0]
        side = bound * (1 if target.rises else -1)
        signed = np.where(side > 0, np.minimum(signed, 0), np.where(side < 0, np.maximum(signed, 0), signed))
        said = [
            f"{'>' if sign > 0 else '<' if sign < 0 else ''}{value:.6g}" for value, sign in zip(own, bound, strict=True)
        ]
        values = pa.array(said) if bound.any() else pa.array(own)
        return row[known], signed[known], values.filter(pa.array(known)), pa.array(single.to_original(score)[known])
    known = ~np.isnan(own)
    index = np.where(known, own, 0).astype(np.int64)
    names = predictions.classes
    if target.task == "multilabel":
        positive = averaged(predictions.pred[:, place])
        shares, names = np.stack([1 - positive, positive], axis=1), ("0", "1")
    else:
        shares = np.stack([averaged(each) for each in predictions.pred.T], axis=1)
    error = 1 - shares[np.arange(len(row)), index]
    labels = np.array(names, object)
    true, called = labels[index], labels[shares.argmax(1)]
    return row[known], error[known], pa.array(true[known], pa.string()), pa.array(called[known], pa.string())


def _test_table(folder: Path, rows: np.ndarray, source: Any) -> Table:
    """The rows with these numbers of the table that the run was made of."""
    variant = load_variant(folder)
    known = read_json(folder / "data.json")
    if source is None and not variant.data.table:
        raise RunError(
            f"{folder}: the run was made from a table in memory; name a file that holds it with --table FILE"
        )
    columns = tuple((known["target"] or {}).get("columns", ()))
    try:
        table = read_tables(variant.data, columns, source, censoring=variant.target.censoring)
    except DataError as error:
        if source is not None:
            raise
        advice = "the run's table is read again; type this where the run was made, or name the table with --table FILE"
        raise RunError(f"{error}; {advice}") from None
    order = np.argsort(table.row_numbers, kind="stable")
    place = order[np.minimum(np.searchsorted(table.row_numbers, rows, sorter=order), table.n_rows - 1)]
    sources = [(known["source"], table.source)]
    if variant.data.test:
        sources.append((known["test_source"], read_source(variant.data.test)))
    for held, now in sources:
        if held["sha256"] != now.sha256 or (table.row_numbers[place] != rows).any():
            raise RunError(
                f"{folder}: {now.name} is not the table that the run was made of (sha256 {held['sha256'][:12]}, now "
                f"{now.sha256[:12]}); name that one with --table FILE"
            )
    return table.take(place)


def _residues(table: Table, is_worst: np.ndarray) -> tuple[Residues, ...]:
    found = []
    for column in table.roles.sequences:
        lengths = sequence_lengths(table, column)
        longest = min(int(lengths.max(initial=0)), MOST_FROM_AN_END)
        whole = bool(len(lengths)) and lengths.min() == lengths.max() <= MOST_FROM_AN_END
        positions = (*range(1, longest + 1), *(() if whole else range(-longest, 0)))
        if positions:
            counts = count_symbols(table, column, positions, is_worst.astype(np.int64), 2)
            found.append(Residues(column, counts, counts.contrast(1)))
    return tuple(found)


def _taken(values: pa.Array, rows: np.ndarray) -> pa.Array:
    return values.take(pa.array(rows))
