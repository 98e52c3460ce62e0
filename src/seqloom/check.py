"""Findings about the rows of a table: what was mended on reading, what to know, and what stops a fit.

Nothing here raises and nothing is dropped; `seqloom.findings.raise_errors` is for callers that cannot go on with errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.alphabet import UNKNOWN, Alphabet
from seqloom.canonical import WHITE_SPACE, last_symbols
from seqloom.findings import N_NAMED_ROWS, Finding, Severity
from seqloom.read.numbers import parsed
from seqloom.roles.recognise import byte_counts
from seqloom.tokens import ragged_bytes

if TYPE_CHECKING:
    from seqloom.table import Table

LONG = 5_000
"""Sequences longer than this make most models slow or short of memory."""
LOWER = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz", np.uint8)
GAPS = np.frombuffer(b"-.", np.uint8)
STOP = np.frombuffer(b"*", np.uint8)


def check(table: Table) -> list[Finding]:
    """Everything worth knowing about the rows, as the table stands; sequences first, then the other roles."""
    found: list[Finding] = []
    for column in table.roles.sequences:
        found += _as_written(table, column)
        found += _as_read(table, column)
    found += _duplicate_ids(table)
    found += _duplicate_inputs(table)
    found += _targets(table)
    found += _covariates(table)
    found += _inequality(table)
    found += _unused(table)
    return found


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
    return _finding(table, "unknown-symbols", "error", message, rows)


def rows_with(text: np.ndarray, offsets: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    """Rows (from 0), int64, whose bytes hold any of `symbols` (uint8)."""
    wanted = np.zeros(256, bool)
    wanted[symbols] = True
    positions = np.flatnonzero(wanted[text])
    rows: np.ndarray = np.unique(np.searchsorted(offsets, positions, side="right") - 1)
    return rows


# --- sequences -------------------------------------------------------------------------------------------------------


def _as_written(table: Table, column: str) -> list[Finding]:
    """What reading changed: case, white space, trailing stops."""
    alphabet = table.alphabets[column]
    text, offsets = ragged_bytes(table.data[column])
    counts = byte_counts(text)
    found = []
    if alphabet.folds_case and counts[LOWER].any():
        rows = rows_with(text, offsets, LOWER)
        found.append(
            _row_finding(
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
            _row_finding(
                table, "white-space", "info", f"sequences in {column!r} hold white space; it was left out", rows
            )
        )
    if alphabet.folds_case and "*" in alphabet.symbols and counts[STOP].any():
        rows = np.searchsorted(offsets, last_symbols(text, offsets, "*"), side="right") - 1
        if len(rows):
            found.append(
                _row_finding(
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
            _row_finding(
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
        found.append(_row_finding(table, "long", "info", message, long))
    return found


def _odd_symbols(
    table: Table, column: str, alphabet: Alphabet, text: np.ndarray, offsets: np.ndarray, counts: np.ndarray
) -> list[Finding]:
    found = []
    if "*" in alphabet.symbols and counts[STOP].any():
        rows = rows_with(text, offsets, STOP)
        found.append(
            _row_finding(table, "inner-stop", "warning", f"sequences in {column!r} hold a stop '*' inside", rows)
        )
    if counts[GAPS].any():
        rows = rows_with(text, offsets, GAPS)
        lengths = np.diff(offsets)
        aligned = ", all of one length, as in an alignment" if lengths.min() == lengths.max() else ""
        found.append(
            _row_finding(
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
        found.append(_row_finding(table, "ambiguous", "info", message, rows))
    return found


# --- rows that repeat ------------------------------------------------------------------------------------------------


def _duplicate_ids(table: Table) -> list[Finding]:
    if table.roles.id is None:
        return []
    values = table.text(table.roles.id).dictionary_encode()
    rows = _repeats(values.indices)
    if not len(rows):
        return []
    return [
        _row_finding(table, "duplicate-ids", "warning", f"rows repeat an identifier of column {table.roles.id!r}", rows)
    ]


def _duplicate_inputs(table: Table) -> list[Finding]:
    """Rows with the inputs of an earlier row, and among all equal ones those whose targets differ."""
    if not table.roles.sequences or any(not _is_numeric(table, name) for name in table.roles.covariates):
        return []
    codes = table.input_keys().dictionary_encode().indices
    rows = _repeats(codes)
    if not len(rows):
        return []
    columns = ", ".join(map(repr, (*table.roles.sequences, *table.roles.covariates, *table.roles.context)))
    found = [
        _row_finding(table, "duplicate-inputs", "info", f"rows repeat the inputs ({columns}) of an earlier row", rows)
    ]
    keys = codes.to_numpy(zero_copy_only=False)
    for target in table.roles.targets:
        differing = _differing(keys, table.data[target])
        if len(differing):
            message = f"rows have equal inputs ({columns}) and different values of {target!r}"
            if len(differing) > table.n_rows / 2:
                message += " (if another column tells them apart, such as a mutation or an allele, add --set data.context=COLUMN)"
            found.append(_row_finding(table, "conflicting-targets", "warning", message, differing))
    return found


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


# --- the other roles -------------------------------------------------------------------------------------------------


def _targets(table: Table) -> list[Finding]:
    found = []
    for name in table.roles.targets:
        column = table.data[name]
        if column.null_count == table.n_rows:
            message = (
                f"{table.source.name}: target column {name!r} is empty in all {table.n_rows} rows; "
                "name another with --target COLUMN"
            )
            found.append(Finding("no-target", "error", message, table.n_rows))
        found += _stray_words(table, name)
    return [*found, *_missing_targets(table)]


def _missing_targets(table: Table) -> list[Finding]:
    """One finding, of however many target columns: which rows lack some value, and which column lacks most."""
    holes = [name for name in table.roles.targets if 0 < table.data[name].null_count < table.n_rows]
    if not holes:
        return []
    empty = np.any([pc.is_null(table.data[name]).to_numpy() for name in holes], axis=0)
    worst = max(holes, key=lambda name: table.data[name].null_count)
    what = f"rows have no value of the target {worst!r}"
    if len(holes) > 1:
        most = f"most in {worst!r}, {table.data[worst].null_count:,} rows"
        what = f"rows lack a value in one or more of {len(holes)} targets ({most})"
    return [_row_finding(table, "missing-target", "info", what, np.flatnonzero(empty))]


def _stray_words(table: Table, name: str) -> list[Finding]:
    """A target of numbers with a few odd values: an error, for it would pass as a column of many classes."""
    values, odd = parsed(table.data[name].combine_chunks())
    n_numbers = int(np.isfinite(values).sum())
    if not odd.any() or odd.sum() > 0.2 * (n_numbers + odd.sum()):
        return []
    from seqloom.table import not_numbers

    return [_finding(table, "not-a-number", "error", not_numbers(table, name, odd), np.flatnonzero(odd))]


def _covariates(table: Table) -> list[Finding]:
    found = []
    for name in table.roles.covariates:
        values, odd = parsed(table.data[name].combine_chunks())
        rows = np.flatnonzero(odd | ~np.isfinite(values))
        if len(rows):
            message = (
                f"rows have no finite number in the covariate {name!r}; "
                "mend them, filter them with --where, or leave the covariate out"
            )
            found.append(_row_finding(table, "covariate", "error", message, rows))
    return found


def _is_numeric(table: Table, name: str) -> bool:
    return not parsed(table.data[name].combine_chunks())[1].any()


def _inequality(table: Table) -> list[Finding]:
    if table.roles.inequality is None:
        return []
    signs = pc.utf8_trim_whitespace(table.text(table.roles.inequality))
    rows = np.flatnonzero(pc.fill_null(pc.not_equal(signs, "="), False).to_numpy(zero_copy_only=False))
    if not len(rows):
        return []
    counts = {each["values"]: each["counts"] for each in pc.value_counts(signs.take(pa.array(rows))).to_pylist()}
    listed = ", ".join(f"{count:,} {sign!r}" for sign, count in sorted(counts.items()))
    message = (
        f"rows of column {table.roles.inequality!r} say other than '=' ({listed}); their targets are treated as equal"
    )
    return [_row_finding(table, "inequality", "warning", message, rows)]


def _unused(table: Table) -> list[Finding]:
    told = {*table.roles.columns, "description"} if table.source.format == "fasta" else set(table.roles.columns)
    names = [name for name in table.data.column_names if name not in told]
    if not names:
        return []
    listed = ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
    return [
        Finding(
            "unused-columns",
            "info",
            f"{table.source.name}: columns without a role, kept but not used: {listed}",
            len(names),
        )
    ]


def _row_finding(table: Table, code: str, severity: Severity, what: str, rows: np.ndarray) -> Finding:
    """`12 of 100 <what>: row 3 (id), row 4 (id), ...`; `rows` (from 0)."""
    first = rows[:N_NAMED_ROWS]
    ids = table.ids.take(pa.array(first)).to_pylist() if table.roles.id else []
    named = [f"row {table.row_numbers[row]}" + (f" ({ids[index]})" if ids else "") for index, row in enumerate(first)]
    more = ", ..." if len(rows) > N_NAMED_ROWS else ""
    message = f"{table.source.name}: {len(rows):,} of {table.n_rows:,} {what}: {', '.join(named)}{more}"
    return _finding(table, code, severity, message, rows)


def _finding(table: Table, code: str, severity: Severity, message: str, rows: np.ndarray) -> Finding:
    return Finding(
        code, severity, message, len(rows), tuple(int(each) for each in table.row_numbers[rows[:N_NAMED_ROWS]])
    )
