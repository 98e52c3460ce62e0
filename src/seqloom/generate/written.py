"""What is written symbol by symbol, whatever draws the symbols: which sequences can be, how long they get, where they end."""

from __future__ import annotations

import numpy as np

from seqloom.tokens import Tokens

MARGIN, LEAST = 4, 8


def writable(tokens: Tokens, v: int) -> np.ndarray:
    """bool (N,): sequences with a symbol at least, all of whose ids are 1..v-1."""
    odd = np.concatenate([[0], np.cumsum((tokens.values == 0) | (tokens.values >= v))])
    return (odd[tokens.offsets[1:]] == odd[tokens.offsets[:-1]]) & (tokens.lengths > 0)


def most_symbols(longest: int, prefix: np.ndarray) -> int:
    """Symbols after which the end is written at the latest: a quarter more than the longest learnt from, or those of the prefix.

    A generator that has learnt its family ends long before; one that has not would never.
    """
    return max(longest + max(longest // MARGIN, LEAST), len(prefix))


def until_end(ids: np.ndarray) -> Tokens:
    """The sequences of ids uint8 (N, L), each up to its first 0."""
    going = np.logical_and.accumulate(ids > 0, axis=1)
    return Tokens(ids[going], np.concatenate([[0], np.cumsum(going.sum(1, dtype=np.int64))]))
