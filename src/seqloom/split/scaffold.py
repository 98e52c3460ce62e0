"""Molecules by their ring systems: a Murcko scaffold is tested or trained on, never both."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa

from seqloom.chemistry import canonical, scaffolds, unread_smiles
from seqloom.errors import DataError
from seqloom.findings import Finding
from seqloom.registry import register
from seqloom.split.inputs import joined, seen_groups
from seqloom.split.random import DealtSplitter
from seqloom.table import Table


@register("splitter", "scaffold")
class ScaffoldSplit(DealtSplitter):
    """Whole Murcko scaffolds at random: molecules of one ring system stand on one side (extra `chem`).

    A molecule without a ring is a unit of its own, in whatever spelling; a SMILES that RDKit cannot read is compared as text.
    With several SMILES columns, rows are one unit when all their scaffolds are equal.
    """

    def units(self, table: Table) -> np.ndarray:
        """Scaffolds, joined where rows have equal inputs."""
        codes = np.zeros(table.n_rows, np.int64)
        for column in _smiles_columns(table):
            own = table.remembered("scaffold codes", column, partial(_scaffold_codes, table.sequences(column)))
            codes = np.unique(codes * (int(own.max(initial=0)) + 1) + own, return_inverse=True)[1]
        return joined(codes, seen_groups(table))

    def findings(self, table: Table) -> tuple[Finding, ...]:
        """SMILES that RDKit cannot read, which are units by their text."""
        found = [unread_smiles(table, column) for column in _smiles_columns(table)]
        return tuple(each for each in found if each is not None)

    @property
    def guarantee(self) -> str:
        """What holds for every test row."""
        return "no test molecule shares its Murcko scaffold, or itself in another spelling, with a training molecule"

    def _unit_name(self, table: Table) -> str:
        return "scaffolds"


def _smiles_columns(table: Table) -> list[str]:
    """Sequence columns of SMILES; DataError if there is none."""
    columns = [column for column in table.roles.sequences if table.alphabets[column].name == "smiles"]
    if not columns:
        found = ", ".join(f"{column!r} is {table.alphabets[column].name}" for column in table.roles.sequences)
        raise DataError(
            f"{table.source.name}: [split] kind = 'scaffold' is for SMILES, and {found}; name the column of molecules with "
            f"--sequence COLUMN (and --set data.alphabet=smiles), or use another split"
        )
    return columns


def _scaffold_codes(smiles: pa.Array) -> np.ndarray:
    """A number for each molecule, int64 (N,): of its scaffold, or of the molecule where it has no ring."""
    encoded = smiles.dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    keys = scaffolds(distinct)
    acyclic = [index for index, scaffold in enumerate(keys) if not scaffold]
    spelling = canonical([distinct[index] for index in acyclic])
    for index, text in zip(acyclic, spelling, strict=True):
        keys[index] = text  # no scaffold reads like an acyclic molecule: it has ring closures
    _, codes = np.unique(np.array(keys, object), return_inverse=True)
    return codes.astype(np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]
