"""The facts of a table and its target that a run folder and `inspect` show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute as pc

from seqloom.table import DataSection, Table, read_source
from seqloom.target import Target, class_names
from seqloom.tokens import ragged_bytes

HISTOGRAM_BINS = 30


def data_facts(table: Table, target: Target | None, section: DataSection) -> dict[str, Any]:
    """`data.json`: source, rows, roles, alphabets, lengths, target, findings."""
    return {
        "source": table.source.as_json(),
        "test_source": read_source(section.test).as_json() if section.test else None,
        "patch_source": read_source(section.patch).as_json() if section.patch else None,
        "added_sources": {name: read_source(path).as_json() for name, path in section.add.items()},
        "lookup_sources": {name: read_source(path).as_json() for name, path in section.lookup.items()},
        "where": section.where,
        "rows": table.n_rows,
        "roles": roles_json(table),
        "alphabets": {column: alphabet.name for column, alphabet in table.alphabets.items()},
        "lengths": {column: _lengths(sequence_lengths(table, column)) for column in table.roles.sequences},
        "target": target_facts(table, target) if target is not None else None,
        "findings": [each.as_json() for each in table.findings],
    }


def sequence_lengths(table: Table, column: str) -> np.ndarray:
    """Symbols of each sequence, int64 (N,), whether or not the alphabet knows them all."""
    return np.diff(ragged_bytes(table.sequences(column))[1])


def roles_json(table: Table) -> dict[str, Any]:
    """Roles by name, as plain lists and text."""
    return {
        name: list(value) if isinstance(value, tuple) else dict(value) if name == "reasons" else value
        for name, value in vars(table.roles).items()
    }


def target_facts(table: Table, target: Target) -> dict[str, Any]:
    """Task, classes, transform, and for every column its values in short."""
    return {
        "task": target.task,
        "columns": list(target.columns),
        "classes": list(target.classes) or None,
        "transform": target.transform,
        "units_of_scores": target.scale_name,
        "positive_below": target.positive_below,
        "positive_above": target.positive_above,
        "summary": {column: _column(table, target, column) for column in target.columns},
    }


def _column(table: Table, target: Target, column: str) -> dict[str, Any]:
    if target.task != "regression":
        names = class_names(table, column)
        counted = pc.value_counts(names.drop_null()).to_pylist()
        counts = {str(each["values"]): int(each["counts"]) for each in counted}
        return {
            "n": len(names) - names.null_count,
            "n_missing": names.null_count,
            "counts": dict(sorted(counts.items())),
        }
    values = table.numeric(column)
    known = values[~np.isnan(values)]
    bounds = table.bounds.get(column, np.zeros(0, np.int8))
    return {
        "n": len(known),
        "n_missing": len(values) - len(known),
        "n_bounds": {"<": int((bounds < 0).sum()), ">": int((bounds > 0).sum())},
        "min": float(known.min()),
        "median": float(np.median(known)),
        "max": float(known.max()),
        "mean": float(known.mean()),
        "histogram": _histogram(known),
    }


def _lengths(lengths: np.ndarray) -> dict[str, Any]:
    return {
        "min": int(lengths.min(initial=lengths.max(initial=0))),
        "median": float(np.median(lengths)) if len(lengths) else 0.0,
        "max": int(lengths.max(initial=0)),
        "histogram": _histogram(lengths),
    }


def _histogram(values: np.ndarray) -> dict[str, list[float]]:
    counts, edges = np.histogram(values, bins=HISTOGRAM_BINS)
    return {"edges": edges.tolist(), "counts": counts.tolist()}
