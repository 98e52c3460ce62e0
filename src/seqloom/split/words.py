"""Short sequences by shared words: the common-motif clusters of NetMHCIIpan, without comparing any pair.

Two sequences that share a word of k symbols are related, and so is all that hangs together by such words. Words are sorted
once and neighbours in the sorted list are linked, so time grows with the number of symbols.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field

from seqloom.alphabet import Alphabet
from seqloom.connected import connected
from seqloom.encode.kmer import kmers
from seqloom.errors import DataError
from seqloom.registry import register
from seqloom.split.base import Partition
from seqloom.split.random import DealtSplitter
from seqloom.table import Table
from seqloom.tokens import Tokens

LARGEST_SHARE = 0.9
"""Of rows in one component: with more, what is left cannot test a model trained on the component."""
GAPPED = ("protein", "dna", "rna")
"""Alphabets in which - and . are gaps; in SMILES they are a bond and a break."""


@register("splitter", "hobohm9")
class SharedWordSplit(DealtSplitter):
    """Whole clusters of sequences that share a word of nine symbols, such as a binding core.

    For peptides and other short sequences. Related is what shares a word of `k` symbols, directly or through others. Gaps are
    left out first, and words with an unknown or ambiguous symbol do not count; a sequence without a word is related to its
    equals only. With several sequence columns, rows are related when they are so in every column.
    """

    k: Annotated[int, Field(ge=2)] = 9
    """Symbols of a word."""

    def assign(self, table: Table, strata: np.ndarray | None) -> Partition:
        """Roles by dealing components; DataError when nearly all rows are one component."""
        sizes = np.bincount(self.units(table))
        largest = int(sizes.max(initial=0))
        if table.n_rows > 1 and largest > LARGEST_SHARE * table.n_rows:
            share = f"{largest:,} of {table.n_rows:,} rows ({largest / table.n_rows:.1%})"
            raise DataError(
                f"{table.source.name}: {share} hang together by shared words of {self.k} symbols, as variants of one sequence "
                f"do, and no partition parts them; take longer words (--set split.k={self.k + 6}), or another split: with "
                f"--set split.kind=random scores are those of near copies"
            )
        return super().assign(table, strata)

    def units(self, table: Table) -> np.ndarray:
        """Connected components of rows that share a word in every sequence column."""
        codes = np.zeros(table.n_rows, np.int64)
        for column in table.roles.sequences:
            own = _related(table.sequences(column), table.alphabets[column], self.k)
            codes = np.unique(codes * (int(own.max(initial=0)) + 1) + own, return_inverse=True)[1]
        return codes

    @property
    def guarantee(self) -> str:
        """What holds for every test row."""
        return f"no test row shares a word of {self.k} symbols with a training row, in every sequence column if there are several"

    def _unit_name(self, table: Table) -> str:
        return f"clusters by shared words of {self.k} symbols"


def _related(sequences: pa.Array, alphabet: Alphabet, k: int) -> np.ndarray:
    """Components of sequences that share a word or are equal, int64 (N,)."""
    encoded = sequences.dictionary_encode()
    n_distinct = len(encoded.dictionary)
    left, right = _linked(_standard_words(alphabet.encode(encoded.dictionary), alphabet, k))
    return connected(left, right, n_distinct)[encoded.indices.to_numpy(zero_copy_only=False)]


def _linked(words: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows, int64 (E,) each, enough to connect all rows that hold one word."""
    rows, codes = words
    order = np.argsort(codes)
    rows, codes = rows[order], codes[order]
    same = (codes[1:] == codes[:-1]) & (rows[1:] != rows[:-1])
    return rows[:-1][same], rows[1:][same]


def _standard_words(tokens: Tokens, alphabet: Alphabet, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Words of k standard symbols once gaps are out: the row, int64 (M,), and a number equal for equal words, int64 (M,)."""
    if alphabet.name in GAPPED:
        tokens = _without(tokens, alphabet.ids("-."))
    rows, codes = _exact_words(tokens, k, alphabet.size)
    plain = np.isin(tokens.values, alphabet.ids(alphabet.standard))
    if plain.all():
        return rows, codes
    # Odd symbols before each position; a word is standard when none lies between its start and its end.
    odd = np.concatenate([[0], np.cumsum(~plain)])
    starts = _word_starts(tokens, k)
    keep = odd[starts + k] == odd[starts]
    return rows[keep], codes[keep]


def _exact_words(tokens: Tokens, k: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """As `kmers`, exact for any k: long words are numbered through the shorter ones they are laid together from."""
    longest = int(63 / np.log2(size))
    if k <= longest:
        return kmers(tokens, k, size)
    _, short = kmers(tokens, longest, size)
    distinct, short = np.unique(short, return_inverse=True)
    at_symbol = np.zeros(len(tokens.values) + 1, np.int64)
    at_symbol[_word_starts(tokens, longest)] = short
    starts = _word_starts(tokens, k)
    codes = at_symbol[starts]
    for shift in [*range(longest, k - longest, longest), k - longest]:
        codes = np.unique(codes * len(distinct) + at_symbol[starts + shift], return_inverse=True)[1]
    return np.repeat(np.arange(len(tokens)), np.maximum(tokens.lengths - k + 1, 0)), codes


def _word_starts(tokens: Tokens, k: int) -> np.ndarray:
    """Where in `tokens.values` each word of k symbols starts, int64 (M,), in the order of `kmers`."""
    n_words = np.maximum(tokens.lengths - k + 1, 0)
    within = np.arange(n_words.sum()) - np.repeat(np.cumsum(n_words) - n_words, n_words)
    return np.repeat(tokens.offsets[:-1], n_words) + within


def _without(tokens: Tokens, ids: np.ndarray) -> Tokens:
    """The sequences with these symbols left out."""
    keep = ~np.isin(tokens.values, ids)
    if keep.all():
        return tokens
    total = np.concatenate([[0], np.cumsum(keep)])
    return Tokens(tokens.values[keep], total[tokens.offsets])
