"""Use of a finished run: predictions for the rows of a table, and scores where targets are known."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from seqloom.alphabet import UNKNOWN
from seqloom.answers import Prediction
from seqloom.censored import refuse_all_bounds
from seqloom.errors import ConfigError, DataError
from seqloom.files import write_parquet, write_whole
from seqloom.findings import Finding, finding
from seqloom.model import Model
from seqloom.registry import validated
from seqloom.sections import ReportSection, Sections, refuse_others
from seqloom.shift import prior_finding
from seqloom.table import DataSection, Table
from seqloom.target import Target, TargetSection
from seqloom.tokens import ragged_bytes
from seqloom.uncertainty import errors_of

FORMATS = (".csv", ".tsv", ".parquet")
USED_BY_PREDICT = ("data", "encoder")
USED_BY_EVALUATE = ("data", "encoder", "target.column", "report")


def predict(
    folder: Path,
    source: Any,
    out: Path | None,
    sections: Sections | None = None,
    *,
    fast: bool = False,
    precision: str = "",
) -> dict[str, Any]:
    """Write the table with predictions appended to `out` (or as CSV to standard output); the facts of `--json`.

    Input columns and order are kept. A row that cannot be predicted has empty predictions and its reason in `pred_error`.
    `fast`: without distances to training rows, domain and expected error. `precision`: as of `Model`.
    """
    started = time.monotonic()
    model, table = _opened(folder, source, sections or {}, precision=precision)
    predicted = predicted_table(model, table, fast=fast)
    if out is None:
        _write_delimited(predicted.table, sys.stdout.buffer, ",")
    else:
        write_table(predicted.table, out)
    findings = [*_worth_saying(model, table), *predicted.findings]
    return {
        "command": "predict",
        "path": model.folder.as_posix(),
        "seconds": round(time.monotonic() - started, 3),
        "rows": table.n_rows,
        "failed": predicted.failed,
        "outside": predicted.outside,
        "output": out.as_posix() if out else "-",
        "members": len(model.members),
        "findings": [each.as_json() for each in findings],
    }


class Predicted(NamedTuple):
    """A table with predictions."""

    table: pa.Table
    """All columns of the table, predictions after them."""
    failed: int
    """Rows that could not be predicted."""
    outside: int | None
    """Rows that the model is not at home with; None if that is not known."""
    findings: tuple[Finding, ...]


def predicted_table(model: Model, table: Table, *, fast: bool = False) -> Predicted:
    """Predictions of every row that can be predicted, and what to know of them."""
    reasons = unreadable(table)
    good = np.flatnonzero([reason is None for reason in reasons])
    place = np.full(table.n_rows, -1, np.int64)
    place[good] = np.arange(len(good))
    take = pa.array(np.where(place < 0, 0, place), mask=place < 0)
    prediction = model.no_prediction(fast=fast)
    names = _free_names(prediction, table)
    if len(good):
        prediction = model.predict(table.take(good), fast=fast)
    result = table.data
    for name, values in prediction.columns().items():
        result = result.append_column(names[name], values.take(take))
    if len(good) < table.n_rows:
        name = "pred_reason" if "pred_error" in names.values() else "pred_error"  # a class may be called error
        _refuse_taken(result, name)
        result = result.append_column(name, pa.array(reasons, pa.string()))
    inside = prediction.inside
    outside = None if inside is None else int((~inside).sum())
    return Predicted(result, table.n_rows - len(good), outside, _believing(prediction, table))


def _free_names(prediction: Prediction, table: Table) -> dict[str, str]:
    """What the columns of predictions are called in this table.

    A table may well have a column `domain` about something else: ours is `pred_domain` then. A column called as a prediction is
    refused.
    """
    measured = prediction.distance_columns()
    taken = table.data.column_names
    names = {name: f"pred_{name}" if name in measured and name in taken else name for name in prediction.columns()}
    for name in names.values():
        _refuse_taken(table.data, name)
    return names


def _believing(prediction: Prediction, table: Table) -> tuple[Finding, ...]:
    """What to know before these predictions are believed."""
    found = []
    if prediction.uncertainty is None:
        message = (
            "nothing is known of the errors of this run on single rows (it learnt from a store, is not finished, or was made by "
            "an older version): predictions have no intervals, sets or domain"
        )
        found.append(finding("no-uncertainty", "info", message))
    if prediction.note:
        found.append(finding("distances", "warning", prediction.note))
    shifted = prior_finding(prediction, table.source.name)
    return (*found, shifted) if shifted is not None else tuple(found)


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
    bounds = target.bounds(known_table)
    if bounds is not None:
        refuse_all_bounds(known_table, target.columns, [np.arange(len(known))], "test")
    prediction = model.predict(known_table)
    seen = model.has_seen(known_table)
    findings = [*_worth_saying(model, table), *_believing(prediction, known_table)]
    report = validated(
        ReportSection, {**model.run.variant.report.model_dump(), **sections.get("report", {})}, "[report]"
    )
    # Intervals draw whole groups where the table names them: rows of one group are related.
    groups = _groups(known_table)
    metrics = evaluate_single(target, scores[known], prediction.mean, report, bounds, groups)
    if model.is_of_store:
        message = "which of these rows were trained on is not known, as the run learnt from a store; their scores may flatter it"
        findings.append(finding("seen-unknown", "info", message))
    if seen.any():
        message = f"{int(seen.sum()):,} of {len(known):,} rows have inputs that this run was trained on; their scores flatter it"
        findings.append(finding("seen-in-training", "warning", message, known_table.row_numbers[seen]))
        if not seen.all():
            own = None if bounds is None else bounds[~seen]
            rest = None if groups is None else groups[~seen]
            unseen = evaluate_single(target, scores[known][~seen], prediction.mean[~seen], report, own, rest)
            metrics["unseen"] = {"rows": int((~seen).sum()), "metrics": unseen["metrics"]}
    return {
        "command": "evaluate",
        "path": model.folder.as_posix(),
        "seconds": round(time.monotonic() - started, 3),
        "rows": len(known),
        "unused": table.n_rows - len(known),
        "members": len(model.members),
        **metrics,
        "by_identity": _by_identity(target, prediction.take(~seen), known_table.take(np.flatnonzero(~seen))),
        "findings": [each.as_json() for each in findings],
    }


def _by_identity(target: Target, prediction: Prediction, table: Table) -> dict[str, Any] | None:
    """The error that the run states at each identity to training rows against that of rows it has not seen."""
    known = prediction.uncertainty
    if known is None or known.domain is None or prediction.identity is None:
        return None
    scale = replace(target, transform=known.scale.transform)
    predicted = prediction.mean
    if scale.transform != target.transform:
        predicted = scale.to_score(target.to_original(predicted))
    scores, bounds = scale.read(table), scale.bounds(table)
    scores = scores if bounds is None else np.where(bounds == 0, scores, np.nan)
    error = errors_of(target, known.scale, scores, predicted)
    is_share = target.task != "regression"
    return {
        "error": known.scale.name,
        "likeness": known.facts["likeness"],
        "bands": known.domain.held_against(prediction.identity, error, is_share=is_share),
    }


def _groups(table: Table) -> np.ndarray | None:
    """The group of each row, int64 (N,), a row without one by itself; None without a group column."""
    if table.roles.group is None:
        return None
    codes = table.text(table.roles.group).dictionary_encode().indices
    return np.where(codes.is_null(), -1 - np.arange(len(codes)), codes.fill_null(0)).astype(np.int64)


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


def _opened(
    folder: Path, source: Any, sections: Sections, *, with_targets: bool = False, precision: str = ""
) -> tuple[Model, Table]:
    model = Model(folder, sections.get("encoder"), precision)
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


def _worth_saying(model: Model, table: Table) -> list[Finding]:
    return [each for each in (*table.findings, *model.findings(table)) if each.severity != "info"]
