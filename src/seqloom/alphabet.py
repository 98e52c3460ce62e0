"""An alphabet: which symbols a kind of sequence is written in, and the id of each.

A sequence is an integer array plus an alphabet. Id 0 is padding in every alphabet; symbols count from 1 in the order of
`symbols`. What to do about odd symbols in a table (lower case, gaps, stops) is decided by `seqloom.table`.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import pyarrow as pa

from seqloom.errors import DataError
from seqloom.tokens import Tokens, ragged_bytes

UNKNOWN = 255
UNKNOWN_BYTE = b"\xff"
CHUNK = 2**16
"""Bytes looked up at a time: what is copied on the way stays in the cache."""
N_NAMED = 5


@dataclass(frozen=True)
class Alphabet:
    """Symbols of one kind of sequence; ids are `1 + index in symbols`, 0 is padding."""

    name: str
    symbols: str
    standard: str
    """The symbols that carry full meaning; the rest of `symbols` (ambiguity codes, gap, stop) are legal oddities."""
    folds_case: bool = True
    """Whether lower case means the same as upper case (not in SMILES, where it marks aromatic atoms)."""

    @property
    def size(self) -> int:
        """V: number of ids, padding included."""
        return len(self.symbols) + 1

    @cached_property
    def look_up(self) -> np.ndarray:
        """Id of every byte, uint8 (256,); `UNKNOWN` where the byte is no symbol."""
        table = np.full(256, UNKNOWN, np.uint8)
        for index, symbol in enumerate(self.symbols, start=1):
            table[ord(symbol)] = index
            if self.folds_case and symbol.isalpha():
                table[ord(symbol.lower())] = index
        table.flags.writeable = False
        return table

    def encode(self, strings: pa.Array | Sequence[str]) -> Tokens:
        """Tokens of N strings, by one look-up over the string buffer; nulls become empty sequences.

        Raises DataError naming the first rows (from 1) and the symbols that are not in the alphabet.

        >>> PROTEIN.encode(["MKV", "a"]).lengths.tolist()
        [3, 1]
        """
        text, offsets = ragged_bytes(strings)
        values, n_unknown = translated(text, self.look_up)
        if n_unknown:
            raise DataError(self._unknown_message(text, offsets, values == UNKNOWN))
        return Tokens(values, offsets)

    def decode(self, tokens: Tokens) -> list[str]:
        """The N strings; padding ids are left out."""
        letters = np.frombuffer(("\0" + self.symbols).encode(), np.uint8)[tokens.values].tobytes()
        bounds = tokens.offsets.tolist()
        return [letters[start:end].replace(b"\0", b"").decode() for start, end in pairwise(bounds)]

    def ids(self, symbols: str) -> np.ndarray:
        """Ids of single symbols, uint8 (len(symbols),)."""
        return self.look_up[np.frombuffer(symbols.encode(), np.uint8)]

    def _unknown_message(self, text: np.ndarray, offsets: np.ndarray, unknown: np.ndarray) -> str:
        where = np.flatnonzero(unknown)
        rows = np.searchsorted(offsets, where, side="right") - 1
        bad_rows = np.unique(rows)
        lines = []
        for row in bad_rows[:N_NAMED]:
            raw = text[offsets[row] : offsets[row + 1]].tobytes().decode("utf-8", "replace")
            odd = sorted({each for each in raw if ord(each) > 255 or self.look_up[ord(each)] == UNKNOWN})
            lines.append(f"  row {row + 1}: {' '.join(map(repr, odd))} in {raw[:40]!r}")
        return (
            f"{len(bad_rows)} of {len(offsets) - 1} sequences hold symbols that the {self.name} alphabet does not know "
            f"(it knows {self.symbols}):\n" + "\n".join(lines)
        )


def translated(text: np.ndarray, look_up: np.ndarray) -> tuple[np.ndarray, int]:
    """`look_up[text]`, uint8 (S,), for bytes (S,) and a table of all 256; and how many of them are `UNKNOWN`.

    By `bytes.translate`, which takes half the time of NumPy's indexing: that makes 8 bytes of every index first.
    """
    table, values, n_unknown = look_up.tobytes(), np.empty(len(text), np.uint8), 0
    for start in range(0, len(text), CHUNK):
        part = text[start : start + CHUNK].tobytes().translate(table)
        values[start : start + CHUNK] = np.frombuffer(part, np.uint8)
        if UNKNOWN_BYTE in part:
            n_unknown += part.count(UNKNOWN_BYTE)
    return values, n_unknown


PROTEIN = Alphabet("protein", "ACDEFGHIKLMNPQRSTVWYXBZUOJ*-.", standard="ACDEFGHIKLMNPQRSTVWY")
DNA = Alphabet("dna", "ACGTNRYSWKMBDHVU-.", standard="ACGT")
RNA = Alphabet("rna", "ACGUNRYSWKMBDHVT-.", standard="ACGU")
SMILES = Alphabet(
    "smiles",
    string.ascii_letters + string.digits + "#%()*+-./:=@[\\]~$>",
    standard=string.ascii_letters + string.digits + "#%()*+-./:=@[\\]~$>",
    folds_case=False,
)
ALPHABETS = {each.name: each for each in (PROTEIN, DNA, RNA, SMILES)}
