"""What samples are judged against: training and held-out sequences of a family, and all that is costly to know of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from seqloom.alphabet import SMILES, Alphabet
from seqloom.errors import DataError
from seqloom.quality.controls import resampled
from seqloom.quality.copies import Bank, Nearest, nearest
from seqloom.quality.diversity import clusters, column_difference, distinct_share
from seqloom.quality.family import Family
from seqloom.quality.fidelity import Target, halves
from seqloom.tokens import Tokens

MOST_MEASURED = 10_000
"""Training sequences whose columns and pairs are the target; their weights take time that grows with the square."""
LENGTHS = (0.005, 0.995)
"""Quantiles of training lengths between which a sequence is valid."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Natural sequences, and what was found out about them; made once, asked often."""

    alphabet: Alphabet
    train: Tokens
    held_out: Tokens
    """Not seen in training; may be empty, copies are then judged without a natural measure."""
    family: Family | None
    """None for molecules."""
    weights: np.ndarray | None = None
    """Share of each training sequence, float64 (N,): for draws of training sequences that are weighted."""
    decoys: Mapping[str, Tokens] = field(default_factory=dict)
    """Other families by label, for specificity."""
    seed: int = 0
    _typical: dict[int, tuple[float, float]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(
        cls,
        train: Tokens,
        held_out: Tokens,
        alphabet: Alphabet,
        weights: np.ndarray | None = None,
        decoys: Mapping[str, Tokens] | None = None,
        seed: int = 0,
    ) -> Reference:
        """With the family of the training sequences, which molecules have none. DataError without training sequences."""
        if not len(train) or not len(train.values):
            raise DataError("no training sequence with a residue: there is nothing to judge samples against")
        family = None if alphabet.name == SMILES.name else Family.of(train, alphabet, weights, seed)
        return cls(alphabet, train, held_out, family, weights, decoys or {}, seed)

    def bank(self, tokens: Tokens) -> Bank:
        """Sequences ready to be compared with these."""
        return Bank(tokens, self.alphabet, self.family)

    @cached_property
    def natural(self) -> Bank:
        """Training sequences, ready."""
        return self.bank(self.train)

    @cached_property
    def unseen(self) -> Bank:
        """Held-out sequences, ready."""
        return self.bank(self.held_out)

    @cached_property
    def unseen_nearest(self) -> Nearest:
        """The nearest training sequence of each held-out one: how near nature itself comes."""
        return nearest(self.unseen, self.natural)

    @cached_property
    def unseen_bits(self) -> np.ndarray:
        """Bits of the held-out sequences, float64 (N,); none without a family."""
        return np.zeros(0) if self.family is None else self.family.bits(self.held_out)

    @cached_property
    def lengths(self) -> tuple[int, int]:
        """Shortest and longest valid length."""
        low, high = np.quantile(self.natural.tokens.lengths, LENGTHS)
        return int(np.floor(low)), int(np.ceil(high))

    @cached_property
    def target(self) -> Target | None:
        """Columns and pairs of training sequences; None without a family."""
        return None if self.family is None else Target.of(self._measured, self.family.n_letters + 1)

    @cached_property
    def halves(self) -> dict[str, float]:
        """What half of the training sequences has of the other half, by metric; empty without a family."""
        return {} if self.family is None else halves(self._measured, self.family.n_letters + 1, self.seed)

    def typical(self, n: int) -> tuple[float, float]:
        """Clusters per sequence, and mean difference over the columns, of `n` training sequences."""
        if n not in self._typical:
            own = self.bank(resampled(self.train, n, np.random.default_rng([self.seed, 0x71])))
            apart = distinct_share(clusters(own), self.seed, blocks=0).value
            self._typical[n] = apart, column_difference(own, self.seed, blocks=0).value
        return self._typical[n]

    @property
    def _measured(self) -> np.ndarray:
        aligned = self.natural.aligned
        if len(aligned) <= MOST_MEASURED:
            return aligned
        rng = np.random.default_rng([self.seed, 0x3E])
        return aligned[np.sort(rng.choice(len(aligned), MOST_MEASURED, replace=False))]
