"""Similarity of the rows of a table: the right comparison for each alphabet, several sequence columns included.

Protein, DNA and RNA sequences are aligned, molecules compared by fingerprints; SMILES that RDKit cannot read are alike only
where their text is equal. Rows of several sequence columns are alike when they are alike in every column.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from seqloom.connected import connected
from seqloom.similarity.alike import linked
from seqloom.similarity.closest import nearest
from seqloom.similarity.effort import Search
from seqloom.similarity.fingerprints import linked_prints, nearest_prints
from seqloom.similarity.memory import digest, remembered
from seqloom.similarity.neighbours import Neighbours
from seqloom.similarity.several import Column, aligned, molecules, nearest_in_all
from seqloom.table import Table


class Groups(NamedTuple):
    """Connected components of alike rows."""

    label: np.ndarray  # int64 (N,)
    exact: bool
    """Whether all pairs were compared."""


def alike_groups(table: Table, identity: float, search: Search = "auto") -> Groups:
    """Components of rows that are alike at `identity`; equal sequences are always alike.

    MissingExtra for SMILES without RDKit. Asked again of the same sequences, the answer is kept.
    """
    parts = [_column_groups(table, column, identity, search) for column in table.roles.sequences]
    label = parts[0].label
    for each in parts[1:]:
        label = np.unique(label * (int(each.label.max(initial=0)) + 1) + each.label, return_inverse=True)[1]
    return Groups(label, all(each.exact for each in parts))


def nearest_rows(
    table: Table,
    queries: np.ndarray,
    references: np.ndarray,
    most: int = 1,
    *,
    search: Search = "auto",
    n_rows: int = 0,
) -> Neighbours:
    """The closest of the rows `references` for each of the rows `queries` (int64, from 0); indices into these two arrays.

    Rows of several sequence columns are as alike as the column in which they are least alike. Alike is what is so beyond chance
    among `n_rows` rows, by default those of the table.
    """
    names, n_rows = table.roles.sequences, n_rows or table.n_rows

    def found() -> Neighbours:
        if len(names) > 1:
            return nearest_in_all([_compared(table, name, queries, references, n_rows) for name in names], most, search)
        if table.alphabets[names[0]].name == "smiles":
            return _nearest_molecules(table, names[0], queries, references, most)
        tokens = table.tokens(names[0])
        return nearest(tokens.take(queries), tokens.take(references), table.alphabets[names[0]], most, search, n_rows)

    digests = tuple((table.alphabets[name].name, digest(table.tokens(name))) for name in names)
    return remembered(("nearest", digests, queries.tobytes(), references.tobytes(), most, search, n_rows), found)


def _compared(table: Table, name: str, queries: np.ndarray, references: np.ndarray, n_rows: int) -> Column:
    """A sequence column of these rows as one of several to compare."""
    tokens, alphabet = table.tokens(name), table.alphabets[name]
    if alphabet.name != "smiles":
        return aligned(tokens.take(queries), tokens.take(references), alphabet, n_rows)
    prints, unread = _prints(table, name)
    rows = np.append(queries, references)
    return molecules(_texts(table, name)[rows], prints[rows], unread[rows], len(queries))


def _column_groups(table: Table, column: str, identity: float, search: Search) -> Groups:
    tokens, alphabet = table.tokens(column), table.alphabets[column]

    def found() -> Groups:
        if alphabet.name == "smiles":
            return _molecule_groups(table, column, identity)
        pairs = linked(tokens, alphabet, identity, search)
        return Groups(pairs.groups(), pairs.exact)

    return remembered(("groups", alphabet.name, digest(tokens), identity, search), found)


def _molecule_groups(table: Table, column: str, identity: float) -> Groups:
    prints, unread = _prints(table, column)
    rows = np.flatnonzero(~unread)
    pairs = linked_prints(prints[rows], identity) if len(rows) else None
    text = _texts(table, column)
    order = np.argsort(text, kind="stable")
    same = np.flatnonzero(text[order][1:] == text[order][:-1])
    left, right = order[same], order[same + 1]
    if pairs is not None:
        left, right = np.append(left, rows[pairs.queries]), np.append(right, rows[pairs.references])
    return Groups(connected(left, right, table.n_rows), pairs is None or pairs.exact)


def _nearest_molecules(table: Table, column: str, queries: np.ndarray, references: np.ndarray, most: int) -> Neighbours:
    prints, unread = _prints(table, column)
    own, other = np.flatnonzero(~unread[queries]), np.flatnonzero(~unread[references])
    pairs = nearest_prints(prints[queries[own]], prints[references[other]], most)
    text = np.asarray(table.sequences(column).to_pylist(), object)
    first_of = {value: row for row, value in reversed(list(enumerate(text[references].tolist())))}
    equal = [
        (row, first_of[value])
        for row, value in enumerate(text[queries].tolist())
        if unread[queries[row]] and value in first_of
    ]
    left, right = (
        (np.array(side, np.int64) for side in zip(*equal, strict=True)) if equal else (np.zeros(0, np.int64),) * 2
    )
    return Neighbours(
        np.append(own[pairs.queries], left),
        np.append(other[pairs.references], right),
        np.append(pairs.identity, np.ones(len(left), np.float32)),
        len(queries),
        True,
        "tanimoto",
    )


def _texts(table: Table, column: str) -> np.ndarray:
    """A number for each row, int64 (N,), equal where the text is."""
    codes: np.ndarray = table.sequences(column).dictionary_encode().indices.to_numpy(zero_copy_only=False)
    return codes.astype(np.int64)


def _prints(table: Table, column: str) -> tuple[np.ndarray, np.ndarray]:
    from seqloom.chemistry import fingerprints

    return remembered(
        ("prints", digest(table.tokens(column))), lambda: fingerprints(table.sequences(column).to_pylist())
    )
