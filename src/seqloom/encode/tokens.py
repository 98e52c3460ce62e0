"""Tokens as they are, for predictors that read sequences symbol by symbol.

Several sequence columns become one stream: each column has its own range of ids, and a separator stands between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from seqloom.encode.base import Encoder, FittedEncoder, Inputs, State, covariates_of, scale_of
from seqloom.encode.kmer9 import combined, instances_of
from seqloom.encode.views import ViewText, unknown_id, viewed
from seqloom.errors import ConfigError
from seqloom.registry import register
from seqloom.table import Table
from seqloom.tokens import Tokens, join

MOST_IDS = 256  # tokens are uint8


@register("encoder", "tokens")
class TokenEncoder(Encoder):
    """Sequences as token ids, cut at a longest length.

    Covariates are standardised and handed on beside the tokens.
    """

    gives = "tokens"

    max_length: int = 4096
    """Symbols kept of each sequence; longer ones keep their two ends, half each, as signals often sit there."""
    view: ViewText = ""
    """Part of each sequence that is shown: `first3+last3`, `first4`, `last2` with any numbers, or `first3+mask+last3`, which
    keeps the length and makes the middle unknown symbols; nothing is all of it. Rows too short to have a middle stay whole."""

    length: Annotated[int, Field(ge=0, le=100)] = 0
    """Symbols that every row is brought to, in every way there is, as by `kmer9`; 0 leaves rows as they are."""

    def fit(self, table: Table) -> FittedEncoder:
        """Learn the scale of the covariates and the ranges of ids."""
        sizes = np.array([table.alphabets[column].size for column in table.roles.sequences])
        n_symbols = int((sizes - 1).sum())
        if n_symbols + 2 > MOST_IDS:
            raise ConfigError(
                f"encoder 'tokens' has ids for {MOST_IDS} symbols, and {len(sizes)} sequence columns hold {n_symbols}; "
                "name fewer columns with --sequence, or use predictors that take features"
            )
        for column in table.roles.sequences:  # a view that the alphabet cannot have is said before anything is trained
            self.shown(table, column)
            if self.length:
                unknown_id(table.alphabets[column], f"encoder {self.kind!r} with length = {self.length}")
        return FittedTokens(self, sizes, *scale_of(covariates_of(table)))

    def shown(self, table: Table, column: str) -> Tokens:
        """What the view and `max_length` leave of a sequence column."""
        return _cut(viewed(table.tokens(column), table.alphabets[column], self.view), self.max_length)

    def restore(self, state: State) -> FittedEncoder:
        """The fitted encoder whose `state()` this is."""
        return FittedTokens(self, state["sizes"], state["mean"], state["std"])


@dataclass(frozen=True)
class FittedTokens(FittedEncoder):
    """Ranges of ids by column and the scale of covariates."""

    recipe: TokenEncoder
    sizes: np.ndarray  # int64 (columns,), V of each column's alphabet
    mean: np.ndarray  # float64 (C,)
    std: np.ndarray  # float64 (C,)

    @property
    def vocabulary(self) -> int:
        """V of the joint stream: padding, the symbols of every column, and a separator between columns."""
        return int((self.sizes - 1).sum()) + 1 + (len(self.sizes) > 1)

    @property
    def symbols(self) -> tuple[int, ...]:
        """Symbols of each column, padding not counted."""
        return tuple((self.sizes - 1).tolist())

    def transform(self, table: Table) -> Inputs:
        """Tokens of the joint stream and covariates (N, C), in bags where rows are brought to one length."""
        columns = [self.recipe.shown(table, column) for column in table.roles.sequences]
        covariates = ((covariates_of(table) - self.mean) / self.std).astype(np.float32)
        if not self.recipe.length:
            return Inputs(tokens=self._joint(columns), covariates=covariates)
        found = [
            instances_of(own, self.recipe.length, unknown_id(table.alphabets[column], "encoder 'tokens'"))
            for own, column in zip(columns, table.roles.sequences, strict=True)
        ]
        bags, places = combined([sizes for _, sizes in found])
        own = [tokens.take(place) for (tokens, _), place in zip(found, places, strict=True)]
        return Inputs(tokens=self._joint(own), covariates=np.repeat(covariates, np.diff(bags), axis=0), bags=bags)

    def _joint(self, columns: Sequence[Tokens]) -> Tokens:
        """One stream of several columns, each in its own range of ids, separators between them."""
        parts: list[Tokens] = []
        shift = 0
        for own, size in zip(columns, self.sizes, strict=True):
            parts.append(Tokens(own.values + np.uint8(shift), own.offsets) if shift else own)
            parts.append(_separators(len(own), self.vocabulary - 1))
            shift += int(size) - 1
        return join(parts[:-1])

    def state(self) -> State:
        """`sizes`, `mean`, `std`."""
        return {"sizes": self.sizes, "mean": self.mean, "std": self.std}


def _separators(n_rows: int, symbol: int) -> Tokens:
    return Tokens(np.full(n_rows, symbol, np.uint8), np.arange(n_rows + 1))


def _cut(tokens: Tokens, most: int) -> Tokens:
    lengths = tokens.lengths
    if not len(lengths) or lengths.max() <= most:
        return tokens
    position = np.arange(len(tokens.values)) - np.repeat(tokens.offsets[:-1], lengths)
    long = np.repeat(lengths, lengths)
    keep = (long <= most) | (position < most - most // 2) | (position >= long - most // 2)
    offsets = np.concatenate([[0], np.cumsum(np.minimum(lengths, most))])
    return Tokens(tokens.values[keep], offsets)
