"""The wild type that rows of one length vouch for, when nobody names it.

Mutants of one protein agree at nearly every site, so what most of them have at a site is the wild type's. That fails for few
rows, whose ties are decided so that all are as near to single mutants as can be, and for libraries that saturate a few sites,
where every residue is as frequent as any: there the first row is taken, where published tables have the wild type.
"""

from __future__ import annotations

import itertools
from typing import Literal, NamedTuple

import numpy as np

MOST_CHOICES = 64
"""Ways to decide ties that are tried."""

Basis = Literal["named", "majority", "ties", "first row"]


class Reference(NamedTuple):
    """A wild type, uint8 (L,) in ids, and what it rests on."""

    ids: np.ndarray
    basis: Basis

    @property
    def is_certain(self) -> bool:
        """Whether it is more than a choice between residues as frequent."""
        return self.basis in ("named", "majority")


def consensus(ids: np.ndarray, odds: np.ndarray) -> Reference:
    """The wild type of distinct rows `ids`, uint8 (n, L), n > 1.

    `odds`: float64 (V, V), how much likelier a mutation from one residue to another is than back; decides even ties.
    """
    n_rows = len(ids)
    counts = _symbol_counts(ids, len(odds))
    top = counts.max(0)
    best = counts.argmax(0).astype(np.uint8)
    if n_rows > 2 and (2 * top > n_rows).all():
        return Reference(best, "majority")
    open_sites = np.flatnonzero(2 * top <= n_rows)
    tied = [np.flatnonzero(counts[:, site] == top[site]) for site in open_sites]
    n_choices = np.prod([float(len(each)) for each in tied])
    if n_choices <= MOST_CHOICES:
        best = min(_choices(best, open_sites, tied), key=lambda each: _unlikelihood(each, ids, odds))
    if np.median((ids != best).sum(1)) > 1 and n_rows > 2:
        return Reference(ids[0], "first row")
    return Reference(best, "ties")


def exchange_odds(wild: np.ndarray, mutant: np.ndarray, n_symbols: int) -> np.ndarray:
    """Log odds, float64 (V, V), that a residue was mutated to another rather than back, from known mutations (M,).

    Positive at [a, b] when a to b is more frequent than b to a, such as from leucine to alanine.
    """
    counts = np.zeros((n_symbols, n_symbols))
    np.add.at(counts, (wild, mutant), 1)
    odds: np.ndarray = np.log((counts + 1) / (counts.T + 1))
    return odds


def _symbol_counts(ids: np.ndarray, n_symbols: int) -> np.ndarray:
    """How often each symbol stands at each site, int64 (V, L)."""
    n_rows, length = ids.shape
    counts = np.zeros(n_symbols * length, np.int64)
    step = max((1 << 22) // max(length, 1), 1)
    for start in range(0, n_rows, step):
        part = ids[start : start + step].astype(np.int64) * length + np.arange(length)
        counts += np.bincount(part.ravel(), minlength=n_symbols * length)
    return counts.reshape(n_symbols, length)


def _choices(best: np.ndarray, sites: np.ndarray, tied: list[np.ndarray]) -> list[np.ndarray]:
    choices = []
    for symbols in itertools.product(*tied):
        choice = best.copy()
        choice[sites] = symbols
        choices.append(choice)
    return choices


def _unlikelihood(choice: np.ndarray, ids: np.ndarray, odds: np.ndarray) -> tuple[float, ...]:
    """The less the better: most edits of a row, all edits, mutations that are rarer than their reverse, and not a row itself."""
    differs = ids != choice
    edits = differs.sum(1)
    _, site = np.nonzero(differs)
    gain = odds[choice[site], ids[differs]].sum()
    return float(edits.max()), float(edits.sum()), -float(gain), float((edits > 0).all())
