"""What its mutations change in a variant: how many there are, how unusual they are, and what they do to hydropathy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seqloom.alphabet import PROTEIN
from seqloom.encode.base import Encoder, FittedEncoder, Inputs, State, covariates_of, scale_of
from seqloom.encode.descriptors import residue_hydropathy
from seqloom.encode.positional import blosum62_scores
from seqloom.encode.wild_types import WildTypes
from seqloom.errors import ConfigError
from seqloom.mutation.variants import chain_alphabet
from seqloom.registry import register
from seqloom.table import Table

IS_VARIANT, MUTATIONS, BLOSUM62, HYDROPATHY = range(4)
"""Features by column; covariates come behind them."""


@register("encoder", "substitutions")
class Substitutions(Encoder):
    """The mutations of a protein variant as four numbers, told from the wild type that is nearest to it.

    Whether it is a variant of a wild type of the training rows, its number of mutations, and the sums over them of the change in
    BLOSUM62 score, S(wild, mutant) - S(wild, wild), and in hydropathy (Kyte and Doolittle 1982). A residue inserted or deleted
    counts as a mutation of the matrix's least score, -4. A row that is no variant has four zeros.
    """

    def fit(self, table: Table) -> FittedEncoder:
        """Learn the wild types, and the scale of the covariates; ConfigError for sequences that are no proteins."""
        if chain_alphabet(table) is not PROTEIN:
            found = ", ".join(sorted({table.alphabets[column].name for column in table.roles.sequences}))
            raise ConfigError(
                f"encoder 'substitutions' is for proteins, and the alphabet is {found}; use one-hot or kmer"
            )
        return FittedSubstitutions(WildTypes.of(table), *scale_of(covariates_of(table)))

    def restore(self, state: State) -> FittedEncoder:
        """The fitted encoder whose `state()` this is."""
        return FittedSubstitutions(WildTypes.restored(state), state["mean"], state["std"])


@dataclass(frozen=True)
class FittedSubstitutions(FittedEncoder):
    """The wild types of the training rows, and the scale of covariates."""

    wild_types: WildTypes
    mean: np.ndarray  # float64 (C,)
    std: np.ndarray  # float64 (C,)

    def transform(self, table: Table) -> Inputs:
        """Features float32 (N, 4 + C), the first four as they are, covariates standardised."""
        label = self.wild_types.label(table)
        mutations = self.wild_types.mutations(table, label)
        scores, hydropathy = blosum62_scores(), residue_hydropathy()
        changes = (
            scores[mutations.wild, mutations.mutant] - scores[mutations.wild, mutations.wild],
            hydropathy[mutations.mutant] - hydropathy[mutations.wild],
        )
        sums = [np.bincount(mutations.rows, change, minlength=table.n_rows) for change in changes]
        covariates = (covariates_of(table) - self.mean) / self.std
        own = np.stack([label >= 0, mutations.counts(table.n_rows), *sums], axis=1)
        return Inputs(features=np.concatenate([own, covariates], axis=1).astype(np.float32))

    def state(self) -> State:
        """The wild types, `mean`, `std`."""
        return self.wild_types.state() | {"mean": self.mean, "std": self.std}
