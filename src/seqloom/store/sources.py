"""The tables a store is made of, one after the other in pieces of bounded size: CSV and TSV (also compressed), Parquet, Arrow.

All are looked at before the first row is read, so that a table of another kind stops nothing half-way. What columns mean is
decided in `seqloom.store.intake`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from seqloom.errors import ConfigError, DataError
from seqloom.findings import N_NAMED_ROWS
from seqloom.read.columnar import ARROW_FILE, ARROW_STREAM, PARQUET
from seqloom.read.delimited import read_header
from seqloom.read.source import BYTE_ORDER_MARK, COMPRESSIONS, REFUSED, Contents, locate
from seqloom.registry import nearest

Role = Literal["sequence", "target", "component", "entity"]
HEAD = 1 << 20
"""Bytes of a delimited file in which its header is looked for, and by which its rows are guessed."""
PAGE = 1 << 20
"""Bytes of a column of a Parquet file held at once."""
TEXT_RATIO = 5
"""How many times its compressed size a text is taken to be, where the number of its rows is guessed."""


class Shard(NamedTuple):
    """One table of several."""

    path: Path
    name: str
    """As messages call it."""
    format: Literal["parquet", "arrow", "delimited"]
    compression: str | None
    types: Mapping[str, pa.DataType]
    """Of every column; text in a delimited file."""
    bytes: int
    rows: int
    """A guess where it is not written in the file."""
    row_bytes: int
    """Bytes of a row that is read whole, about."""


def look_at(tables: Sequence[str | Path]) -> list[Shard]:
    """All tables, opened but not read; DataError with everything that is wrong with them."""
    shards, wrong = [], []
    for given in tables:
        try:
            shards.append(_shard(str(given)))
        except DataError as error:
            wrong.append(str(error))
    if wrong:
        raise DataError("\n".join(wrong[:N_NAMED_ROWS] + [f"and {len(wrong) - N_NAMED_ROWS} more"] * (len(wrong) > 5)))
    if not shards:
        raise ConfigError("pack: name a table, or several")
    return shards


def check_columns(shards: Sequence[Shard], roles: Mapping[str, Role]) -> None:
    """DataError unless every table has all columns of `roles`, of a type that can have that role."""
    wrong = []
    for shard in shards:
        for column, role in roles.items():
            if column not in shard.types:
                wrong.append(f"{shard.name}: no column {column!r}{nearest(column, list(shard.types))}")
            elif not _fits(shard.types[column], role):
                wrong.append(f"{shard.name}: column {column!r} is {shard.types[column]}, and {_WANTED[role]}")
    if wrong:
        more = [f"  and {len(wrong) - N_NAMED_ROWS} more"] * (len(wrong) > N_NAMED_ROWS)
        head = f"{len({line.partition(': ')[0] for line in wrong})} of {len(shards)} tables do not fit; nothing was written"
        raise DataError("\n".join([f"{head}:", *(f"  {line}" for line in wrong[:N_NAMED_ROWS]), *more]))


def batches(
    shard: Shard, columns: Sequence[str], size: int, start: int = 0, shared: Collection[str] = ()
) -> Iterator[pa.Table]:
    """Rows `start`, `start` + 1, ... of a table in pieces that end at multiples of `size` rows.

    Columns that are `shared` hold few names, and may come as dictionaries.
    DataError where the file is damaged, naming the row up to which it could be read.
    """
    at, wanted = start, list(columns)
    if shard.format == "parquet":
        tables = _parquet(shard, wanted, size, start, [each for each in shared if is_text(shard.types[each])])
    else:
        tables = (_arrow if shard.format == "arrow" else _delimited)(shard, wanted, start)
    try:
        for table in _on_grid(tables, start, size):
            yield table
            at += table.num_rows
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, pa.ArrowException):
            raise
        raise DataError(f"{shard.name}: damaged after row {at:,}, or not what its name says ({error})") from None


def stamp(shard: Shard) -> str:
    """What tells whether a file is still the one it was: size, time and a hash of both its ends."""
    with shard.path.open("rb") as file:
        ends = file.read(PAGE // 16)
        file.seek(max(shard.bytes - PAGE // 16, 0))
        ends += file.read()
    return f"{shard.bytes}-{shard.path.stat().st_mtime_ns}-{hashlib.sha256(ends).hexdigest()[:16]}"


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds text, also where it is told by numbers in a dictionary."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


_WANTED = {
    "sequence": "a sequence is text",
    "target": "a target is 0, 1 or nothing: numbers, true and false, or text",
    "component": "a component is a name: text or whole numbers",
    "entity": "the name of a target is text or a whole number",
}


def _fits(kind: pa.DataType, role: Role) -> bool:
    if is_text(kind) or pa.types.is_null(kind):
        return True
    if role == "target":
        numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        return bool(numeric or pa.types.is_boolean(kind))
    return role != "sequence" and bool(pa.types.is_integer(kind))


def _shard(given: str) -> Shard:
    path = locate(given)
    if path.is_dir():
        raise DataError(f"{given}: this is a folder; name the tables in it, such as {given.rstrip('/')}/*.parquet")
    if not path.is_file():
        names = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"{given}: there is no such file{nearest(path.name, names)}")
    size = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(8)
    if not magic:
        raise DataError(f"{given}: the file is empty")
    if refused := next((why for start, why in REFUSED.items() if magic.startswith(start)), None):
        raise DataError(f"{given}: this is {refused}")
    compression = next((kind for start, kind in COMPRESSIONS.items() if magic.startswith(start)), None)
    try:
        if magic.startswith(PARQUET):
            return _parquet_shard(path, given, size)
        if magic.startswith((ARROW_FILE, ARROW_STREAM)):
            return _arrow_shard(path, given, size)
        return _delimited_shard(path, given, size, compression)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{given}: this file is damaged or was not written to its end ({error})") from None


def _parquet_shard(path: Path, name: str, size: int) -> Shard:
    with pyarrow.parquet.ParquetFile(path) as file:
        schema, found = file.schema_arrow, file.metadata
        whole = sum(found.row_group(group).total_byte_size for group in range(found.num_row_groups))
        types = _types(schema, name)
        return Shard(path, name, "parquet", None, types, size, found.num_rows, whole // max(found.num_rows, 1))


def _arrow_shard(path: Path, name: str, size: int) -> Shard:
    with pa.memory_map(str(path)) as mapped, _opened(mapped) as reader:
        types = _types(reader.schema, name)
        is_file = hasattr(reader, "num_record_batches")
        many = reader.num_record_batches if is_file else 1
        first = (reader.get_batch(0) if is_file else next(iter(reader), None)) if many else None
        rows = len(first) if first is not None else 0
        row_bytes = first.nbytes // rows if first is not None and rows else 0
        guess = rows * many if is_file else size // max(row_bytes, 1)
        return Shard(path, name, "arrow", None, types, size, guess, row_bytes)


def _types(schema: pa.Schema, name: str) -> dict[str, pa.DataType]:
    repeated = sorted({each for each in schema.names if schema.names.count(each) > 1})
    if repeated:
        raise DataError(f"{name}: every column needs a name of its own; repeated: {', '.join(map(repr, repeated))}")
    return dict(zip(schema.names, schema.types, strict=True))


def _delimited_shard(path: Path, name: str, size: int, compression: str | None) -> Shard:
    with path.open("rb") as file, _text(file, compression) as stream:
        head = stream.read(HEAD)
    marked = head.startswith(BYTE_ORDER_MARK)
    body = head[3:] if marked else head
    if body.startswith(b">"):
        raise DataError(f"{name}: FASTA files cannot be packed; write a table with a column of sequences")
    header = read_header(Contents(name, name, "", compression, pa.py_buffer(body), marked))
    lines = max(body.count(b"\n") - header.lines, 1)
    row_bytes = max(len(body) // lines, 1)
    whole = len(head) if len(head) < HEAD else size * (TEXT_RATIO if compression else 1)
    types = dict.fromkeys(header.names, pa.large_string())
    return Shard(path, name, "delimited", compression, types, size, whole // row_bytes, row_bytes)


def _parquet(shard: Shard, columns: list[str], size: int, start: int, shared: list[str]) -> Iterator[pa.Table]:
    # the buffer keeps pages, not whole columns of a row group, in memory
    with pyarrow.parquet.ParquetFile(shard.path, read_dictionary=shared, buffer_size=PAGE, pre_buffer=False) as file:
        counts = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        first, passed = 0, 0
        while first < len(counts) and passed + counts[first] <= start:
            passed += counts[first]
            first += 1
        groups = list(range(first, len(counts)))
        if groups:
            reader = file.iter_batches(size, row_groups=groups, columns=columns, use_threads=False)
            yield from _after(map(_as_table, reader), start - passed)


def _arrow(shard: Shard, columns: list[str], start: int) -> Iterator[pa.Table]:
    # all columns of a batch are opened, which copies nothing as long as none is asked for by name
    with pa.memory_map(str(shard.path)) as mapped, _opened(mapped) as reader:
        if hasattr(reader, "num_record_batches"):
            found: Iterator[pa.RecordBatch] = map(reader.get_batch, range(reader.num_record_batches))
        else:
            found = iter(reader)
        yield from _after((_as_table(each).select(columns) for each in found), start)


def _delimited(shard: Shard, columns: list[str], start: int) -> Iterator[pa.Table]:
    with shard.path.open("rb") as file, _text(file, shard.compression) as stream:
        head = stream.read(HEAD)
    body = head.removeprefix(BYTE_ORDER_MARK)
    header = read_header(Contents(shard.name, shard.name, "", None, pa.py_buffer(body), False))
    odd: list[pyarrow.csv.InvalidRow] = []

    def note(row: pyarrow.csv.InvalidRow) -> str:
        odd.append(row)
        return "error"

    read = pyarrow.csv.ReadOptions(
        column_names=header.names, skip_rows=header.lines, use_threads=False, block_size=HEAD
    )
    parse = pyarrow.csv.ParseOptions(
        delimiter=header.delimiter, newlines_in_values=b'"' in body, invalid_row_handler=note
    )
    convert = pyarrow.csv.ConvertOptions(
        include_columns=columns, column_types=dict.fromkeys(columns, pa.large_string()), strings_can_be_null=False
    )
    with shard.path.open("rb") as file, _text(file, shard.compression) as stream:
        try:
            reader = pyarrow.csv.open_csv(stream, read, parse, convert)
            yield from _after(map(_as_table, reader), start)
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error):  # a header and no row
                return
            if not odd:
                raise
            where = f"row {odd[0].number - header.lines:,}" if odd[0].number is not None else "a row"
            raise DataError(
                f"{shard.name}: {where} has {odd[0].actual_columns} cells, and the header {odd[0].expected_columns}: "
                f"{odd[0].text[:80]!r}; a cell that holds a separator needs quotes around it"
            ) from None


def _text(file: object, compression: str | None) -> pa.NativeFile:
    plain = pa.PythonFile(file, mode="r")
    return pa.CompressedInputStream(plain, compression) if compression else plain


def _opened(mapped: pa.NativeFile) -> pa.RecordBatchFileReader | pa.RecordBatchStreamReader:
    is_file = mapped.read(6) == ARROW_FILE
    mapped.seek(0)
    return (pa.ipc.open_file if is_file else pa.ipc.open_stream)(
        mapped, options=pa.ipc.IpcReadOptions(use_threads=False)
    )


def _as_table(batch: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches([batch])


def _after(tables: Iterator[pa.Table], start: int) -> Iterator[pa.Table]:
    """Without the first `start` rows of all."""
    for table in tables:
        if start < table.num_rows:
            yield table.slice(start)
        start = max(start - table.num_rows, 0)


def _on_grid(tables: Iterator[pa.Table], at: int, size: int) -> Iterator[pa.Table]:
    """The same rows, the first of which is row `at`, in tables that end at multiples of `size`."""
    held: list[pa.Table] = []
    missing = size - at % size
    for table in tables:
        rest = table
        while rest.num_rows:
            part = rest.slice(0, missing)
            rest = rest.slice(part.num_rows)
            held.append(part)
            missing -= part.num_rows
            if not missing:
                yield pa.concat_tables(held)
                held, missing = [], size
    if held:
        yield pa.concat_tables(held)
