"""Censored targets: which values of a table are bounds of the true one rather than the value itself.

A bound is told by a sign before the number (`>20000`), by a column of signs beside it, or by a limit of the assay that the
user names (`[target] cap_above`, `cap_below`). Here they become `Table.bounds`; what a model and a metric make of them is
decided where they are fitted and scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.check.classes import MOST_CODED_CLASSES, n_classes
from seqloom.check.rows import row_finding
from seqloom.errors import ConfigError, DataError
from seqloom.findings import Finding
from seqloom.read.numbers import parsed, typed_column
from seqloom.read.section import Censoring
from seqloom.read.signs import has_signs, prefixes, signs, unsigned

if TYPE_CHECKING:
    from seqloom.table import Table

AT_MOST, EXACT, AT_LEAST = -1, 0, 1
"""The true value is at most, is, or is at least what is written."""
SYMBOLS = {AT_MOST: "<", EXACT: "", AT_LEAST: ">"}


def with_bounds(table: Table, censoring: Censoring) -> Table:
    """The table with `bounds`, and without signs before the numbers of its targets; trouble is added to its findings.

    A column of signs speaks of a single target of numbers. A sign before a number counts rather than the column's; a limit
    counts for exact values only. Missing values are no bounds. ConfigError where settings cannot mean these targets.
    """
    _refuse_misfits(table, censoring)
    found: list[Finding] = []
    signed = [name for name in table.roles.targets if _is_signed(table.data[name])]
    bounds: dict[str, np.ndarray] = {}
    beside = _beside(table, censoring, signed)
    for name in table.roles.targets:
        own = beside.copy() if beside is not None else np.zeros(table.n_rows, np.int8)
        if name in signed:
            own = _with_prefixes(table, name, own, found)
            table = table.with_column(name, typed_column(unsigned(table.data[name])))
        values, odd = parsed(table.data[name])
        own = _capped(own, values, censoring)
        own[np.isnan(values) | odd] = EXACT
        if own.any():
            bounds[name] = own
    return replace(table, bounds=bounds, signed=tuple(signed), findings=(*table.findings, *found))


def symbols(bounds: np.ndarray) -> pa.Array:
    """`<`, `>` or nothing for each of the bounds (N,), text (N,)."""
    words = pa.array([SYMBOLS[sign] for sign in sorted(SYMBOLS)], pa.string())
    return words.take(pa.array(bounds.astype(np.int64) - AT_MOST))


def as_written(table: Table) -> pa.Table:
    """The columns of the table with the signs put back before the numbers they were read from, as `<5` and `>5`."""
    data = table.data
    for name in table.signed:
        numbers = data[name].cast(pa.large_string()).combine_chunks()
        own = symbols(table.bounds.get(name, np.zeros(table.n_rows, np.int8))).cast(pa.large_string())
        text = pc.binary_join_element_wise(own, numbers, pa.scalar("", pa.large_string()))
        data = data.set_column(data.column_names.index(name), name, text)
    return data


def refuse_all_bounds(table: Table, columns: Sequence[str], folds: Sequence[np.ndarray], use: str) -> None:
    """DataError if a target column has nothing but bounds in the rows that a fold has for some `use` (training, test).

    `folds`: rows (int) of every fold.
    """
    for name in columns:
        own = table.bounds.get(name)
        if own is None:
            continue
        known = ~np.isnan(table.numeric(name))
        for fold, rows in enumerate(folds):
            held = rows[known[rows]]
            if len(held) and (own[held] != EXACT).all():
                where = f"{table.source.name}: column {name!r}" + (f", fold {fold}" if len(folds) > 1 else "")
                raise DataError(all_bounds(where, own[held], f"{use} rows"))


def all_bounds(where: str, bounds: np.ndarray, what: str) -> str:
    """The message about rows that are bounds without exception; `bounds` (N,) of original values."""
    counts = [f"{int((bounds == sign).sum()):,} {SYMBOLS[sign]!r}" for sign in (AT_MOST, AT_LEAST)]
    return (
        f"{where}: all known values of the {what} are bounds ({' and '.join(counts)}), and none is measured: there is nothing to "
        "learn from, or to score against; use another partition or target, or other limits"
    )


def _is_signed(column: pa.ChunkedArray) -> bool:
    """Whether signs before numbers are bounds among measurements, and no names of classes such as `<50` and `>=50`."""
    if not has_signs(column):
        return False
    there = prefixes(column)[1]
    values, odd = parsed(unsigned(column))
    if odd.sum() > 0.2 * (~np.isnan(values) | odd).sum():
        return False
    known = ~np.isnan(values)
    n_exact, n_numbers = len(np.unique(values[~there & known])), len(np.unique(values[known]))
    n_words = pc.count_distinct(column).as_py()
    if n_exact > 1 or n_words == 1 or n_words > MOST_CODED_CLASSES:
        return True
    return n_exact == 1 and n_words == n_numbers  # `<5`, `5` and `>5` are three classes


def _with_prefixes(table: Table, name: str, beside: np.ndarray, found: list[Finding]) -> np.ndarray:
    """The signs of a column (N,): those before its numbers, else those beside it."""
    own, there = prefixes(table.data[name].combine_chunks())
    contrary = np.flatnonzero(own * beside < 0)
    if len(contrary):
        what = f"rows have a sign before the value of {name!r} that contradicts column {table.roles.inequality!r}"
        found.append(row_finding(table, "contrary-signs", "error", what, contrary))
    return np.where(there & (own != EXACT), own, beside)


def _beside(table: Table, censoring: Censoring, signed: list[str]) -> np.ndarray | None:
    """What the column of signs says of the target, int8 (N,); None if there is none, or it cannot be of this target."""
    if table.roles.inequality is None or len(table.roles.targets) != 1:
        return None
    own, name = signs(table.data[table.roles.inequality])[0], table.roles.targets[0]
    # Of two classes, or of names, it speaks of another column; codes of more classes may well be measurements.
    is_classes = n_classes(table.data[name]) == 2 or parsed(table.data[name])[1].mean() > 0.2
    return None if is_classes and name not in signed and not censoring.inequality else own


def _capped(own: np.ndarray, values: np.ndarray, censoring: Censoring) -> np.ndarray:
    exact = own == EXACT
    own = own.copy()
    with np.errstate(invalid="ignore"):
        if censoring.cap_above is not None:
            own[exact & (values >= censoring.cap_above)] = AT_LEAST
        if censoring.cap_below is not None:
            own[exact & (values <= censoring.cap_below)] = AT_MOST
    return own


def _refuse_misfits(table: Table, censoring: Censoring) -> None:
    low, high = censoring.cap_below, censoring.cap_above
    if low is not None and high is not None and low >= high:
        raise ConfigError(
            f"[target] cap_below = {low:g} and cap_above = {high:g}: every value is beyond one of them; cap_below is the smaller"
        )
    if censoring.inequality and len(table.roles.targets) > 1:
        raise ConfigError(
            f"[target] inequality = {censoring.inequality!r} is the column of signs of one target, and there are "
            f"{len(table.roles.targets)}; write the signs before their values (>20000)"
        )
