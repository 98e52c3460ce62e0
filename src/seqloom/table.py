"""Table: what the user brings, read once, with a role for every column that matters.

`read_table` brings together the readers (`seqloom.read`), the roles (`seqloom.roles`), the row filter (`seqloom.where`) and
the findings (`seqloom.check`). A Table never changes; `take` and `with_column` make new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.alphabet import Alphabet
from seqloom.canonical import canonical
from seqloom.censored import with_bounds
from seqloom.check import bad_symbols, check
from seqloom.errors import ConfigError, DataError
from seqloom.findings import N_NAMED_ROWS, Finding
from seqloom.lookup import looked_up
from seqloom.mutation.wild_type import WildType
from seqloom.patch import patched
from seqloom.read.columnar import ArrowStream, columnar_format, read_columnar, read_frame
from seqloom.read.delimited import read_delimited
from seqloom.read.fasta import read_fasta
from seqloom.read.numbers import MISSING_CLASSES, is_text, parsed, present, typed
from seqloom.read.section import UNSAID, Censoring
from seqloom.read.section import DataSection as DataSection
from seqloom.read.source import Contents, Source, checked_text, read_contents
from seqloom.registry import nearest
from seqloom.replicates import aggregated
from seqloom.roles import Columns, Roles, find_roles
from seqloom.roles.mutants import write_out
from seqloom.roles.renames import renamed
from seqloom.roles.sequences import has_sequences
from seqloom.tokens import Tokens
from seqloom.where import rows_where

Made = TypeVar("Made")

FASTA_SUFFIXES = (
    ".fasta",
    ".fa",
    ".faa",
    ".fna",
    ".ffn",
    ".frn",
    ".fas",
    ".pro",
    ".an",
    ".aln",
    ".afa",
    ".mfa",
    ".a2m",
    ".a3m",
)
"""Files called so are FASTA; so is any text that starts with '>'."""
SEPARATOR = "\x1f"  # ASCII unit separator: stands in no sequence and no sensible cell


@dataclass(frozen=True, eq=False)
class Table:
    """N rows with roles; `data` keeps every column of the source in its order."""

    data: pa.Table
    roles: Roles
    alphabets: Mapping[str, Alphabet]
    source: Source
    findings: tuple[Finding, ...]
    row_numbers: np.ndarray
    """int64 (N,): the number of each row in the source, from 1; filters keep it."""
    wild_type: WildType | None = None
    """The wild type that the user named."""
    bounds: Mapping[str, np.ndarray] = field(default_factory=dict)
    """int8 (N,) of every target column that holds bounds, and of no other: -1 the true value is at most what the column says,
    1 at least, 0 just that (see `seqloom.censored`)."""
    signed: tuple[str, ...] = ()
    """Target columns whose values were written with signs, such as `>20000`; `data` has the numbers."""
    _cache: dict[tuple[str, str], object] = field(default_factory=dict, init=False, repr=False)

    @property
    def n_rows(self) -> int:
        """N."""
        return int(self.data.num_rows)

    @property
    def alphabet(self) -> str:
        """Name of the alphabet if there is one sequence column, else ''."""
        columns = self.roles.sequences
        return self.alphabets[columns[0]].name if len(columns) == 1 else ""

    @property
    def ids(self) -> pa.Array:
        """Identifiers, large_string (N,): the id column, and `row-<number>` where there is none."""
        return self.remembered("ids", "", self._ids)

    def _ids(self) -> pa.Array:
        numbered = pc.replace_substring_regex(_written(self.row_numbers), "^", "row-")
        return pc.coalesce(self.text(self.roles.id), numbered) if self.roles.id else numbered

    def sequences(self, column: str | None = None) -> pa.Array:
        """Canonical sequences, large_string (N,) without nulls; of the first sequence column unless one is named."""
        column = column or self._first_sequence()
        return self.remembered("sequences", column, lambda: canonical(self._column(column), self.alphabets[column]))

    def tokens(self, column: str | None = None) -> Tokens:
        """Tokens of the canonical sequences; DataError names rows, ids and symbols that the alphabet does not know."""
        column = column or self._first_sequence()
        problem = self.remembered("bad symbols", column, lambda: bad_symbols(self, column))
        if problem is not None:
            raise DataError(problem.message)
        return self.remembered("tokens", column, lambda: self.alphabets[column].encode(self.sequences(column)))

    def numeric(self, name: str) -> np.ndarray:
        """A column as numbers, float64 (N,), NaN where missing; DataError names rows and values that are no numbers."""
        values, odd = parsed(self._column(name))
        if odd.any():
            raise DataError(not_numbers(self, name, odd))
        return values

    def text(self, name: str) -> pa.Array:
        """A column as text, large_string (N,), null where missing; a number reads as it would be written."""
        column = self._column(name)
        if pa.types.is_nested(column.type):
            raise DataError(f"{self.source.name}: column {name!r} holds {column.type}, which is no text")
        return column.cast(pa.large_string())

    def input_keys(self) -> pa.Array:
        """Text, large_string (N,), equal where canonical sequences, covariates and context are all equal."""
        parts = [self.sequences(column) for column in self.roles.sequences]
        parts += [_written(self.numeric(name)) for name in self.roles.covariates]
        parts += [pc.fill_null(self.text(name), "") for name in self.roles.context]
        if len(parts) == 1:
            return parts[0]
        return pc.binary_join_element_wise(*parts, pa.scalar(SEPARATOR, pa.large_string()))

    def take(self, rows: np.ndarray | Sequence[int]) -> Table:
        """The rows at `rows` (int (M,), from 0), in that order; findings still speak of the whole table."""
        rows = np.asarray(rows, np.int64)
        bounds = {name: each[rows] for name, each in self.bounds.items()}
        return replace(self, data=self.data.take(pa.array(rows)), row_numbers=self.row_numbers[rows], bounds=bounds)

    def with_column(self, name: str, values: pa.Array) -> Table:
        """This table with `values` (N,) as column `name`, in its old place, or last if it is new."""
        index = self.data.schema.get_field_index(name)
        data = self.data.append_column(name, values) if index < 0 else self.data.set_column(index, name, values)
        return replace(self, data=data)

    def remembered(self, what: str, column: str, make: Callable[[], Made]) -> Made:
        """What `make` gives, made once for this `what` and column ('' of the whole table) as long as the table lives."""
        if (what, column) not in self._cache:
            self._cache[what, column] = make()
        return cast(Made, self._cache[what, column])

    def _first_sequence(self) -> str:
        return self.roles.sequences[0]

    def _column(self, name: str) -> pa.Array:
        names = self.data.column_names
        if name not in names:
            raise DataError(
                f"{self.source.name} has no column {name!r}{nearest(name, names)}; columns: {', '.join(names[:30])}"
            )
        return self.remembered("column", name, lambda: _one_chunk(self.data[name]))


def read_table(
    source: str | Path | ArrowStream,
    section: DataSection | None = None,
    targets: Sequence[str] = (),
    *,
    for_prediction: bool = False,
    origin: Source | None = None,
    censoring: Censoring | None = UNSAID,
    renames: Mapping[str, str] | None = None,
) -> Table:
    """The table in a file, on standard input (`-`) or in a DataFrame, with roles, and findings about its rows.

    `targets`: the user's target columns. With `for_prediction` targets may be absent. `origin`: where a DataFrame is from.
    `censoring`: what is said of targets that are bounds; with None targets stay as they are written, signs and all. `renames`: as
    `[data] rename`, of columns that need not be there.
    Raises DataError when the table cannot be read as one, when a column that is needed is not there or not known, and when the
    filter keeps no row; trouble with single rows is never raised but found: see `seqloom.findings.raise_errors`.

    >>> table = read_table(pa.table({"sequence": ["MKVLAA", "acdefg*"], "y": [1.5, 2.0]}))
    >>> table.sequences().to_pylist(), table.roles.targets
    (['MKVLAA', 'ACDEFG'], ('y',))
    >>> [finding.code for finding in table.findings]
    ['lower-case', 'trailing-stop']
    """
    section = section or DataSection()
    columns, found_at, findings = _read(source, section)
    if origin is not None:
        columns, found_at = replace(columns, name=origin.name), origin
    columns = _renamed(columns, section, source, renames or {})
    columns, numbers, corrected = patched(columns, section, source)
    found = looked_up(columns, section, numbers)
    columns = found.columns
    named = bool(section.wild_type)
    mutants = write_out(columns, section, numbers, has_sequences=named and has_sequences(columns, section))
    columns = mutants.columns
    view = typed(columns.typed)
    roles, alphabets, more = find_roles(
        replace(columns, typed=view), section, targets, for_prediction=for_prediction, censoring=censoring
    )
    data = _with_texts(columns.typed, view, roles)
    table = Table(data, roles, alphabets, found_at, (), numbers, mutants.wild_type)
    if censoring is not None:
        table = with_bounds(table, censoring)
    if section.where:
        table = table.take(rows_where(section.where, table))
    said = (*findings, *corrected, *more, *found.findings(table), *mutants.findings(table), *table.findings)
    checked = replace(table, findings=(*said, *check(table, section.replicates)))
    checked._cache.update(table._cache)
    return checked if for_prediction else aggregated(checked, section.replicates)


def read_source(source: str | Path | ArrowStream) -> Source:
    """Where a table comes from, without reading its rows."""
    if isinstance(source, ArrowStream):
        return read_frame(source)[1]
    contents = read_contents(source)
    return _source(contents, _format(contents))


def not_numbers(table: Table, name: str, odd: np.ndarray) -> str:
    """The message about values of a column that are no numbers; `odd` bool (N,) marks them."""
    rows = np.flatnonzero(odd)
    values = table.text(name).take(pa.array(rows[:N_NAMED_ROWS])).to_pylist()
    named = ", ".join(f"row {table.row_numbers[row]}: {value!r}" for row, value in zip(rows, values, strict=False))
    comma = any(value.count(",") == 1 for value in values)
    advice = "write decimals with a point" if comma else "mend them, or leave the cells empty"
    return (
        f"{table.source.name}: column {name!r}: {len(rows)} of {table.n_rows} values are no numbers: {named}; {advice}"
    )


def _read(source: str | Path | ArrowStream, section: DataSection) -> tuple[Columns, Source, list[Finding]]:
    if not isinstance(source, str | Path):
        table, origin = read_frame(source)
        return Columns(origin.name, table), origin, []
    if str(source) == "":
        raise DataError("no table is named; give its path first, or --set data.table=PATH")
    contents = read_contents(source)
    kind = _format(contents)
    patterns = (section.header,) if isinstance(section.header, str) and section.header else tuple(section.header)
    if kind != "fasta" and patterns:
        raise ConfigError(f"[data] header is for FASTA files, and {contents.name} is {kind}; leave it out")
    if kind != "delimited" and (section.skip or section.columns):
        raise ConfigError(
            f"[data] skip and columns are for delimited files, and {contents.name} is {kind}; leave them out"
        )
    if kind in ("parquet", "arrow"):
        return Columns(contents.name, read_columnar(contents)), _source(contents, kind), []
    findings = checked_text(contents)
    if kind == "fasta":
        records = read_fasta(contents, patterns)
        columns = Columns(contents.name, records.columns, is_fasta=True, convention=records.convention)
        return columns, _source(contents, kind), findings + records.findings
    cells = read_delimited(contents, section.skip, section.columns)
    return Columns(contents.name, cells.columns), _source(contents, kind), findings + cells.findings


def _renamed(
    columns: Columns, section: DataSection, source: str | Path | ArrowStream, remembered: Mapping[str, str]
) -> Columns:
    """The columns as `[data] rename` calls them: a name of it may be meant for the test table alone."""
    if not section.test:
        return renamed(columns, section.rename, remembered=remembered)
    if isinstance(source, str | Path) and str(source) == section.test:  # what it lacks, the other table has
        return renamed(columns, {}, remembered={**remembered, **section.rename})
    return renamed(
        columns, section.rename, remembered=remembered, elsewhere=lambda: _read(section.test, section)[0].names
    )


def _format(contents: Contents) -> str:
    if kind := columnar_format(contents):
        return kind
    start = contents.buffer.slice(0, min(1 << 16, contents.buffer.size)).to_pybytes().lstrip()
    stem = contents.name.lower()
    for suffix in (".gz", ".bz2", ".zst"):
        stem = stem.removesuffix(suffix)
    return "fasta" if start.startswith(b">") or stem.endswith(FASTA_SUFFIXES) else "delimited"


def _source(contents: Contents, kind: str) -> Source:
    return Source(contents.path, contents.name, contents.sha256, kind, contents.compression)


def _with_texts(raw: pa.Table, view: pa.Table, roles: Roles) -> pa.Table:
    """Columns by their role: identifiers, groups and context as they were written, targets without words for "missing"."""
    as_written = {roles.id, roles.set, roles.group, *roles.context, *roles.sequences}
    for index, name in enumerate(view.column_names):
        if name in as_written and is_text(raw[name].type) and not pa.types.is_integer(view[name].type):
            column = raw[name]
            view = view.set_column(index, name, pc.if_else(pc.equal(column, ""), None, column))
        elif name in roles.targets and is_text(view[name].type):
            view = view.set_column(index, name, present(view[name], MISSING_CLASSES))
    return view


def _written(numbers: np.ndarray) -> pa.Array:
    """Numbers (N,) as text, large_string (N,)."""
    return pa.array(numbers).cast(pa.large_string())


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.concat_arrays(column.chunks)
        if column.num_chunks
        else pa.array([], column.type)
    )
