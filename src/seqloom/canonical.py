"""Sequences as every part of seqloom reads them: upper case, no white space, no trailing stop.

SMILES keep their case, where it marks aromatic atoms, and any white space inside, which is an error there and not a line
break. What was changed is reported by `seqloom.check`, from the same masks.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from seqloom.alphabet import Alphabet
from seqloom.read.fasta import strings
from seqloom.roles.recognise import byte_counts
from seqloom.tokens import ragged_bytes

WHITE_SPACE = np.frombuffer(b" \t\r\n\v\f", np.uint8)
UPPER = np.arange(256, dtype=np.uint8)
UPPER[ord("a") : ord("z") + 1] -= 32


def canonical(column: pa.Array | pa.ChunkedArray, alphabet: Alphabet) -> pa.Array:
    """Canonical sequences, large_string (N,) without nulls: a missing sequence is an empty one.

    Returns the column's own memory when nothing has to change.
    """
    text, offsets = ragged_bytes(column)
    counts = byte_counts(text)
    has_space = counts[WHITE_SPACE].any()
    has_lower = alphabet.folds_case and counts[ord("a") : ord("z") + 1].any()
    stops = alphabet.folds_case and "*" in alphabet.symbols and counts[ord("*")] > 0
    if has_lower:
        text = UPPER[text]
    if has_space:
        is_space = np.isin(text, WHITE_SPACE)
        keep = ~is_space if alphabet.folds_case else ~(is_space & _at_an_end(is_space, offsets))
        text, offsets = kept(text, offsets, keep)
    if stops:
        keep = np.ones(len(text), bool)
        keep[last_symbols(text, offsets, "*")] = False
        text, offsets = kept(text, offsets, keep)
    return strings(text, offsets)


def last_symbols(text: np.ndarray, offsets: np.ndarray, symbol: str) -> np.ndarray:
    """Positions (int64) in `text` where a sequence ends in `symbol`."""
    ends = offsets[1:][np.diff(offsets) > 0] - 1
    return ends[text[ends] == ord(symbol)]


def kept(text: np.ndarray, offsets: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bytes where `keep` is True, and the offsets (N + 1,) of the shortened sequences."""
    total = np.concatenate([[0], np.cumsum(keep)])
    return text[keep], total[offsets]


def _at_an_end(is_space: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """bool (bytes,): no symbol stands before, or none after, in the same sequence."""
    symbols = np.concatenate([[0], np.cumsum(~is_space)])
    lengths = np.diff(offsets)
    before = symbols[:-1] - np.repeat(symbols[offsets[:-1]], lengths)
    after = np.repeat(symbols[offsets[1:]], lengths) - symbols[1:]
    return (before == 0) | (after == 0)
