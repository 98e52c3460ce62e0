"""N-grams: the plainest generator, which the others have to beat where there is no profile, as of SMILES.

Contexts are counted by numpy alone. A context of k symbols is a number in base V, the last symbol its lowest digit. Id 0, padding
elsewhere, stands before the first symbol, and is written at the end.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from seqloom.generate.base import Dims, Generator, Job, Naturals, Sampler, Score, State, Wanted
from seqloom.generate.written import most_symbols, until_end, writable
from seqloom.registry import register
from seqloom.tokens import Tokens

BLOCK = 1024
"""Sequences drawn side by side. The last block is drawn whole, so that the first of more are those of fewer."""


@register("generator", "ngram")
class Ngram(Generator):
    """Each symbol by the few before it alone: interpolated n-grams, smoothed as by Witten and Bell.

    p(a | h) = (c(h, a) + T(h) p(a | h')) / (c(h) + T(h)), with counts c weighted as sequences are, the number T(h) of different
    symbols seen after the context h, and h' the context without its first symbol, down to all symbols alike (Witten and Bell
    1991, doi:10.1109/18.87000; in this form Chen and Goodman 1999, doi:10.1006/csla.1999.0128). Kneser and Ney's discounts are
    made for words, most of which are rare, and want whole counts; symbols are few, and sequences have weights.
    """

    stochastic = False

    order: Annotated[int, Field(ge=1, le=8)] = 2
    """Symbols of an n-gram, the one that is written and those before it that it depends on: 2 is a bigram."""

    def fit(self, train: Naturals, valid: Naturals, job: Job) -> Sampler:
        """Count the sequences of `train` that can be written; `valid` has no part in it."""
        v = job.dims.vocabulary
        rows = np.flatnonzero(writable(train.tokens, v))
        own = train.tokens.take(rows)
        places = _places(own)
        symbols = _ended(own, places)
        weights = np.repeat(train.weights[rows], own.lengths + 1)
        levels: list[Level] = []
        for n_before in range(self.order):
            codes, row = np.unique(_contexts(symbols, places, n_before, v), return_inverse=True)
            counts = np.bincount(row * v + symbols, weights, len(codes) * v).reshape(len(codes), v)
            n_kinds = (counts > 0).sum(1, keepdims=True)
            lower = following(levels, codes, v)
            levels.append(Level(codes, (counts + n_kinds * lower) / (counts.sum(1, keepdims=True) + n_kinds)))
        return NgramSampler(job.dims, levels)

    def restored(self, dims: Dims, state: State) -> Sampler:
        """The sampler of these tables."""
        levels = [Level(state[f"contexts/{k}"], state[f"chances/{k}"]) for k in range(len(state) // 2)]
        return NgramSampler(dims, levels)


class Level(NamedTuple):
    """What follows contexts of one length."""

    codes: np.ndarray
    """Contexts seen, int64 (M,), rising."""
    chances: np.ndarray
    """Of every symbol after each, the end first, float64 (M, V)."""


class NgramSampler(Sampler):
    """What follows each context that was seen, the shorter ones for those that were not."""

    steered_by = frozenset({"temperature", "prefix"})

    def __init__(self, dims: Dims, levels: list[Level]) -> None:
        super().__init__(dims)
        self.levels, self.v = levels, dims.vocabulary
        self.at_start = float(following(levels, np.zeros(1, np.int64), self.v)[0, 0])
        """Chance of an end before any symbol, which is not written."""

    def score(self, tokens: Tokens, conditions: np.ndarray | None = None) -> Score:
        """Log-likelihood of each sequence, its end included; -inf of an empty one."""
        values = np.full(len(tokens), -np.inf)
        rows = np.flatnonzero(writable(tokens, self.v))
        if not len(rows):
            return Score(values, "log-likelihood")
        own = tokens.take(rows)
        places = _places(own)
        symbols = _ended(own, places)
        codes, row = np.unique(_contexts(symbols, places, len(self.levels) - 1, self.v), return_inverse=True)
        each = np.log(following(self.levels, codes, self.v))[row, symbols]
        values[rows] = np.add.reduceat(each, np.flatnonzero(places == 0)) - np.log1p(-self.at_start)
        return Score(values, "log-likelihood")

    def state(self) -> State:
        """The tables."""
        return {
            f"{name}/{k}": array
            for k, level in enumerate(self.levels)
            for name, array in (("contexts", level.codes), ("chances", level.chances))
        }

    def _sampled(self, wanted: Wanted) -> Tokens:
        limit = most_symbols(self.dims.longest, wanted.prefix)
        parts = [
            self._block(np.random.default_rng([wanted.seed, number]), wanted.temperature, wanted.prefix, limit)[
                : wanted.n - start
            ]
            for number, start in enumerate(range(0, wanted.n, BLOCK))
        ]
        return until_end(np.concatenate([np.zeros((0, limit), np.uint8), *parts]))

    def _block(self, random: np.random.Generator, temperature: float, prefix: np.ndarray, limit: int) -> np.ndarray:
        """Ids uint8 (BLOCK, limit), 0 from the end on."""
        ids = np.zeros((BLOCK, limit), np.uint8)
        ids[:, : len(prefix)] = prefix
        n_codes = self.v ** (len(self.levels) - 1)
        codes = np.zeros(BLOCK, np.int64)
        for symbol in prefix.astype(np.int64):
            codes = (codes * self.v + symbol) % n_codes
        going = np.ones(BLOCK, bool)
        for place in range(len(prefix), limit):
            kinds, row = np.unique(codes, return_inverse=True)
            shares = following(self.levels, kinds, self.v) ** (1 / temperature)
            if place == 0:
                shares[:, 0] = 0
            cumulated = shares.cumsum(1)
            drawn = (cumulated[row] <= (random.random(BLOCK) * cumulated[row, -1])[:, None]).sum(1)
            ids[:, place] = drawn * going
            going &= drawn > 0
            if not going.any():
                break
            codes = (codes * self.v + drawn) % n_codes
        return ids


def following(levels: list[Level], codes: np.ndarray, v: int) -> np.ndarray:
    """Chances (M, V) of what follows contexts (M,), each by the longest part of it that was seen; all alike without any level."""
    chances = np.full((len(codes), v), 1 / v)
    for n_before, level in enumerate(levels):
        parts = codes % v**n_before
        row = np.searchsorted(level.codes, parts).clip(max=len(level.codes) - 1)
        seen = level.codes[row] == parts
        chances[seen] = level.chances[row[seen]]
    return chances


def _places(tokens: Tokens) -> np.ndarray:
    """Of every symbol and of the end, counted from 0 in each sequence, int64 (sum of L + 1,)."""
    starts = tokens.offsets[:-1] + np.arange(len(tokens))
    return np.arange(len(tokens.values) + len(tokens)) - np.repeat(starts, tokens.lengths + 1)


def _ended(tokens: Tokens, places: np.ndarray) -> np.ndarray:
    """Symbols of all sequences, each followed by 0, int64 (sum of L + 1,)."""
    symbols = np.zeros(len(places), np.int64)
    symbols[places < np.repeat(tokens.lengths, tokens.lengths + 1)] = tokens.values
    return symbols


def _contexts(symbols: np.ndarray, places: np.ndarray, n_before: int, v: int) -> np.ndarray:
    """The `n_before` symbols before each place as a number, int64, 0 where the sequence had not begun."""
    codes = np.zeros(len(symbols), np.int64)
    for back in range(1, n_before + 1):
        inside = places >= back
        codes[inside] += symbols[np.flatnonzero(inside) - back] * v ** (back - 1)
    return codes
