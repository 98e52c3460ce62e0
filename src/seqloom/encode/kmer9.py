"""Words of one length for sequences of any: each row becomes a bag of instances, all 9 symbols long.

What is learnt from instances, how they are weighed, and how predictions are put together again is in `seqloom.predict.fitting`
and `seqloom.encode.base.Inputs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from seqloom.alphabet import Alphabet
from seqloom.encode.base import (
    Encoder,
    FittedEncoder,
    Inputs,
    State,
    covariates_of,
    refuse_huge,
    scale_of,
)  # fmt: skip
from seqloom.encode.positional import Blosum62, OneHot, PositionalEncoder
from seqloom.encode.views import ViewText, unknown_id, viewed
from seqloom.registry import register
from seqloom.table import Table
from seqloom.tokens import Tokens


class Index(PositionalEncoder):
    """The number of the symbol at each position, for models that split at numbers."""

    def vectors(self, alphabet: Alphabet) -> np.ndarray:
        """Ids (V, 1)."""
        return np.arange(alphabet.size, dtype=np.float32)[:, None]

    def components(self, alphabet: Alphabet, present: np.ndarray) -> np.ndarray:
        """The only one."""
        return np.zeros(1, np.int64)


@register("encoder", "kmer9")
class Kmer9(Encoder):
    """Symbols by position after every row was brought to one length, in every way there is.

    A longer row loses a run of symbols at every possible place, a shorter one gains unknown symbols at every possible place
    (Lundegaard et al. 2008, NAR 36:W509; the `kmer_index_encoding` of MHCflurry 2016), so that both ends keep their positions. A
    model learns from all of these instances, each with a share of the row's weight, and the prediction of a row is the mean over
    its instances. Several sequence columns give all pairs of their instances. Predictors that read symbols do the same with
    `encoder = {kind = "tokens", length = 9}`.
    """

    length: Annotated[int, Field(ge=1, le=100)] = 9
    """Symbols of an instance."""
    numbers: Literal["one-hot", "blosum62", "index"] = "one-hot"
    """What stands at each position: a unit vector, a row of BLOSUM62 (proteins only), or the number of the symbol."""
    view: ViewText = ""
    """Part of each sequence that is encoded, as for `one-hot`, before it is brought to one length."""

    def fit(self, table: Table) -> FittedEncoder:
        """Learn which positions vary among the instances of each column, and the scale of covariates."""
        learnt = []
        for column in table.roles.sequences:
            tokens, _ = self.instances(table, column)
            refuse_huge(len(tokens), self.length * 20, self.kind, "use encoder one-hot or kmer")
            learnt.append(self.positions.learn(tokens, table.alphabets[column])["kept"])
        return FittedKmer9(self, tuple(learnt), *scale_of(covariates_of(table)))

    def restore(self, state: State) -> FittedEncoder:
        """The fitted encoder whose `state()` this is."""
        learnt = tuple(state[f"kept/{index}"] for index in range(int(state["columns"][0])))
        return FittedKmer9(self, learnt, state["mean"], state["std"])

    @property
    def positions(self) -> PositionalEncoder:
        """What makes numbers of instances."""
        kinds: dict[str, type[PositionalEncoder]] = {"one-hot": OneHot, "blosum62": Blosum62, "index": Index}
        return kinds[self.numbers](align="left", longest=self.length)

    def instances(self, table: Table, column: str) -> tuple[Tokens, np.ndarray]:
        """The instances of a column and how many each row has; ConfigError for alphabets without an unknown symbol."""
        alphabet = table.alphabets[column]
        unknown = unknown_id(alphabet, f"encoder {self.kind!r}")
        return instances_of(viewed(table.tokens(column), alphabet, self.view), self.length, unknown)


@dataclass(frozen=True)
class FittedKmer9(FittedEncoder):
    """The features of each sequence column that vary, and the scale of covariates."""

    recipe: Kmer9
    kept: tuple[np.ndarray, ...]  # int32 (D, 3) each, as in PositionalEncoder
    mean: np.ndarray  # float64 (C,)
    std: np.ndarray  # float64 (C,)

    def transform(self, table: Table) -> Inputs:
        """Features float32 (M, D) of M instances, covariates last, in bags."""
        found = [self.recipe.instances(table, column) for column in table.roles.sequences]
        bags, places = combined([own for _, own in found])
        features = sum(len(each) for each in self.kept) + len(self.mean)
        refuse_huge(
            bags[-1], features, self.recipe.kind, "use encoder one-hot or kmer, or predict fewer rows at a time"
        )
        parts = []
        for column, kept, (tokens, _), place in zip(table.roles.sequences, self.kept, found, places, strict=True):
            numbers = self.recipe.positions.encode(tokens, table.alphabets[column], {"kept": kept})
            parts.append(numbers[place])
        covariates = ((covariates_of(table) - self.mean) / self.std).astype(np.float32)
        parts.append(np.repeat(covariates, np.diff(bags), axis=0))
        return Inputs(features=np.concatenate(parts, axis=1), bags=bags)

    def state(self) -> State:
        """`kept/<index>` of each of the `columns`, `mean`, `std`."""
        kept = {f"kept/{index}": each for index, each in enumerate(self.kept)}
        return kept | {"columns": np.array([len(self.kept)]), "mean": self.mean, "std": self.std}


def combined(sizes: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Bags of all combinations of the instances of several columns, the last column's turning fastest.

    `sizes`: how many each row has, int64 (N,) by column. Gives where the bag of each row begins and ends, int64 (N + 1,), and by
    column which of its instances each of the M combinations holds, int64 (M,).
    """
    every = reduce(np.multiply, sizes)
    bags = np.concatenate([[0], np.cumsum(every)])
    rows = np.repeat(np.arange(len(every)), every)
    left = np.arange(len(rows)) - bags[rows]
    places = []
    for own in reversed(sizes):
        places.append((np.cumsum(own) - own)[rows] + left % own[rows])
        left = left // own[rows]
    return bags, places[::-1]


def instances_of(tokens: Tokens, length: int, unknown: int) -> tuple[Tokens, np.ndarray]:
    """M sequences of `length` symbols and how many each row has, int64 (N,).

    A row of that length is its only instance. One with more symbols has length + 1: the run that is left out begins after 0, 1,
    ... symbols; one with fewer has as many as it has symbols, and one more: `unknown` stands after 0, 1, ... of them.
    """
    own = tokens.lengths
    sizes = np.where(own == length, 1, np.minimum(own, length) + 1)
    rows = np.repeat(np.arange(len(tokens)), sizes)
    cut = (np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes))[:, None]  # (M, 1)
    surplus = (own - length)[rows][:, None]  # negative where symbols are missing
    position = np.arange(length)  # (length,)
    source = np.where(position < cut, position, position + surplus)
    inserted = (position >= cut) & (position < cut - surplus)
    index = np.where(inserted, 0, tokens.offsets[rows][:, None] + source)
    values = tokens.values[index] if len(tokens.values) else np.zeros(index.shape, np.uint8)
    values = np.where(inserted, np.uint8(unknown), values).ravel()
    return Tokens(values, np.arange(len(rows) + 1) * length), sizes
