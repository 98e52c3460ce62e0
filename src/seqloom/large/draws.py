"""Weights of the rows of a combinatorial library, drawn again and again: the pigeonhole bootstrap.

Molecules of one library share building blocks, so that their errors go together and rows are not independent. A draw gives every
level of every component a weight of its own, and a row the product of the weights of its levels (Owen 2007,
doi:10.1214/07-AOAS122; Owen and Eckles 2012, doi:10.1214/12-AOAS547). Weights are exponential with mean and variance 1, the
Bayesian form: each draw has a positive, where counts (Poisson, multinomial) lose all of them if few levels hold any.

The weight of a level depends on the seed, the draw, the vocabulary and the level alone: not on what other rows there are, nor on
how many draws are made at a time. What is made of the weights is in `scores`, what they do to a spread in `spread`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seqloom.resample import Floats

ALONE = 0
"""The stream of random numbers for rows without components; that of vocabulary v is v + 1."""


class Weights:
    """Weights of N rows, for any draw.

    `levels` int (N, K): ids of the levels of K components, -1 where a row lacks one. A row weighs the product over the components
    that it has; one without any is a unit of its own, and so is every row if K is 0. `vocabularies` (K,) int >= 0: components of
    equal number name their levels alike, so that one block is one unit wherever it stands; a row that holds it twice is
    weighed by it once. By default every component has names of its own.

    `units` int64 (N, max(K, 1)): what each row is weighed by, -1 for nothing. `ends`: where the units of each kind end;
    kinds are the vocabularies, in order, and last the rows of their own.
    """

    def __init__(self, levels: np.ndarray, seed: int, vocabularies: Sequence[int] | None = None) -> None:
        n_rows, n_components = levels.shape
        kinds = np.arange(n_components) if vocabularies is None else np.asarray(vocabularies, np.int64)
        if len(kinds) != n_components:
            raise ValueError(f"{len(kinds)} vocabularies for {n_components} components")
        self.seed = seed
        self.units = np.full((n_rows, max(n_components, 1)), -1, np.int64)
        streams, ends = [], [0]
        for kind in np.unique(kinds).tolist():
            own = np.flatnonzero(kinds == kind)
            self.units[:, own] = np.where(levels[:, own] >= 0, levels[:, own].astype(np.int64) + ends[-1], -1)
            ends.append(ends[-1] + int(levels[:, own].max(initial=-1)) + 1)
            streams.append(kind + 1)
        for k in range(1, n_components):
            self.units[(self.units[:, :k] == self.units[:, k : k + 1]).any(axis=1), k] = -1
        alone = np.flatnonzero((self.units < 0).all(axis=1))
        if len(alone):
            self.units[alone, 0] = ends[-1] + alone
            ends.append(ends[-1] + n_rows)
            streams.append(ALONE)
        self.ends, self._streams = tuple(ends[1:]), tuple(streams)

    def counts(self) -> tuple[int, ...]:
        """How many units of each kind the rows have."""
        held = np.unique(self.units[self.units >= 0])
        return tuple(np.diff(np.searchsorted(held, (0, *self.ends))).tolist())

    def of(self, draws: range) -> Floats:
        """Weights of every row in these draws: float64 (N, len(draws)), positive, mean 1."""
        table = np.ones((self.ends[-1] + 1 if self.ends else 1, len(draws)))  # the last row, of ones, is unit -1
        for stream, begin, end in zip(self._streams, (0, *self.ends), self.ends, strict=False):
            for column, draw in enumerate(draws):
                generator = np.random.default_rng([self.seed, stream, draw])
                table[begin:end, column] = generator.standard_exponential(end - begin)
        weights = table.take(self.units[:, 0], axis=0, mode="wrap")
        for k in range(1, self.units.shape[1]):
            weights *= table.take(self.units[:, k], axis=0, mode="wrap")
        return weights
