"""Which text columns are numbers: int64, float64 or bool where every value says so, text otherwise.

Conservative on purpose. Whole numbers become int64 only when they are written the way int64 would be, so that identifiers
such as `007` keep their zeros; a column with one odd value stays text, and `parsed` names the value when a number is needed.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MISSING_WORDS = ("", "NA", "N/A", "#N/A", "n/a", "na", "NaN", "nan", "-nan", "NULL", "null", "None", "none")
"""Words that mean "no number" in a column of numbers."""
MISSING_CLASSES = ("", "NA", "N/A", "#N/A", "n/a", "NaN", "nan", "NULL", "null")
"""Words that mean "no class" in a column of classes, where `none` may well be a class."""
NUMBER = r"^[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[iI][nN][fF]([iI][nN][iI][tT][yY])?)$"
WHOLE = r"^(0|-?[1-9]\d{0,17})$"
CODE = r"^[+-]?(0\d|\d{19,}$)"  # written with leading zeros, or with more digits than a number keeps
BOOLEAN = r"^([tT]rue|TRUE|[fF]alse|FALSE)$"
N_SAMPLED = 64
"""Values looked at first: most text columns are known for text by then."""


def typed(table: pa.Table) -> pa.Table:
    """The table with text columns of numbers turned to int64, float64 or bool, and empty text to null."""
    columns = [typed_column(column) if is_text(column.type) else column for column in table.columns]
    return pa.table(columns, names=table.column_names)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds text."""
    return pa.types.is_large_string(kind) or pa.types.is_string(kind)


def typed_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """One text column (N,) by its values: int64, bool, float64, or text with null where it is empty."""
    head = present(column.slice(0, N_SAMPLED), MISSING_WORDS).drop_null()
    if len(head) and not (_all_match(head, NUMBER) or _all_match(head, BOOLEAN)):
        return _blank_to_null(column)
    values = present(column, MISSING_WORDS)
    known = values.drop_null()
    if len(known) == 0:
        return _blank_to_null(column)
    if _all_match(known, WHOLE):
        return values.cast(pa.int64())
    if _all_match(known, BOOLEAN):
        return pc.utf8_lower(values).cast(pa.bool_())
    if _all_match(known, NUMBER) and not pc.any(pc.match_substring_regex(known, CODE)).as_py():
        return values.cast(pa.float64())
    return _blank_to_null(column)


def present(column: pa.ChunkedArray | pa.Array, missing: tuple[str, ...]) -> pa.ChunkedArray | pa.Array:
    """Text (N,) without white space around it, null where it is one of the `missing` words."""
    trimmed = pc.utf8_trim_whitespace(column)
    absent = pc.is_in(trimmed, pa.array(missing, trimmed.type))
    return pc.if_else(absent, None, trimmed) if pc.any(absent).as_py() else trimmed


def parsed(column: pa.ChunkedArray | pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Numbers float64 (N,), NaN where missing, and bool (N,), True where a value is there and is no number.

    Numbers, booleans (1 and 0) and text are taken; other kinds are no numbers where they are not null.
    """
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif is_text(kind):
        return _parsed_text(column)
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return np.full(len(column), np.nan), column.is_valid().to_numpy(zero_copy_only=False)
    values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.asarray(values, np.float64), np.zeros(len(column), bool)


def _parsed_text(column: pa.ChunkedArray | pa.Array) -> tuple[np.ndarray, np.ndarray]:
    values = present(column, MISSING_WORDS)
    numeric = pc.fill_null(pc.match_substring_regex(values, NUMBER), True)
    odd = ~np.asarray(numeric.to_numpy(zero_copy_only=False), bool)
    numbers = pc.if_else(numeric, values, None).cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.asarray(numbers, np.float64), odd


def _all_match(values: pa.ChunkedArray | pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(values, pattern), min_count=0).as_py())


def _blank_to_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    blank = pc.equal(column, "")
    return pc.if_else(blank, None, column) if pc.any(blank).as_py() else column
