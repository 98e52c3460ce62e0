"""Findings about sequences: what reading changed, and what they hold beside standard symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seqloom.alphabet import UNKNOWN, Alphabet
from seqloom.canonical import WHITE_SPACE, last_symbols
from seqloom.check.rows import finding_at, row_finding
from seqloom.findings import N_NAMED_ROWS, Finding
from seqloom.roles.recognise import byte_counts
from seqloom.tokens import ragged_bytes

if TYPE_CHECKING:
    from seqloom.table import Table

LONG = 5_000
"""Sequences longer than this make most models slow or short of memory."""
LOWER = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz", np.uint8)
GAPS = np.frombuffer(b"-.", np.uint8)
STOP = np.frombuffer(b"*", np.uint8)


def sequences(table: Table) -> list[Finding]:
    """Column by column: as they were written, then as they are read."""
    return [
        each for column in table.roles.sequences for each in (*_as_written(table, column), *_as_read(table, column))
    ]


def bad_symbols(table: Table, column: str) -> Finding | None:
    """The error finding about symbols that the column's alphabet does not know, or None if it knows all."""
    alphabet = table.alphabets[column]
    text, offsets = ragged_bytes(table.sequences(column))
    counts = byte_counts(text)
    unknown = np.flatnonzero((alphabet.look_up == UNKNOWN) & (counts > 0)).astype(np.uint8)
    if not len(unknown):
        return None
    rows = rows_with(text, offsets, unknown)
    ids = table.ids
    shown = []
    for row in rows[:N_NAMED_ROWS]:
        sequence = table.sequences(column)[int(row)].as_py()
        odd = sorted({each for each in sequence if ord(each) > 127 or alphabet.look_up[ord(each)] == UNKNOWN})
        shown.append(
            f"row {table.row_numbers[row]} ({ids[int(row)].as_py()}): {' '.join(map(repr, odd[:8]))} in {sequence[:30]!r}"
        )
    message = (
        f"{table.source.name}: {len(rows)} of {table.n_rows} sequences in column {column!r} hold symbols that the "
        f"{alphabet.name} alphabet ({alphabet.symbols}) does not know: {'; '.join(shown)}; mend or remove those rows, or name "
        f"another alphabet with --set data.alphabet=NAME"
    )
    return finding_at(table, "unknown-symbols", "error", message, rows)


def rows_with(text: np.ndarray, offsets: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    """Rows (from 0), int64, whose bytes hold any of `symbols` (uint8)."""
    wanted = np.zeros(256, bool)
    wanted[symbols] = True
    positions = np.flatnonzero(wanted[text])
    rows: np.ndarray = np.unique(np.searchsorted(offsets, positions, side="right") - 1)
    return rows


def _as_written(table: Table, column: str) -> list[Finding]:
    """What reading changed: case, white space, trailing stops."""
    alphabet = table.alphabets[column]
    text, offsets = ragged_bytes(table.data[column])
    counts = byte_counts(text)
    found = []
    if alphabet.folds_case and counts[LOWER].any():
        rows = rows_with(text, offsets, LOWER)
        found.append(
            row_finding(
                table,
                "lower-case",
                "info",
                f"sequences in {column!r} hold lower-case letters; read as upper case",
                rows,
            )
        )
    if counts[WHITE_SPACE].any():
        rows = rows_with(text, offsets, WHITE_SPACE)
        found.append(
            row_finding(
                table, "white-space", "info", f"sequences in {column!r} hold white space; it was left out", rows
            )
        )
    if alphabet.folds_case and "*" in alphabet.symbols and counts[STOP].any():
        rows = np.searchsorted(offsets, last_symbols(text, offsets, "*"), side="right") - 1
        if len(rows):
            found.append(
                row_finding(
                    table, "trailing-stop", "info", f"sequences in {column!r} end in a stop '*'; it was removed", rows
                )
            )
    return found


def _as_read(table: Table, column: str) -> list[Finding]:
    """What canonical sequences hold beside standard symbols, and their lengths."""
    alphabet = table.alphabets[column]
    text, offsets = ragged_bytes(table.sequences(column))
    lengths = np.diff(offsets)
    found = []
    empty = np.flatnonzero(lengths == 0)
    if len(empty):
        found.append(
            row_finding(
                table,
                "empty-sequence",
                "error",
                f"sequences in {column!r} are empty; fill them in or remove the rows",
                empty,
            )
        )
    problem = bad_symbols(table, column)
    if problem is not None:
        found.append(problem)
    counts = byte_counts(text)
    if alphabet.folds_case:
        found += _odd_symbols(table, column, alphabet, text, offsets, counts)
    long = np.flatnonzero(lengths > LONG)
    if len(long):
        message = f"sequences in {column!r} are longer than {LONG:,} symbols, the longest {lengths.max():,}"
        found.append(row_finding(table, "long", "info", message, long))
    return found


def _odd_symbols(
    table: Table, column: str, alphabet: Alphabet, text: np.ndarray, offsets: np.ndarray, counts: np.ndarray
) -> list[Finding]:
    found = []
    if "*" in alphabet.symbols and counts[STOP].any():
        rows = rows_with(text, offsets, STOP)
        found.append(
            row_finding(table, "inner-stop", "warning", f"sequences in {column!r} hold a stop '*' inside", rows)
        )
    if counts[GAPS].any():
        rows = rows_with(text, offsets, GAPS)
        lengths = np.diff(offsets)
        aligned = ", all of one length, as in an alignment" if lengths.min() == lengths.max() else ""
        found.append(
            row_finding(
                table,
                "gaps",
                "warning",
                f"sequences in {column!r} hold gaps ('-' or '.'){aligned}; they are symbols of their own",
                rows,
            )
        )
    present = [chr(byte) for byte in np.flatnonzero(counts) if chr(byte) in alphabet.symbols]
    odd = "".join(each for each in present if each not in alphabet.standard + "-.*")
    if odd:
        rows = rows_with(text, offsets, np.frombuffer(odd.encode(), np.uint8))
        message = f"sequences in {column!r} hold symbols beside the standard ones of {alphabet.name}: {' '.join(odd)}"
        found.append(row_finding(table, "ambiguous", "info", message, rows))
    return found
