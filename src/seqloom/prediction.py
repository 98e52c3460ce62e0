"""Use of a finished run: predictions for the rows of a table, and scores where targets are known."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from seqloom.alphabet import UNKNOWN
from seqloom.config import ReportSection, Sections, refuse_others
from seqloom.errors import ConfigError, DataError
from seqloom.files import write_parquet, write_whole
from seqloom.findings import Finding, finding
from seqloom.registry import validated
from seqloom.run import Model, prediction_columns
from seqloom.table import DataSection, Table
from seqloom.target import TargetSection
from seqloom.tokens import ragged_bytes

FORMATS = (".csv", ".tsv", ".parquet")
USED_BY_PREDICT = ("data", "encoder")
USED_BY_EVALUATE = ("data", "encoder", "target.column", "report")


def predict(folder: Path, source: Any, out: Path | None, sections: Sections | None = None) -> dict[str, Any]:
    """Write the table with predictions appended to `out` (or as CSV to standard output); the facts of `--json`.

    Input columns and order are kept. A row that cannot be predicted has empty predictions and its reason in `pred_error`.
    """
    started = time.monotonic()
    model, table = _opened(folder, source, sections or {})
    predicted, errors = predicted_table(model, table)
    if out is None:
        _write_delimited(predicted, sys.stdout.buffer, ",")
    else:
        write_table(predicted, out)
    findings = [each for each in table.findings if each.severity != "info"]
    return {
        "command": "predict",
        "path": model.folder.as_posix(),
        "seconds": round(time.monotonic() - started, 3),
        "rows": table.n_rows,
        "failed": errors,
        "output": out.as_posix() if out else "-",
        "members": len(model.members),
        "findings": [each.as_json() for each in findings],
    }


def predicted_table(model: Model, table: Table) -> tuple[pa.Table, int]:
    """All columns of the table, predictions after them, and how many rows could not be predicted."""
    reasons = unreadable(table)
    good = np.flatnonzero([reason is None for reason in reasons])
    place = np.full(table.n_rows, -1, np.int64)
    place[good] = np.arange(len(good))
    take = pa.array(np.where(place < 0, 0, place), mask=place < 0)
    result = table.data
    columns = _no_predictions(model)
    for name in columns:
        _refuse_taken(result, name)
    if len(good):
        columns = model.predict(table.take(good)).columns()
    for name, values in columns.items():
        result = result.append_column(name, values.take(take))
    if len(good) < table.n_rows:
        name = "pred_reason" if "pred_error" in columns else "pred_error"  # a class may be called error
        _refuse_taken(result, name)
        result = result.append_column(name, pa.array(reasons, pa.string()))
    return result, table.n_rows - len(good)


def _no_predictions(model: Model) -> dict[str, pa.Array]:
    """The columns of predictions of no row, so that a table has the same ones whatever its rows."""
    nothing = np.zeros((0, model.target.n_outputs))
    return prediction_columns(model.target, nothing, nothing if len(model.members) > 1 else None)


def unreadable(table: Table) -> list[str | None]:
    """Why each row cannot be encoded, or None if it can."""
    reasons: list[str | None] = [None] * table.n_rows
    for column in table.roles.sequences:
        text, offsets = ragged_bytes(table.sequences(column))
        alphabet = table.alphabets[column]
        for row in np.flatnonzero(np.diff(offsets) == 0):
            reasons[row] = f"{column} is empty"
        odd = np.flatnonzero(alphabet.look_up[text] == UNKNOWN)
        for row in np.unique(np.searchsorted(offsets, odd, side="right") - 1):
            reasons[row] = f"{column} holds symbols that are not {alphabet.name}"
    for name in table.roles.covariates:
        for row in np.flatnonzero(~np.isfinite(table.numeric(name))):
            reasons[row] = f"{name} is missing"
    return reasons


def evaluate(folder: Path, source: Any, sections: Sections | None = None) -> dict[str, Any]:
    """Metrics with intervals of a run on a table with targets; rows without a target do not count.

    Rows whose inputs the run was trained on are counted and said, and the metrics of the others are given beside.
    """
    from seqloom.evaluation import evaluate_single
    from seqloom.findings import raise_errors

    started = time.monotonic()
    sections = sections or {}
    model, table = _opened(folder, source, sections, with_targets=True)
    raise_errors(table.findings)
    target = replace(model.target, columns=table.roles.targets)
    scores = target.read(table)
    known = np.flatnonzero(~np.isnan(scores).all(axis=1))
    if not len(known):
        raise DataError(
            f"{table.source.name}: no row has a value in {', '.join(target.columns)}; name the target with --target COLUMN"
        )
    known_table = table.take(known)
    prediction = model.predict(known_table)
    seen = model.has_seen(known_table)
    findings = _worth_saying(table)
    report = validated(
        ReportSection, {**model.run.variant.report.model_dump(), **sections.get("report", {})}, "[report]"
    )
    metrics = evaluate_single(target, scores[known], prediction.mean, report)
    if seen.any():
        message = f"{int(seen.sum()):,} of {len(known):,} rows have inputs that this run was trained on; their scores flatter it"
        findings.append(finding("seen-in-training", "warning", message, known_table.row_numbers[seen]))
        if not seen.all():
            metrics["unseen"] = {
                "rows": int((~seen).sum()),
                "metrics": evaluate_single(target, scores[known][~seen], prediction.mean[~seen], report)["metrics"],
            }
    return {
        "command": "evaluate",
        "path": model.folder.as_posix(),
        "seconds": round(time.monotonic() - started, 3),
        "rows": len(known),
        "unused": table.n_rows - len(known),
        "members": len(model.members),
        **metrics,
        "findings": [each.as_json() for each in findings],
    }


def write_table(table: pa.Table, path: Path) -> None:
    """`table` as CSV, TSV or Parquet, by the ending of `path`."""
    if path.suffix not in FORMATS:
        raise DataError(
            f"{path}: tables are written as {', '.join(FORMATS)}, not {path.suffix or 'without an ending'!r}"
        )
    if path.suffix == ".parquet":
        write_parquet(path, table)
        return
    separator = "," if path.suffix == ".csv" else "\t"

    def write(draft: Path) -> None:
        with draft.open("wb") as file:
            _write_delimited(table, file, separator)

    write_whole(path, write)


def _write_delimited(table: pa.Table, file: Any, separator: str) -> None:
    from pyarrow import csv

    csv.write_csv(table, file, csv.WriteOptions(delimiter=separator, quoting_style="needed"))


def _refuse_taken(table: pa.Table, name: str) -> None:
    if name in table.column_names:
        raise DataError(
            f"the table already has a column {name!r}; rename it, so that predictions do not take its place"
        )


def _opened(folder: Path, source: Any, sections: Sections, *, with_targets: bool = False) -> tuple[Model, Table]:
    model = Model(folder, sections.get("encoder"))
    refuse_others(sections, USED_BY_EVALUATE if with_targets else USED_BY_PREDICT, "a finished run")
    section = validated(DataSection, sections.get("data", {}), "[data]")
    if not with_targets:
        return model, model.read(source, section)
    known = model.target.columns
    columns = validated(TargetSection, sections.get("target", {}), "[target]").column or known
    if len(columns) != len(known):
        raise ConfigError(
            f"[target] column names {len(columns)} columns, and the run predicts {len(known)} ({', '.join(known)}); "
            "name them in that order with --target COLUMN,COLUMN"
        )
    return model, model.read(source, section, columns)


def _worth_saying(table: Table) -> list[Finding]:
    return [each for each in table.findings if each.severity != "info"]
