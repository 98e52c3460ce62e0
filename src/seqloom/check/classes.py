"""Which target columns hold classes, and the findings about classes that are rare or uneven.

Told from the values alone, as `[target] task = "auto"` is: findings are worded, and rows merged, before the task is settled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.findings import N_NAMED_ROWS, Finding
from seqloom.read.numbers import parsed

if TYPE_CHECKING:
    from seqloom.table import Table

MOST_CODED_CLASSES = 30
"""Whole numbers with more distinct values than this are measurements, not codes of classes."""
FEWEST_ROWS = 10
"""A class of fewer rows has one or two in a test part: too few to learn from, or to be scored on."""
SMALL_TABLE = 50
"""In a table of fewer rows every class is small, which needs no saying."""
UNEVEN = 10
"""How many times larger the largest class is than the smallest before it is worth a word."""


class Classes(NamedTuple):
    """A column of classes."""

    names: tuple[str, ...]
    codes: np.ndarray  # int64 (N,): index into names, -1 where missing


def class_targets(table: Table) -> tuple[str, ...]:
    """The target columns that hold classes: a single one of any number, several only if each has two; none with bounds."""
    names = table.roles.targets
    counts = [0 if name in table.bounds else n_classes(table.data[name]) for name in names]
    return names if counts and (all(each == 2 for each in counts) or (len(names) == 1 and counts[0])) else ()


def n_classes(column: pa.ChunkedArray | pa.Array) -> int:
    """How many classes a column holds, 0 if it holds measurements: what `[target] task = "auto"` goes by.

    Classes are names, truths, two of -1, 0, 1 and 2, or few whole numbers from 0 on of five rows each in the mean.
    """
    if pa.types.is_nested(column.type) or column.null_count == len(column):
        return 0
    values, odd = parsed(column)
    known = ~np.isnan(values)
    if odd.any():  # a few words among numbers are mistakes, many are names of classes
        return len(classes_of(column).names) if odd.sum() > 0.2 * (known.sum() + odd.sum()) else 0
    distinct = np.unique(values[known])
    if pa.types.is_boolean(column.type) or (len(distinct) == 2 and set(distinct.tolist()) <= {0.0, 1.0, 2.0, -1.0}):
        return len(distinct)
    whole = bool(np.all(distinct == np.round(distinct)))
    coded = whole and 2 < len(distinct) <= MOST_CODED_CLASSES and len(column) >= 5 * len(distinct)
    return len(distinct) if coded and distinct[0] >= 0 and distinct[-1] <= 2 * MOST_CODED_CLASSES else 0


def classes_of(column: pa.ChunkedArray | pa.Array) -> Classes:
    """The classes of a column in sorted order; whole numbers are written without a point."""
    values, odd = parsed(column)
    if not odd.any() and not pa.types.is_boolean(column.type):
        numbers, codes = np.unique(values, return_inverse=True)  # NaN, if there is one, stands last
        known = numbers[~np.isnan(numbers)]
        return Classes(tuple(f"{each:g}" for each in known), np.where(codes < len(known), codes, -1).astype(np.int64))
    text = pc.utf8_trim_whitespace(column.cast(pa.large_string()))
    text = pc.if_else(pc.equal(text, ""), None, text)
    text = text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text
    names = sorted(pc.unique(text.drop_null()).to_pylist())
    codes = pc.index_in(text, pa.array(names, pa.large_string()))
    return Classes(tuple(names), pc.fill_null(codes, -1).to_numpy(zero_copy_only=False).astype(np.int64))


def uneven_classes(table: Table) -> list[Finding]:
    """A warning about classes with too few rows, or else a word about shares that make accuracy a poor measure."""
    found: list[Finding] = []
    counted = []
    for name in class_targets(table):
        classes = classes_of(table.data[name])
        counts = np.bincount(classes.codes[classes.codes >= 0], minlength=len(classes.names))
        if len(counts) > 1:
            counted.append((name, classes.names, counts))
    rare = [
        (int(count), f"{each!r}" if len(counted) == 1 else f"{each!r} of {name!r}")
        for name, names, counts in counted
        for each, count in zip(names, counts, strict=True)
        if count < FEWEST_ROWS and counts.sum() >= SMALL_TABLE
    ]
    if rare:
        found.append(_rare(table, [name for name, _, _ in counted], rare))
    elif counted:
        name, names, counts = max(counted, key=lambda each: each[2].max() / each[2].min())
        if counts.max() >= UNEVEN * counts.min():
            found.append(_uneven(table, name, names, counts, n_targets=len(counted)))
    return found


def _rare(table: Table, targets: list[str], rare: list[tuple[int, str]]) -> Finding:
    rare.sort(key=lambda each: each[0])
    listed = ", ".join(f"{name} ({count})" for count, name in rare[:N_NAMED_ROWS])
    more = f", ... ({len(rare)} in all)" if len(rare) > N_NAMED_ROWS else ""
    where = f"classes of {targets[0]!r} have" if len(targets) == 1 else f"classes of {len(targets)} targets have"
    message = (
        f"{table.source.name}: {len(rare)} {where} fewer than {FEWEST_ROWS} rows: {listed}{more}; too few to learn from or to "
        "be scored on: merge them with others, or leave them out with --where"
    )
    return Finding("rare-classes", "warning", message, len(rare))


def _uneven(table: Table, name: str, names: tuple[str, ...], counts: np.ndarray, *, n_targets: int) -> Finding:
    low, high, total = int(counts.argmin()), int(counts.argmax()), int(counts.sum())
    among = f", the most uneven of {n_targets} targets," if n_targets > 1 else ""
    message = (
        f"{table.source.name}: the smallest class of {name!r}{among} is {names[low]!r} with {counts[low]:,} of {total:,} rows "
        f"({counts[low] / total:.2g}), the largest {names[high]!r} with {counts[high]:,} ({counts[high] / total:.2g}): "
        "accuracy says little here; look at balanced_accuracy, mcc or average_precision"
    )
    return Finding("uneven-classes", "info", message, int(counts[low]))
