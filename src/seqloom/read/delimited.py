"""CSV, TSV and their kin: a header line and cells, every cell as text.

Every column comes out as text, exactly as written; `seqloom.read.numbers` decides later which of them are numbers, so
that a peptide `NA` stays a peptide and a message can name the row and the value that is no number.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv

from seqloom.errors import DataError
from seqloom.findings import N_NAMED_ROWS, Finding
from seqloom.read.source import Contents, holds_byte, pieces

DELIMITERS = ("\t", ",", ";")
DELIMITER_NAMES = {"\t": "tab", ",": "comma", ";": "semicolon"}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
RESIDUES = re.compile(r"[A-Z*-]{5,}$")


class Cells(NamedTuple):
    """What a delimited file holds."""

    columns: pa.Table
    """Every column large_string."""
    findings: list[Finding]


class Header(NamedTuple):
    """The first line of a delimited file."""

    names: list[str]
    delimiter: str
    lines: int
    """Lines up to and with it."""


def read_header(contents: Contents) -> Header:
    """The header of a delimited file of which `contents` are the beginning; DataError where there is none."""
    body, lines_before = _after_lines(contents, 0)
    first, _ = _first_line(body)
    delimiter = _delimiter(first)
    names = _header_names(contents, next(csv.reader([first], delimiter=delimiter, strict=False)), [])
    return Header(names, delimiter, lines_before + 1)


def read_delimited(contents: Contents, skip: int = 0, columns: Sequence[str] = ()) -> Cells:
    """The cells of a delimited file whose header is its first line after `skip` lines, or which has none (`columns`).

    Raises DataError for rows with too few or too many cells (all counted, the first five named), for repeated column
    names, and for a file without header or without rows.
    """
    body, lines_before = _after_lines(contents, skip)
    first, header_size = _first_line(body)
    if not first.strip():
        raise DataError(f"{contents.name}: there is no header: line {lines_before + 1} is blank and so is all after it")
    delimiter = _delimiter(first)
    cells = next(csv.reader([first], delimiter=delimiter, strict=False))
    findings: list[Finding] = []
    if columns:
        names, rows = _given_names(contents, columns, cells), body
    else:
        names = _header_names(contents, cells, findings)
        rows = body.slice(header_size)
        lines_before += 1
    if rows.size == 0 or not rows.slice(0, min(rows.size, 1 << 16)).to_pybytes().strip():
        raise DataError(f"{contents.name}: there is a header ({', '.join(names[:6])}) and no row below it")
    table = _parse(contents, rows, names, delimiter, lines_before)
    if n_blank := _blank_lines(rows, table.num_rows):
        message = f"{contents.name}: {n_blank} blank lines between rows were passed over"
        findings.append(Finding("blank-lines", "info", message, n_blank))
    return Cells(table, findings)


def _after_lines(contents: Contents, skip: int) -> tuple[pa.Buffer, int]:
    """The text from the first line that is neither skipped nor blank, and how many lines went before it."""
    body, before = contents.buffer, 0
    while body.size and (before < skip or not _first_line(body)[0].strip()):
        body = body.slice(_first_line(body)[1])
        before += 1
    if body.size == 0:
        what = f"it has {before} lines and data.skip is {skip}" if skip else "it holds blank lines only"
        raise DataError(f"{contents.name}: there is no header: {what}")
    return body, before


def _first_line(body: pa.Buffer) -> tuple[str, int]:
    """The first line without its end, and its size in bytes with it; CR, LF and CR LF end a line."""
    size = 1 << 16
    while True:
        start = body.slice(0, min(size, body.size)).to_pybytes()
        found = re.search(rb"\r\n|\n|\r(?=[^\n])", start)
        if found:
            return start[: found.start()].decode("utf-8", "replace"), found.end()
        if size >= body.size:
            return start.rstrip(b"\r\n").decode("utf-8", "replace"), body.size
        size *= 8


def _delimiter(header: str) -> str:
    bare = re.sub(r'"[^"]*"', "", header)
    return max(DELIMITERS, key=bare.count) if any(each in bare for each in DELIMITERS) else ","


def _given_names(contents: Contents, columns: Sequence[str], cells: Sequence[str]) -> list[str]:
    if len(columns) != len(cells):
        raise DataError(
            f"{contents.name}: data.columns names {len(columns)} columns ({', '.join(columns)}), and the first row has "
            f"{len(cells)} cells ({_shown(cells)}); give one name for each"
        )
    _refuse_repeated(contents, list(columns))
    return list(columns)


def _header_names(contents: Contents, cells: Sequence[str], findings: list[Finding]) -> list[str]:
    """Column names without white space around them and without a leading `#`; nameless columns are called index."""
    names = [cell.strip() for cell in cells]
    if names[0].startswith("#") and len(names[0]) > 1:
        findings.append(
            Finding("header-mark", "info", f"{contents.name}: the header starts with '#', which was removed")
        )
        names[0] = names[0].lstrip("# ")
    for position, name in enumerate(names):
        if not name:
            names[position] = _free_name("index", names)
            findings.append(
                Finding(
                    "unnamed-column",
                    "info",
                    f"{contents.name}: column {position + 1} has no name (pandas writes its row index so); "
                    f"called {names[position]!r} and not used",
                )
            )
    _refuse_repeated(contents, names)
    return names


def _free_name(name: str, taken: Sequence[str]) -> str:
    candidates = [name, *(f"{name}_{number}" for number in range(2, len(taken) + 3))]
    return next(each for each in candidates if each not in taken)


def _refuse_repeated(contents: Contents, names: list[str]) -> None:
    repeated = {
        name: [i + 1 for i, each in enumerate(names) if each == name] for name in names if names.count(name) > 1
    }
    if repeated:
        listed = "; ".join(f"{name!r} names columns {', '.join(map(str, where))}" for name, where in repeated.items())
        raise DataError(
            f"{contents.name}: every column needs a name of its own, and {listed}; rename them in the header"
        )


def _blank_lines(rows: pa.Buffer, n_rows: int) -> int:
    """Lines without a character among the rows, those at the end aside; 0 where quotes may hold line ends."""
    text = np.frombuffer(rows, np.uint8)
    if holds_byte(text, '"'):
        return 0
    end = len(text)
    while end and text[end - 1] in b"\r\n":
        end -= 1
    n_lines = 1 + sum(int((part == ord("\n")).sum()) for part in pieces(text[:end]))
    return max(n_lines - n_rows, 0)


def _parse(contents: Contents, rows: pa.Buffer, names: list[str], delimiter: str, lines_before: int) -> pa.Table:
    ragged: list[pyarrow.csv.InvalidRow] = []

    def note(row: pyarrow.csv.InvalidRow) -> str:
        ragged.append(row)
        return "skip"

    def parse(*, use_threads: bool) -> pa.Table:
        return pyarrow.csv.read_csv(
            pa.BufferReader(rows),
            read_options=pyarrow.csv.ReadOptions(column_names=names, use_threads=use_threads),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter,
                # looking for line ends inside quotes costs the parallel parse, so only where there are quotes at all
                newlines_in_values=holds_byte(contents.array, '"'),
                invalid_row_handler=note,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.large_string() for name in names}, strings_can_be_null=False, check_utf8=False
            ),
        )

    try:
        table = parse(use_threads=True)
        if ragged:
            ragged.clear()
            table = parse(use_threads=False)  # only the serial parser knows the numbers of the rows
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{contents.name}: it cannot be read as {DELIMITER_NAMES[delimiter]}-separated text: {error}"
        ) from None
    if ragged:
        raise DataError(_ragged_message(contents, ragged, names, delimiter, table.num_rows, lines_before))
    return table


def _ragged_message(
    contents: Contents,
    ragged: list[pyarrow.csv.InvalidRow],
    names: list[str],
    delimiter: str,
    n_good: int,
    lines_before: int,
) -> str:
    """What is wrong with rows of the wrong width; three causes are told apart."""
    n_rows = n_good + len(ragged)
    head = (
        f"{contents.name}: {len(ragged)} of {n_rows} rows do not have the {len(names)} {DELIMITER_NAMES[delimiter]}-separated "
        f"cells of the header ({_shown(names)})"
    )
    named = [
        f"  row {row.number}: {row.actual_columns} cells: {_shown(_cells(row.text, delimiter))}"
        for row in ragged[:N_NAMED_ROWS]
    ]
    widths = {row.actual_columns for row in ragged}
    if n_good == 0 and len(widths) == 1 and any(NUMBER.match(name) for name in names):
        typed = suggested_names(_cells(ragged[0].text, delimiter))
        counts = f" ({names[0]} is the number of rows below)" if names[0] == str(n_rows) else ""
        advice = (
            f"the first line looks like counts rather than a header{counts}; "
            f"type: --set data.skip={lines_before} --set data.columns={typed}"
        )
    elif max(widths) > len(names):
        advice = f"mend those rows; a cell that holds a {DELIMITER_NAMES[delimiter]} needs quotes around it"
    else:
        advice = "mend those rows; an empty cell still needs its separator"
    return "\n".join([head + ":", *named, advice])


def suggested_names(cells: Sequence[str]) -> str:
    """Names for the columns of a file without header, as `data.columns` takes them, from one of its rows."""
    names: list[str] = []
    for cell in cells:
        stem = "sequence" if RESIDUES.match(cell.strip()) else "label" if NUMBER.match(cell.strip()) else "column"
        names.append(_free_name(stem, names))
    return ",".join(names)


def _cells(text: str, delimiter: str) -> list[str]:
    return next(csv.reader([text], delimiter=delimiter, strict=False), [])


def _shown(cells: Sequence[str]) -> str:
    short = [cell if len(cell) <= 24 else f"{cell[:21]}..." for cell in cells[:6]]
    return ", ".join(short) + (", ..." if len(cells) > 6 else "")
