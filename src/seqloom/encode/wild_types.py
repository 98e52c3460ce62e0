"""The wild types that training rows are variants of, kept so that rows of any table can be told from them.

A training row and a new one go by the same rule, so that what is learnt of the one holds for the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seqloom.encode.base import State
from seqloom.mutation.edits import edit_counts, reach
from seqloom.mutation.families import Families, mutations_of
from seqloom.mutation.linking import nearest_reference
from seqloom.mutation.notation import Mutations
from seqloom.mutation.variants import chain_alphabet, chains, families_of
from seqloom.split.recommend import MOST_SYMBOLS
from seqloom.table import Table
from seqloom.tokens import Tokens


def families_unasked(table: Table) -> Families | None:
    """The families of a table, None where they cannot be told or would take longer than anyone asked for."""
    if chain_alphabet(table) is None:
        return None
    n_symbols = sum(len(table.tokens(column).values) for column in table.roles.sequences)
    return families_of(table) if n_symbols <= MOST_SYMBOLS else None


@dataclass(frozen=True)
class WildTypes:
    """F wild types, the largest family's first, or the one that the user named."""

    sequences: Tokens
    first_reach: int
    """Most edits of a variant of the first: more than a tenth of its length where it was named."""

    @staticmethod
    def of(table: Table) -> WildTypes:
        """Those of the families of a table's rows; DataError for SMILES and for columns of several alphabets."""
        found = families_of(table)
        if not len(found):
            return WildTypes(found.wild_types, 0)
        length = int(found.wild_types.lengths[0])
        if found.basis[0] != "named":
            return WildTypes(found.wild_types, int(reach(length)))
        return WildTypes(found.wild_types, length if table.roles.mutations is not None else (length - 1) // 2)

    def label(self, table: Table) -> np.ndarray:
        """The wild type of each row, int64 (N,): the nearest within reach, -1 where there is none."""
        tokens = chains(table)
        label = np.full(len(tokens), -1, np.int64)
        if not len(self.sequences):
            return label
        first = self.sequences.values[: self.sequences.offsets[1]]
        if self.first_reach > reach(len(first)):
            label[edit_counts(first, tokens) <= self.first_reach] = 0
        rest = np.flatnonzero(label < 0)
        label[rest] = nearest_reference(tokens.take(rest), self.sequences)
        return label

    def mutations(self, table: Table, label: np.ndarray) -> Mutations:
        """What makes each row of the wild type that `label` (N,) gives it."""
        return mutations_of(chains(table), label, self.sequences)

    def state(self) -> State:
        """`values`, `offsets`, `first_reach`."""
        return {
            "values": self.sequences.values,
            "offsets": self.sequences.offsets,
            "first_reach": np.array([self.first_reach]),
        }

    @staticmethod
    def restored(state: State) -> WildTypes:
        """The wild types whose `state()` this is."""
        return WildTypes(Tokens(state["values"], state["offsets"]), int(state["first_reach"][0]))
