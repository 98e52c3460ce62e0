"""Mutation lists: what `G126A`, `p.Gly126Ala:K3del` and `WT` say. Which sequence they are applied to is left to others."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SEPARATORS = r"[,:;/+\s]+"
THREE_LETTERS = dict(
    zip(
        "ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL SEC PYL TER".split(),  # noqa: SIM905
        "ARNDCQEGHILKMFPSTWYVUO*",
        strict=True,
    )
)
WORD = re.compile(r"(?:P\.)?([A-Z]{3}|[A-Z*])(\d{1,9})([A-Z]{3}|[A-Z*=-])")
"""HGVS (den Dunnen et al. 2016) with one or three letters, as it stands once letters are upper case and brackets are gone."""
UNCHANGED = frozenset(("", "WT", "_WT", "WILDTYPE", "WILD-TYPE", "WILD_TYPE", "P.=", "="))
ALLOWED = "G126A, p.Gly126Ala, G126del, G126* or WT, separated by , : ; / or blanks"
MOSTLY = 0.9
"""Share of its values that must be lists before a column is taken for one of lists."""
NOTHING = 0
"""In place of a letter: no residue, before an insertion or after a deletion."""


class Mutations(NamedTuple):
    """M mutations of some rows, sorted by row and site; residues as bytes of text or as ids of an alphabet."""

    rows: np.ndarray  # int64 (M,)
    sites: np.ndarray  # int64 (M,), as they were written, or from 1; an insertion has the site it stands behind
    wild: np.ndarray  # uint8 (M,), NOTHING for an insertion
    mutant: np.ndarray  # uint8 (M,), NOTHING for a deletion

    def where(self, keep: np.ndarray) -> Mutations:
        """The mutations where `keep`, bool (M,), is True."""
        return Mutations(*(each[keep] for each in self))

    def counts(self, n_rows: int) -> np.ndarray:
        """Mutations of each row, int64 (N,)."""
        return np.bincount(self.rows, minlength=n_rows)


class Lists(NamedTuple):
    """A column of mutation lists as it reads."""

    mutations: Mutations
    unread: dict[int, str]
    """The first unreadable word of each row that has one."""


def read_lists(column: pa.Array | pa.ChunkedArray) -> Lists:
    """The mutations of N lists in letters (uint8); a missing or empty list has none.

    Each distinct word is read once, so that forty thousand lists take no longer than their few thousand words.

    >>> read_lists(pa.array(["G126A,K3del", "WT", "p.Gly126Ala", "what"]))[1]
    {3: 'WHAT'}
    """
    text = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    text = pc.ascii_upper(pc.fill_null(text.cast(pa.large_string()), ""))
    text = pc.replace_substring_regex(text, r"[\[\]()]", "")
    words = pc.split_pattern_regex(text, SEPARATORS)
    rows = pc.list_parent_indices(words).to_numpy(zero_copy_only=False).astype(np.int64)
    encoded = pc.list_flatten(words).dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    read = np.array([_read(word) for word in distinct], np.int64).reshape(-1, 3)[codes]
    unread = np.flatnonzero(read[:, 0] < 0)
    first = {int(rows[each]): distinct[codes[each]] for each in unread[::-1]}
    keep = read[:, 0] > 0
    sites, wild, mutant = read[keep].T
    order = np.lexsort((sites, rows[keep]))
    parts = (rows[keep], sites, wild.astype(np.uint8), mutant.astype(np.uint8))
    return Lists(Mutations(*(each[order] for each in parts)), first)


def holds_lists(head: pa.Array | pa.ChunkedArray, share: float = MOSTLY) -> bool:
    """Whether a `share` of the values of a column of text are mutation lists, and not all of them empty ones."""
    lists = read_lists(head)
    return len(lists.mutations.rows) > 0 and len(lists.unread) <= (1 - share) * len(head)


def written(site: int, wild: int, mutant: int) -> str:
    """A mutation of letters (bytes) as one writes it: G126A, G126del."""
    return f"{chr(wild)}{site}{chr(mutant) if mutant != NOTHING else 'del'}"


def _read(word: str) -> tuple[int, int, int]:
    """Site, wild and mutant letter; (0, 0, 0) for no mutation and (-1, 0, 0) for no such word."""
    if word in UNCHANGED:
        return 0, 0, 0
    found = WORD.fullmatch(word)
    if found is None or int(found[2]) == 0:
        return -1, 0, 0
    wild = THREE_LETTERS.get(found[1], found[1])
    mutant = found[3]
    mutant = wild if mutant == "=" else "\0" if mutant in ("-", "DEL") else THREE_LETTERS.get(mutant, mutant)
    if len(wild) > 1 or len(mutant) > 1:
        return -1, 0, 0
    return int(found[2]), ord(wild), ord(mutant)
