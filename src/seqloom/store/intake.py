"""What a piece of a table becomes: sequences, ids of components and labels of its rows, and which rows cannot be packed.

Rows of a long table are put together in `seqloom.store.fold`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.alphabet import UNKNOWN, Alphabet
from seqloom.canonical import canonical, last_symbols
from seqloom.store.labels import read_labels
from seqloom.store.levels import Levels
from seqloom.store.molecules import Molecules
from seqloom.store.sources import Role, is_text
from seqloom.store.tokenise import encode
from seqloom.tokens import Tokens, ragged_bytes

SYMBOL, EMPTY, LABEL = "unknown symbol", "empty sequence", "label"
DISAGREEMENT, UNREADABLE, ENTITY = "disagreement", "unreadable molecule", "unknown target"


class Columns(NamedTuple):
    """Which columns are read, and as what."""

    sequence: str
    targets: tuple[str, ...]
    """Columns of a wide table, names in the entity column of a long one."""
    components: tuple[str, ...]
    entity: str = ""
    value: str = ""

    @property
    def roles(self) -> dict[str, Role]:
        """The role of every column that is read."""
        found: dict[str, Role] = {self.sequence: "sequence", **dict.fromkeys(self.components, "component")}
        if self.entity:
            return {**found, self.entity: "entity", self.value: "target"}
        return {**found, **dict.fromkeys(self.targets, "target")}

    @property
    def shared(self) -> tuple[str, ...]:
        """Columns in which few names stand many times."""
        return (*self.components, *([self.entity] if self.entity else []))


class Rows(NamedTuple):
    """M molecules, and the n rows of tables that each of them comes from."""

    sequences: pa.Array  # large_string (M,)
    ids: np.ndarray  # int32 (C, M)
    ones: np.ndarray  # bool (K, M)
    known: np.ndarray  # bool (K, M)
    file: np.ndarray  # int32 (n,): which table
    row: np.ndarray  # int64 (n,): which row of it, from 0
    bounds: np.ndarray  # int64 (M + 1,): molecule m is of the rows bounds[m], ..., bounds[m + 1] - 1
    bad: Mapping[int, tuple[str, str]]
    """Molecules that cannot be packed: the reason, and the text it is about."""


def wide_rows(table: pa.Table, file: int, first: int, columns: Columns, levels: Sequence[Levels]) -> Rows:
    """A molecule of each row, which is row `first`, `first` + 1, ... of table `file`."""
    n = table.num_rows
    ones, known = np.zeros((len(columns.targets), n), bool), np.zeros((len(columns.targets), n), bool)
    bad: dict[int, tuple[str, str]] = {}
    for place, target in enumerate(columns.targets):
        ones[place], known[place], odd = read_labels(table[target])
        for row in np.flatnonzero(odd).tolist():
            bad.setdefault(row, (LABEL, f"{target}={table[target][row].as_py()}"))
    ids = component_ids(table, columns, levels)
    where = np.full(n, file, np.int32), np.arange(first, first + n, dtype=np.int64)
    return Rows(texts(table[columns.sequence]), ids, ones, known, *where, np.arange(n + 1), bad)


def component_ids(table: pa.Table, columns: Columns, levels: Sequence[Levels]) -> np.ndarray:
    """Ids of every component, int32 (C, N)."""
    found = [each.ids(table[name]) for each, name in zip(levels, columns.components, strict=True)]
    return np.stack(found) if found else np.zeros((0, table.num_rows), np.int32)


def texts(column: pa.ChunkedArray) -> pa.Array:
    """A column of text as one large_string array (N,) without nulls."""
    if not is_text(column.type):  # a column of nulls
        return pa.array([""] * len(column), pa.large_string())
    column = column.cast(pa.large_string())
    whole = (
        column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])
    )
    return whole.fill_null("") if whole.null_count else whole


def tokens_of(
    rows: Rows, alphabet: Alphabet, rewrites: Sequence[tuple[str, str]], molecules: Molecules | None
) -> tuple[Tokens, dict[int, tuple[str, str]]]:
    """Tokens of M molecules, and all that cannot be packed, those known before included.

    The text of a reason is the sequence as it stood in the table; of an unknown symbol as it is after rewriting.
    """
    strings, bad = rows.sequences, dict(rows.bad)
    for old, new in rewrites:
        strings = pc.replace_substring(strings, old, new)
    for row in np.flatnonzero(pc.binary_length(strings).to_numpy(zero_copy_only=False) == 0).tolist():
        bad.setdefault(row, (EMPTY, rows.sequences[row].as_py()))
    if molecules is not None:
        strings, unread = molecules.canonical(strings)
        for row in np.flatnonzero(unread).tolist():
            bad.setdefault(row, (UNREADABLE, rows.sequences[row].as_py()))
    tokens, unknown = _encoded(strings, alphabet)
    for row in unknown.tolist():
        bad.setdefault(row, (SYMBOL, strings[row].as_py()))
    for row in np.flatnonzero(tokens.lengths == 0).tolist():  # of white space alone, say
        bad.setdefault(row, (EMPTY, rows.sequences[row].as_py()))
    return tokens, bad


def odd_symbols(text: str, alphabet: Alphabet) -> str:
    """The symbols of a text that the alphabet does not know, in quotes."""
    odd = dict.fromkeys(each for each in text if ord(each) > 255 or alphabet.look_up[ord(each)] == UNKNOWN)
    return " ".join(map(repr, odd))


def _encoded(strings: pa.Array, alphabet: Alphabet) -> tuple[Tokens, np.ndarray]:
    """Tokens, and the rows that hold an unknown symbol, int64."""
    text, offsets = ragged_bytes(strings)
    values, n_unknown = encode(text, alphabet.look_up)
    stops = alphabet.folds_case and "*" in alphabet.symbols and len(last_symbols(text, offsets, "*")) > 0
    if n_unknown or stops:  # white space, which is no part of a sequence, or what is wrong
        text, offsets = ragged_bytes(canonical(strings, alphabet))
        values, n_unknown = encode(text, alphabet.look_up)
    if not n_unknown:
        return Tokens(values, offsets), np.zeros(0, np.int64)
    where = np.flatnonzero(values == UNKNOWN)
    return Tokens(values, offsets), np.unique(np.searchsorted(offsets, where, side="right") - 1)
