"""Findings about rows that repeat: identifiers, inputs, and inputs with other targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from seqloom.check.classes import class_targets
from seqloom.check.noise import noise
from seqloom.check.rows import row_finding
from seqloom.findings import Finding
from seqloom.read.numbers import parsed
from seqloom.read.section import ReplicateRule

if TYPE_CHECKING:
    from seqloom.table import Table


def repeats(table: Table, rule: ReplicateRule = "keep") -> list[Finding]:
    """Repeated identifiers; rows with the inputs of an earlier row; among equal rows those whose targets differ, and by how
    much where targets are numbers. `rule` is what will be done about them."""
    found = _duplicate_ids(table)
    codes = input_codes(table)
    if codes is None:
        return found
    rows = _repeats(pa.array(codes))
    if not len(rows):
        return found
    columns = _inputs(table)
    found.append(
        row_finding(table, "duplicate-inputs", "info", f"rows repeat the inputs ({columns}) of an earlier row", rows)
    )
    classes = class_targets(table)
    for target in table.roles.targets:
        differing = _differing(codes, table.data[target])
        if not len(differing):
            continue
        message = f"rows have equal inputs ({columns}) and different values of {target!r}"
        if len(differing) > table.n_rows / 2:
            message += (
                " (if another column tells them apart, such as a mutation or an allele, add --set data.context=COLUMN)"
            )
        found.append(row_finding(table, "conflicting-targets", "warning", message, differing))
        if target not in classes:
            found += noise(table, codes, target, rule)
    return found


def input_codes(table: Table) -> np.ndarray | None:
    """A number for each row, int64 (N,), equal where all inputs are; None where a covariate that is no number forbids it."""
    if not table.roles.sequences or any(not _is_numeric(table, name) for name in table.roles.covariates):
        return None
    return np.asarray(table.input_keys().dictionary_encode().indices.to_numpy(zero_copy_only=False), np.int64)


def _inputs(table: Table) -> str:
    return ", ".join(map(repr, (*table.roles.sequences, *table.roles.covariates, *table.roles.context)))


def _duplicate_ids(table: Table) -> list[Finding]:
    if table.roles.id is None:
        return []
    values = table.text(table.roles.id).dictionary_encode()
    rows = _repeats(values.indices)
    if not len(rows):
        return []
    return [
        row_finding(table, "duplicate-ids", "warning", f"rows repeat an identifier of column {table.roles.id!r}", rows)
    ]


def _repeats(codes: pa.Array) -> np.ndarray:
    """Rows (from 0) whose code, not null, occurred before, int64."""
    known = np.flatnonzero(codes.is_valid().to_numpy(zero_copy_only=False))
    values = codes.drop_null().to_numpy(zero_copy_only=False)
    _, first = np.unique(values, return_index=True)
    later = np.ones(len(values), bool)
    later[first] = False
    return known[later]


def _differing(keys: np.ndarray, target: pa.ChunkedArray) -> np.ndarray:
    """Rows (from 0) whose key has more than one value of the target; missing values do not count."""
    values = target.combine_chunks()
    if pa.types.is_nested(values.type):
        return np.zeros(0, np.int64)
    codes = values.dictionary_encode().indices
    known = codes.is_valid().to_numpy(zero_copy_only=False)
    numbers = codes.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    n_keys = int(keys.max(initial=-1)) + 1
    low = np.full(n_keys, np.iinfo(np.int64).max)
    high = np.full(n_keys, -1)
    np.minimum.at(low, keys[known], numbers[known])
    np.maximum.at(high, keys[known], numbers[known])
    return np.flatnonzero((low < high)[keys] & known)


def _is_numeric(table: Table, name: str) -> bool:
    return not parsed(table.data[name].combine_chunks())[1].any()
