"""Where each row belongs: to a group, by the table's group column, and to a family of variants, by its sequence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.encode.base import Encoder, FittedEncoder, Inputs, State
from seqloom.encode.wild_types import WildTypes, families_unasked
from seqloom.errors import ConfigError
from seqloom.findings import Finding
from seqloom.mutation.variants import chain_alphabet
from seqloom.read.fasta import strings
from seqloom.registry import register
from seqloom.table import Table
from seqloom.tokens import ragged_bytes

GROUP, FAMILY = range(2)
"""Numbers by column."""


@register("encoder", "groups")
class Groups(Encoder):
    """The number of each row's group, and that of its family of variants.

    Only `group-mean` reads them. Where a row has no group or family, or one that no training row has, the number is -1.
    """

    gives = "groups"

    def fit(self, table: Table) -> FittedEncoder:
        """Learn the names of the groups and the wild types; ConfigError where a table can have neither."""
        column = table.roles.group
        if column is None and chain_alphabet(table) is None:
            found = ", ".join(sorted({table.alphabets[name].name for name in table.roles.sequences}))
            raise ConfigError(
                "encoder 'groups' needs a group column: name it with --group COLUMN (families of variants, which stand in for "
                f"groups, are told for proteins or for nucleic acids, and the sequences are {found})"
            )
        names = None if column is None else pc.unique(table.text(column).drop_null())
        has_families = column is None or families_unasked(table) is not None
        return FittedGroups(names, WildTypes.of(table) if has_families else None)

    def restore(self, state: State) -> FittedEncoder:
        """The fitted encoder whose `state()` this is."""
        names = strings(state["names"], state["ends"]) if "names" in state else None
        return FittedGroups(names, WildTypes.restored(state) if "values" in state else None)


@dataclass(frozen=True)
class FittedGroups(FittedEncoder):
    """The names of the training rows' groups, and the wild types they are variants of; None where they can have none."""

    names: pa.Array | None  # large_string (G,)
    wild_types: WildTypes | None

    def transform(self, table: Table) -> Inputs:
        """Numbers float32 (N, 2), exact up to 16 million."""
        group = family = np.full(table.n_rows, -1)
        if self.names is not None and table.roles.group is not None:
            found = pc.index_in(table.text(table.roles.group), value_set=self.names)
            group = found.fill_null(-1).to_numpy(zero_copy_only=False)
        if self.wild_types is not None:
            family = self.wild_types.label(table)
        return Inputs(features=np.stack([group, family], axis=1).astype(np.float32))

    def findings(self, table: Table) -> tuple[Finding, ...]:
        """That the table lacks the group column."""
        if self.names is None or table.roles.group is not None:
            return ()
        message = (
            f"{table.source.name} has no group column, and the model was trained on groups: every row is predicted as one of an "
            "unknown group; name the column with --group COLUMN"
        )
        return (Finding("no-groups", "warning", message, table.n_rows),)

    def state(self) -> State:
        """`names`, as bytes, and where they end, `ends`; the wild types."""
        state = self.wild_types.state() if self.wild_types is not None else {}
        if self.names is not None:
            state["names"], state["ends"] = ragged_bytes(self.names)
        return state
