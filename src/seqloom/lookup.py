"""Look-up: columns added to a table from a second file, by the values of one of its own.

Decides how values are matched with the names in the first column of the file: as they are written, else as MHC alleles in any
usual spelling. A run keeps the files in its folder, so that it can look up the values of new tables. What the added columns mean
is left to the roles.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.errors import DataError
from seqloom.files import write_parquet
from seqloom.findings import N_NAMED_ROWS, Finding, finding
from seqloom.read.alleles import allele_name
from seqloom.read.columnar import columnar_format, read_columnar
from seqloom.read.delimited import read_delimited
from seqloom.read.fasta import read_fasta
from seqloom.read.section import DataSection
from seqloom.read.source import checked_text, read_contents
from seqloom.roles.columns import Columns, unknown_column

if TYPE_CHECKING:
    from seqloom.table import Table

FOLDER = "lookup"
"""Of a run, where it keeps the files that it looks values up in."""
MOST_KEPT = 200_000
"""Rows of a file that is kept whole; of a larger one only those that the run's table uses."""
NONE, SEVERAL = -1, -2
"""In place of a row: there is none, or there are several that say different things."""


@dataclass(frozen=True)
class LookUpTable:
    """A file of M rows to look values up in."""

    name: str
    """What messages call it."""
    names: pa.Array  # large_string (M,), the first column without white space around it
    rest: pa.Table
    """The other columns."""

    def rows_of(self, values: Sequence[str]) -> np.ndarray:
        """The row for each value, int64 (len(values),), from 0; `NONE` or `SEVERAL` where there is no one row.

        A name as it is written goes before other spellings of the same allele. Several rows that say the same are one.
        """
        rows = np.full(len(values), NONE, np.int64)
        for place, value in enumerate(values):
            written = self._by_name.get(value)
            allele = None if written or not value else allele_name(value)
            rows[place] = self._one_of(written or self._by_allele.get(allele or "", ()))
        return rows

    def nearest(self, value: str) -> str:
        """The known name most like it; empty where none is."""
        close = difflib.get_close_matches(allele_name(value) or value, self._by_name, n=1, cutoff=0.5)
        return close[0] if close else ""

    def _one_of(self, rows: Sequence[int]) -> int:
        if len(rows) < 2:
            return rows[0] if rows else NONE
        said = self.rest.take(pa.array(rows)).to_pylist()
        return rows[0] if all(each == said[0] for each in said) else SEVERAL

    @cached_property
    def _by_name(self) -> Mapping[str, Sequence[int]]:
        rows: defaultdict[str, list[int]] = defaultdict(list)
        for row, name in enumerate(self.names.to_pylist()):
            if name:
                rows[name].append(row)
        return dict(rows)

    @cached_property
    def _by_allele(self) -> Mapping[str, Sequence[int]]:
        rows: defaultdict[str, list[int]] = defaultdict(list)
        for name, own in self._by_name.items():
            allele = allele_name(name)
            if allele is not None:
                rows[allele] += own
        return dict(rows)


@dataclass(frozen=True)
class Matched:
    """The values of one column, and where each stands in its file."""

    column: str
    file: LookUpTable
    values: tuple[str, ...]
    """Distinct values; '' for an empty cell."""
    rows: np.ndarray  # int64, of the file, for each of `values`
    value_of: np.ndarray  # int64 (N,), place in `values` for each row of the table


@dataclass(frozen=True)
class LookedUp:
    """A table's columns with those that were looked up after them."""

    columns: Columns
    matched: tuple[Matched, ...] = ()
    row_numbers: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # int64 (N,), as they were looked up

    def findings(self, table: Table) -> list[Finding]:
        """About the rows of the table, or what a filter left of it: values without a row, and alleles spelt in several ways."""
        found = []
        places = np.searchsorted(self.row_numbers, table.row_numbers)
        for each in self.matched:
            value_of = each.value_of[places]
            found += [*_without_row(table, each, value_of), *_spellings(table, each, value_of)]
        return found


def looked_up(columns: Columns, section: DataSection, row_numbers: np.ndarray) -> LookedUp:
    """The columns, and after them those that `[data] lookup` adds, null where a value has no row.

    `row_numbers`: what messages call the rows, int64 (N,), ascending. A table without the column that already has all that would
    be added stays as it is. Raises DataError for a file that is no such table, for a column that is not there, for one that would
    be added and is there already, and where no value at all has a row.
    """
    matched = []
    for column, path in section.lookup.items():
        file = read_lookup(path, column)
        added = file.rest.column_names
        there = [name for name in added if name in columns.names]
        if column not in columns.names:
            if len(there) == len(added):
                continue
            raise DataError(unknown_column(f"[data] lookup = {{{column} = {path!r}}}", column, columns))
        if there:
            raise DataError(
                f"[data] lookup: {columns.name} has a column {there[0]!r} already, and {file.name} would add one; call it "
                f"otherwise with --set 'data.rename={{{there[0]}=\"old_{there[0]}\"}}'"
            )
        each = _matched(columns, column, file)
        matched.append(each)
        rows = each.rows[each.value_of]
        if not (rows >= 0).any():
            raise DataError(_no_row_message(columns.name, each, np.bincount(each.value_of)))
        take = pa.array(np.maximum(rows, 0), mask=rows < 0)
        typed = columns.typed
        for name in added:
            typed = typed.append_column(name, file.rest[name].take(take))
        columns = replace(columns, typed=typed)
    return LookedUp(columns, tuple(matched), row_numbers)


def read_lookup(path: str, column: str) -> LookUpTable:
    """A file of names and what belongs to them; of FASTA records the identifiers, with their sequences as `<column>_sequence`.

    DataError for a file that cannot be read as a table, or has no second column.
    """
    contents = read_contents(path)
    if columnar_format(contents):
        table = read_columnar(contents)
    elif contents.buffer.slice(0, 1).to_pybytes() == b">":
        checked_text(contents)
        records = read_fasta(contents).columns
        table = pa.table({"id": records["id"], f"{column}_sequence": records["sequence"]})
    else:
        checked_text(contents)
        table = read_delimited(contents).columns
    names = table.column_names
    if len(names) < 2:
        raise DataError(
            f"[data] lookup = {{{column} = {path!r}}}: {contents.name} has one column, {names[0]!r}; it needs names in the first "
            "and what belongs to them in others"
        )
    return LookUpTable(contents.name, _text(table[names[0]]), table.drop_columns([names[0]]))


def keep_lookups(folder: Path, table: Table, section: DataSection) -> None:
    """Write what `[data] lookup` needs into a run folder, unless it is there; of a very large file what this table uses."""
    for column, source in section.lookup.items():
        path = _kept(folder, column)
        if path.exists():
            continue
        file = read_lookup(source, column)
        kept = np.arange(len(file.names))
        if len(kept) > MOST_KEPT and column in table.data.column_names:
            rows = file.rows_of(pc.unique(_text(table.data[column])).to_pylist())
            kept = np.unique(rows[rows >= 0])
        own = file.rest.add_column(0, _free_name(file.rest), pa.chunked_array([file.names])).take(pa.array(kept))
        write_parquet(path, own)


def kept_lookups(folder: Path, section: DataSection) -> dict[str, str]:
    """`[data] lookup` of a run, with the files in its own folder."""
    return {column: str(_kept(folder, column)) for column in section.lookup}


def _kept(folder: Path, column: str) -> Path:
    return folder / FOLDER / f"{quote(column, safe='')}.parquet"


def _free_name(rest: pa.Table) -> str:
    name = "name"
    while name in rest.column_names:
        name += "_"
    return name


def _text(column: pa.ChunkedArray) -> pa.Array:
    """Large_string (N,) without white space around it, '' where missing."""
    text = pc.fill_null(column.cast(pa.large_string()), "")
    return pc.utf8_trim_whitespace(text).combine_chunks()


def _matched(columns: Columns, column: str, file: LookUpTable) -> Matched:
    encoded = _text(columns.typed[column]).dictionary_encode()
    values = tuple(encoded.dictionary.to_pylist())
    return Matched(column, file, values, file.rows_of(values), encoded.indices.to_numpy().astype(np.int64))


# --- what is said of values ------------------------------------------------------------------------------------------


def _without_row(table: Table, each: Matched, value_of: np.ndarray) -> list[Finding]:
    missing = each.rows[value_of] < 0
    if not missing.any():
        return []
    message = _no_row_message(table.source.name, each, np.bincount(value_of, minlength=len(each.values)))
    return [finding("no-look-up", "error", message, table.row_numbers[missing])]


def _no_row_message(name: str, each: Matched, counts: np.ndarray) -> str:
    """`counts`: rows of the table with each value, int (values,)."""
    missing = [place for place in np.argsort(-counts, kind="stable") if each.rows[place] < 0 and counts[place]]
    named = "; ".join(_described(each, place, int(counts[place])) for place in missing[:N_NAMED_ROWS])
    left_out = ", ".join(repr(each.values[place]) for place in missing[:N_NAMED_ROWS])
    more = ", ..." if len(missing) > N_NAMED_ROWS else ""
    return (
        f"{name}: {len(missing):,} values of column {each.column!r} ({int(counts[missing].sum()):,} rows) have no row in "
        f'{each.file.name}: {named}; correct them, add them to that file, or leave them out: --where "{each.column} not in '
        f'({left_out}{more})"'
    )


def _described(each: Matched, place: int, n_rows: int) -> str:
    value = each.values[place]
    if each.rows[place] == SEVERAL:
        return f"{value!r} ({n_rows:,} rows; it has several rows that differ)"
    near = each.file.nearest(value) if value else ""
    return f"{value!r} ({n_rows:,} rows{f'; nearest is {near!r}' if near else ''})"


def _spellings(table: Table, each: Matched, value_of: np.ndarray) -> list[Finding]:
    """Values that differ and are one allele."""
    present = np.unique(value_of)
    spelt: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for place in present[each.rows[present] >= 0]:
        spelt[allele_name(each.values[place]) or each.values[place], int(each.rows[place])].append(int(place))
    several = {allele: places for allele, places in spelt.items() if len(places) > 1}
    if not several:
        return []
    shown = "; ".join(", ".join(repr(each.values[place]) for place in places) for places in [*several.values()][:3])
    message = (
        f"{table.source.name}: {len(several):,} alleles in column {each.column!r} are spelt in several ways ({shown}); they get "
        "the same row of the look-up, and count as different groups"
    )
    rows = np.isin(value_of, np.concatenate([*several.values()]))
    return [finding("spellings", "warning", message, table.row_numbers[rows])]
