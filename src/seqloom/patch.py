"""Patch: a file of corrections to a table, applied by identifier before anything else is made of it.

It has the table's column of identifiers and any of its other columns; a cell that is not empty replaces the table's. A row is
taken out where a column `action` says `delete` (or `delete` says `true`), or, in a patch without such a column, where all
cells but the identifier are empty. All that does not fit is told at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.errors import DataError
from seqloom.findings import N_NAMED_ROWS, Finding, finding
from seqloom.read.columnar import columnar_format, read_columnar
from seqloom.read.delimited import read_delimited
from seqloom.read.numbers import BOOLEAN, is_text, parsed, typed_column
from seqloom.read.section import DataSection
from seqloom.read.source import checked_text, read_contents
from seqloom.registry import nearest
from seqloom.roles.columns import Columns, unknown_column
from seqloom.roles.conventions import CONVENTIONS, IDS, SURE_IDS

ACTIONS = ("action", "delete")
DELETE = ("delete", "true")
"""Words in the column of actions that take a row out."""
NO_ACTION = ("", "false", "update")
ROW_ID = r"^row-([1-9]\d{0,17})$"
"""What rows of a table without identifiers are called."""


class Patched(NamedTuple):
    """A table as it was read, corrected."""

    columns: Columns
    row_numbers: np.ndarray  # int64 (N,): the number of each row that is left, in the source, from 1
    findings: list[Finding]


class Corrections(NamedTuple):
    """What a patch file says, and of which rows."""

    name: str  # of the file
    ids: pa.Array  # large_string (M,)
    rows: np.ndarray  # int64 (M,): row of the table each is about, from 0; -1 where the table has no such row
    deleted: np.ndarray  # bool (M,)
    cells: dict[str, pa.Array]  # by column, large_string (M,), null where the table's own value stays


def patched(columns: Columns, section: DataSection, source: object) -> Patched:
    """The columns of `source` with `[data] patch` applied, and a finding that says how many rows it changed.

    The patch is for the table; the rows of `[data] test` are left as they are. Raises DataError for a patch that names rows,
    identifiers or columns which the table does not have, says two things about one row, or puts words among numbers.
    """
    numbers = np.arange(1, len(columns.typed) + 1, dtype=np.int64)
    if not section.patch or (isinstance(source, str | Path) and str(source) == section.test):
        return Patched(columns, numbers, [])
    table, name = _read(section.patch)
    told = _corrections(table, name, columns, section)
    kept = np.ones(len(numbers), bool)
    kept[told.rows[told.deleted]] = False
    if not kept.any():
        raise DataError(f"{name}: it deletes every row of {columns.name}; is it a patch for another table?")
    corrected, changed, rows = _corrected(columns.typed, told)
    if not kept.all():
        corrected = corrected.filter(pa.array(kept))
    return Patched(replace(columns, typed=corrected), numbers[kept], [_finding(columns, told, changed, numbers, rows)])


def _read(path: str) -> tuple[pa.Table, str]:
    """All cells as text, large_string, null where blank; columns without a name (a row index of pandas) left out."""
    contents = read_contents(path)
    if columnar_format(contents):
        table, unnamed = read_columnar(contents), []
        nested = [name for name in table.column_names if pa.types.is_nested(table.schema.field(name).type)]
        if nested:
            raise DataError(f"{contents.name}: column {nested[0]!r} of the patch holds lists; a patch has plain cells")
    else:
        checked_text(contents)
        if contents.buffer.slice(0, 1).to_pybytes() == b">":
            raise DataError(
                f"{contents.name}: a patch is a table (CSV, TSV, Parquet) with a column of identifiers, not FASTA"
            )
        table, findings = read_delimited(contents)
        unnamed = ["index"] if any(each.code == "unnamed-column" for each in findings) else []
    texts = {name: _text(table[name]) for name in table.column_names if name not in unnamed}
    return pa.table(texts), contents.name


def _text(column: pa.ChunkedArray) -> pa.Array:
    text = pc.utf8_trim_whitespace(column.combine_chunks().cast(pa.large_string()))
    return pc.if_else(pc.equal(text, ""), None, text)


# --- what the patch says ---------------------------------------------------------------------------------------------


def _corrections(table: pa.Table, name: str, columns: Columns, section: DataSection) -> Corrections:
    own_id = _id_column(columns, section)
    id_name = _id_of_patch(table, name, columns, own_id)
    action = next((each for each in table.column_names if each.lower() in ACTIONS and each not in columns.names), None)
    values = [each for each in table.column_names if each not in (id_name, action)]
    problems = _unknown_columns(name, values, columns)
    if not values and action is None:
        problems.append(
            f"{name}: it has identifiers and nothing else; to take these rows out, add a column 'action' that says 'delete'"
        )
    ids = table[id_name].combine_chunks()
    rows = _rows_of(ids, columns, own_id)
    problems += _wrong_ids(name, ids, rows, columns, own_id)
    cells = {each: table[each].combine_chunks() for each in values if each in columns.names}
    empty = np.all([~_known(table[each]) for each in values], axis=0) if values else np.ones(len(ids), bool)
    if action is None:
        deleted = empty
    else:
        words = pc.utf8_lower(pc.fill_null(table[action].combine_chunks(), ""))
        deleted = _among(words, DELETE)
        problems += _wrong_actions(name, ids, words, deleted, empty)
    problems += [each for column in cells for each in _wrong_values(name, column, cells[column], ids, deleted, columns)]
    if problems:
        raise DataError("\n".join(problems))
    return Corrections(name, ids, rows, deleted, cells)


def _id_column(columns: Columns, section: DataSection) -> str | None:
    """The table's identifiers: the column that the settings name, or the one that would be found."""
    if section.id:
        if section.id not in columns.names:
            raise DataError(unknown_column(f"[data] id = {section.id!r}", section.id, columns))
        return section.id
    lowered = {each.lower() for each in columns.names}
    conventional = [each.id for each in CONVENTIONS if each.id and each.needs <= lowered]
    for wanted in (*conventional, *IDS):
        name = columns.find(wanted)
        if name is not None and (wanted in (*SURE_IDS, *conventional) or _mostly_distinct(columns.typed[name])):
            return name
    return None


def _mostly_distinct(column: pa.ChunkedArray) -> bool:
    return not pa.types.is_nested(column.type) and pc.count_distinct(column).as_py() >= 0.99 * len(column)


def _id_of_patch(table: pa.Table, name: str, columns: Columns, own_id: str | None) -> str:
    """The patch's column of identifiers: called as the table's, or `id`."""
    names: list[str] = table.column_names
    lowered = {each.lower(): each for each in reversed(names)}
    found = lowered.get(own_id.lower()) if own_id is not None else None
    found = found or lowered.get("id")
    if found is not None and (own_id is not None or _are_row_ids(table[found])):
        return found
    if own_id is None:
        raise DataError(
            f"{name}: a patch goes by identifiers, and {columns.name} has no column of them; name one with --set "
            f"data.id=COLUMN (columns: {', '.join(columns.names[:30])}), or call rows row-1, row-2, ... in a column 'id'"
        )
    raise DataError(
        f"{name}: no column {own_id!r} or 'id' says which rows of {columns.name} it is about{nearest(own_id, names)}; columns: "
        f"{', '.join(names[:30])}"
    )


def _are_row_ids(ids: pa.ChunkedArray) -> bool:
    return bool(pc.all(pc.match_substring_regex(ids, ROW_ID), min_count=0).as_py())


def _rows_of(ids: pa.Array, columns: Columns, own_id: str | None) -> np.ndarray:
    """Rows of the table, int64 (M,) from 0, -1 where it has no such identifier."""
    n_rows = len(columns.typed)
    if own_id is None:
        numbers = pc.replace_substring_regex(ids, "^row-", "").cast(pa.int64())
        rows = pc.fill_null(numbers, 0).to_numpy(zero_copy_only=False) - 1
        return np.where(rows < n_rows, rows, -1)
    return np.asarray(pc.fill_null(pc.index_in(ids, _text(columns.typed[own_id])), -1).to_numpy(), np.int64)


def _unknown_columns(name: str, values: Sequence[str], columns: Columns) -> list[str]:
    unknown = [each for each in values if each not in columns.names]
    if not unknown:
        return []
    listed = ", ".join(f"{each!r}{nearest(each, columns.names)}" for each in unknown[:N_NAMED_ROWS])
    return [
        f"{name}: {len(unknown)} columns are not in {columns.name}: {listed}; rename or remove them (columns: "
        f"{', '.join(columns.names[:30])}; and 'action' with the word 'delete')"
    ]


def _wrong_ids(name: str, ids: pa.Array, rows: np.ndarray, columns: Columns, own_id: str | None) -> list[str]:
    where = f"column {own_id!r} of {columns.name}" if own_id is not None else f"{columns.name}"
    problems = []
    if ids.null_count:
        numbers = np.flatnonzero(ids.is_null().to_numpy(zero_copy_only=False)) + 1
        problems.append(
            f"{name}: {len(numbers)} rows have no identifier: {_listed(f'row {each}' for each in numbers)}; fill it in"
        )
    known = _known(ids)
    if (unknown := np.flatnonzero(known & (rows < 0))).size:
        problems.append(
            f"{name}: {len(unknown)} of {len(ids)} identifiers are not in {where}: {_listed(_repr(ids, unknown))}; "
            "remove these rows, or name the right column with --set data.id=COLUMN"
        )
    repeated = _repeated(ids)
    if repeated:
        problems.append(
            f"{name}: {len(repeated)} identifiers stand in it more than once: {_listed(map(repr, repeated))}; "
            "keep one row of each"
        )
    if own_id is not None:
        own = _text(columns.typed[own_id])
        several = _repeated(own.filter(pc.is_in(own, ids.drop_null())))
        if several:
            problems.append(
                f"{name}: {len(several)} of its identifiers stand more than once in {where}: {_listed(map(repr, several))}; "
                "name a column without repeats with --set data.id=COLUMN"
            )
    return problems


def _wrong_actions(name: str, ids: pa.Array, words: pa.Array, deleted: np.ndarray, empty: np.ndarray) -> list[str]:
    problems = []
    odd = np.flatnonzero(~deleted & ~_among(words, NO_ACTION))
    if len(odd):
        shown = _listed(f"{ids[int(row)].as_py()!r}: {words[int(row)].as_py()!r}" for row in odd)
        problems.append(
            f"{name}: {len(odd)} rows ask for what a patch cannot do: {shown}; write 'delete' (or 'true'), or leave it empty"
        )
    idle = np.flatnonzero(~deleted & empty & _among(words, NO_ACTION))
    if len(idle):
        problems.append(
            f"{name}: {len(idle)} rows have neither a value nor a word to delete: {_listed(_repr(ids, idle))}; "
            "fill in one or remove them"
        )
    return problems


def _wrong_values(
    name: str, column: str, cells: pa.Array, ids: pa.Array, deleted: np.ndarray, columns: Columns
) -> list[str]:
    """Words that would stand among the numbers, or the truths, of a column."""
    own = columns.typed[column]
    if pa.types.is_nested(own.type):
        return [f"{name}: column {column!r} of {columns.name} holds lists, which a patch cannot correct; leave it out"]
    kind = typed_column(own).type if is_text(own.type) else own.type
    if is_text(kind):
        return []
    if pa.types.is_boolean(kind):
        odd, what = _known(cells) & ~_matches(cells, BOOLEAN), "true or false"
    else:
        odd, what = parsed(cells)[1], "numbers"
    odd = np.flatnonzero(odd & ~deleted)
    if not len(odd):
        return []
    shown = _listed(f"{ids[int(row)].as_py()!r}: {cells[int(row)].as_py()!r}" for row in odd)
    return [
        f"{name}: column {column!r} of {columns.name} holds {what}, and {len(odd)} values of the patch are none: "
        f"{shown}; mend them"
    ]


# --- what comes of it ------------------------------------------------------------------------------------------------


def _corrected(table: pa.Table, told: Corrections) -> tuple[pa.Table, list[str], np.ndarray]:
    """The table with new values, the columns that changed, and the rows (int64, from 0) that did."""
    place = np.full(table.num_rows, -1, np.int64)
    place[told.rows[~told.deleted]] = np.flatnonzero(~told.deleted)
    take = pa.array(place, mask=place < 0)
    changed, touched = [], np.zeros(table.num_rows, bool)
    for name, cells in told.cells.items():
        new = cells.take(take)
        if not new.null_count < len(new):
            continue
        old = table[name].combine_chunks()
        differs = _differs(old, new)
        if differs.any():
            changed.append(name)
            touched |= differs
            index = table.schema.get_field_index(name)
            table = table.set_column(index, name, _replaced(old, new, differs))
    return table, changed, np.flatnonzero(touched)


def _differs(old: pa.Array, new: pa.Array) -> np.ndarray:
    """bool (N,): there is a new value, and it is another one; 7 and 7.0 are the same number."""
    given = _known(new)
    was = _text(pa.chunked_array([old]))
    same = pc.fill_null(
        pc.equal(pc.utf8_lower(was), pc.utf8_lower(new)) if pa.types.is_boolean(old.type) else pc.equal(was, new), False
    )
    numbers, others = parsed(was)[0], parsed(new)[0]
    return given & ~np.asarray(same.to_numpy(zero_copy_only=False), bool) & ~(numbers == others)


def _replaced(old: pa.Array, new: pa.Array, differs: np.ndarray) -> pa.Array:
    """`old` with `new` where it `differs`; text stays text, numbers stay numbers."""
    kind = old.type
    if is_text(kind):
        values = new.cast(kind)
    elif pa.types.is_boolean(kind):
        values = pc.utf8_lower(new).cast(kind)
    else:
        numbers, _ = parsed(new)
        values = pa.array(numbers, mask=np.isnan(numbers))
        known = numbers[~np.isnan(numbers)]
        if pa.types.is_integer(kind) and np.all(known == np.round(known)):
            values = values.cast(kind)
        old = old.cast(values.type)
    return pc.if_else(pa.array(differs), values, old)


def _finding(columns: Columns, told: Corrections, changed: list[str], numbers: np.ndarray, rows: np.ndarray) -> Finding:
    n_deleted = int(told.deleted.sum())
    of_columns = f" ({', '.join(changed)})" if changed else ""
    same = len(told.ids) - n_deleted - len(rows)
    unchanged = f", {same:,} as they were" if same else ""
    counts = f"{n_deleted:,} rows deleted, {len(rows):,} rows corrected{of_columns}{unchanged}"
    message = f"{columns.name}: patch: {counts} by {told.name}"
    touched = np.union1d(rows, told.rows[told.deleted])
    return finding("patch", "info", message, numbers[touched])


def _known(values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False), bool)


def _among(words: pa.Array, wanted: Sequence[str]) -> np.ndarray:
    return np.asarray(pc.is_in(words, pa.array(wanted, words.type)).to_numpy(zero_copy_only=False), bool)


def _matches(values: pa.Array, pattern: str) -> np.ndarray:
    return np.asarray(
        pc.fill_null(pc.match_substring_regex(values, pattern), False).to_numpy(zero_copy_only=False), bool
    )


def _repeated(values: pa.Array) -> list[str]:
    counted = pc.value_counts(values.drop_null())
    several: list[str] = counted.field("values").filter(pc.greater(counted.field("counts"), 1)).to_pylist()
    return several


def _repr(ids: pa.Array, rows: np.ndarray) -> Iterator[str]:
    return (repr(ids[int(row)].as_py()) for row in rows)


def _listed(words: Iterator[str] | map[str]) -> str:
    first = [word for word, _ in zip(words, range(N_NAMED_ROWS + 1), strict=False)]
    return ", ".join(first[:N_NAMED_ROWS]) + (", ..." if len(first) > N_NAMED_ROWS else "")
