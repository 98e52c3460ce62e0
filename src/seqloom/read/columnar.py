"""Parquet, Arrow IPC and DataFrames: columns that already have types.

Types are brought to the few the rest knows: int64, float64, bool, large_string. DataFrames (polars, pandas 2.2 and later,
pyarrow, ...) come through the Arrow PyCapsule interface, so none of these libraries is imported.
"""

from __future__ import annotations

import hashlib
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.errors import DataError
from seqloom.read.source import Contents, Source
from seqloom.tokens import ragged_bytes

PARQUET = b"PAR1"
ARROW_FILE = b"ARROW1"
ARROW_STREAM = b"\xff\xff\xff\xff"
PANDAS_INDEX = "__index_level_"
"""What pandas calls an index without a name when it hands it over as a column; row numbers, not data."""


@runtime_checkable
class ArrowStream(Protocol):
    """Any object that hands out its columns through the Arrow PyCapsule interface."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """A PyCapsule around an ArrowArrayStream."""


def columnar_format(contents: Contents) -> str:
    """`parquet` or `arrow` by the first bytes, else empty."""
    start = contents.buffer.slice(0, min(8, contents.buffer.size)).to_pybytes()
    if start.startswith(PARQUET):
        return "parquet"
    return "arrow" if start.startswith((ARROW_FILE, ARROW_STREAM)) else ""


def read_columnar(contents: Contents) -> pa.Table:
    """The columns of a Parquet or Arrow IPC file (file or stream); DataError if it is damaged."""
    kind = columnar_format(contents)
    try:
        if kind == "parquet":
            import pyarrow.parquet

            return plain(pyarrow.parquet.read_table(pa.BufferReader(contents.buffer)), contents.name)
        is_file = contents.buffer.slice(0, 6).to_pybytes() == ARROW_FILE
        opened = pa.ipc.open_file if is_file else pa.ipc.open_stream
        with opened(contents.buffer) as reader:
            return plain(reader.read_all(), contents.name)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{contents.name}: this {kind} file is damaged: {error}") from None


def read_frame(frame: ArrowStream) -> tuple[pa.Table, Source]:
    """The columns of a DataFrame, and its source: what it is, and the SHA-256 of what its columns hold."""
    name = f"{type(frame).__module__.partition('.')[0]}.{type(frame).__name__}"
    table = pa.table(frame)
    table = plain(table.drop_columns([each for each in table.column_names if each.startswith(PANDAS_INDEX)]), name)
    return table, Source("", name, _content_hash(table), "dataframe")


def plain(table: pa.Table, name: str) -> pa.Table:
    """The table with int64, float64 (NaN as null), bool and large_string columns; lists and structs are left as they are.

    Raises DataError for repeated column names and for a table without a column or a row.
    """
    names = table.column_names
    repeated = sorted({each for each in names if names.count(each) > 1})
    if repeated:
        raise DataError(f"{name}: every column needs a name of its own; repeated: {', '.join(map(repr, repeated))}")
    if not names or not table.num_rows:
        raise DataError(
            f"{name}: there are {len(names)} columns and {table.num_rows} rows; a table needs at least one row"
        )
    return pa.table([_plain_column(column) for column in table.columns], names=names)


def _plain_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_integer(kind):
        # uint64 beyond int64 stays a number, at the price of its last digits
        return column.cast(pa.float64() if pa.types.is_uint64(kind) and _is_huge(column) else pa.int64())
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = column.cast(pa.float64())
        is_nan = pc.is_nan(numbers)
        return pc.if_else(is_nan, None, numbers) if pc.any(is_nan).as_py() else numbers
    if pa.types.is_boolean(kind) or pa.types.is_nested(kind):
        return column
    try:
        return column.cast(pa.large_string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # raw bytes and the like: nobody's input, kept as they are
        return column


def _is_huge(column: pa.ChunkedArray) -> bool:
    largest = pc.max(column).as_py()
    return largest is not None and largest > np.iinfo(np.int64).max


def _content_hash(table: pa.Table) -> str:
    """SHA-256 of names, types and values; chunks, and the bytes that lie under missing values, make no difference."""
    digest = hashlib.sha256()
    for name, column in zip(table.column_names, table.columns, strict=True):
        digest.update(f"{name}\0{column.type}\0{len(column)}\0".encode())
        digest.update(pc.is_null(column).to_numpy().tobytes())
        if pa.types.is_large_string(column.type):
            text, offsets = ragged_bytes(column)
            digest.update(offsets.tobytes())
            digest.update(text.tobytes())
        elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type):
            nothing = False if pa.types.is_boolean(column.type) else 0
            digest.update(column.fill_null(nothing).to_numpy().tobytes())
        else:
            digest.update(repr(column.to_pylist()).encode())
    return digest.hexdigest()
