"""Signs of values that are bounds: `>20000` as one cell, or `>` in a column of its own.

A sign is -1 where the true value is at most what is written (`<`, `<=`), +1 where it is at least that (`>`, `>=`), and 0 where
the value is one (`=`, `~` or nothing). What a table does with them is decided in `seqloom.censored`.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.read.numbers import MISSING_WORDS, NUMBER, is_text, present

WORDS = {
    "<": -1, "<=": -1, "=<": -1, "<<": -1, "≤": -1, ">": 1, ">=": 1, "=>": 1, ">>": 1, "≥": 1, "=": 0, "==": 0, "~": 0, "≈": 0,
}  # fmt: skip
"""What a column of signs may say, by what it means."""
SIGNED = r"^\s*(<<|<=|=<|<|≤|>>|>=|=>|>|≥|==|=|~|≈)\s*(" + NUMBER[1:-1] + r")\s*$"
"""A sign and a number."""


def has_signs(column: pa.ChunkedArray | pa.Array) -> bool:
    """Whether any value of the column is a sign and a number."""
    return is_text(column.type) and bool(pc.any(pc.match_substring_regex(column, SIGNED)).as_py())


def unsigned(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """The text column (N,) without the signs before its numbers; other values stay as they are."""
    return pc.replace_substring_regex(column, SIGNED, r"\2")


def prefixes(column: pa.ChunkedArray | pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The signs before the numbers of a text column, int8 (N,), and where there is one, `=` included, bool (N,)."""
    there = pc.fill_null(pc.match_substring_regex(column, SIGNED), False)
    words = pc.if_else(there, pc.replace_substring_regex(column, SIGNED, r"\1"), None)
    return signs(words)[0], np.asarray(there.to_numpy(zero_copy_only=False), bool)


def signs(column: pa.ChunkedArray | pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """What a column of signs says, int8 (N,), 0 where it says nothing; and where its word is no sign, bool (N,)."""
    text = column.cast(pa.large_string())
    text = pc.utf8_trim(present(text, MISSING_WORDS), " '\"")
    place = pc.index_in(text, pa.array(list(WORDS), pa.large_string()))
    odd = pc.and_(text.is_valid(), pc.is_null(place))
    codes = np.array([*WORDS.values(), 0], np.int8)
    at = pc.fill_null(place, len(WORDS)).to_numpy(zero_copy_only=False)
    return codes[at], np.asarray(odd.to_numpy(zero_copy_only=False), bool)
