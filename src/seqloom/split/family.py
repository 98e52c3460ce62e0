"""Whole families of variants: does a model know anything of a protein of which it has seen no mutant?"""

from __future__ import annotations

import numpy as np

from seqloom.findings import Finding
from seqloom.mutation.variants import families_of, told
from seqloom.registry import register
from seqloom.split.inputs import joined, seen_groups
from seqloom.split.random import DealtSplitter
from seqloom.table import Table


@register("splitter", "family")
class FamilySplit(DealtSplitter):
    """Whole families of variants at random: all mutants of a wild type stand on one side.

    Families are told from the sequences alone; those whose wild types are variants of each other are kept together. A row
    that is a variant of no other is a unit of its own.
    """

    def units(self, table: Table) -> np.ndarray:
        """Families, joined where they are near each other or share a row's inputs."""
        families = families_of(table)
        codes = np.append(families.kin, -1)[families.label]
        alone = codes < 0
        codes[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
        return joined(codes, seen_groups(table))

    def findings(self, table: Table) -> tuple[Finding, ...]:
        """The families."""
        return told(table, wild_types_matter=False)

    @property
    def guarantee(self) -> str:
        """What holds for every test row."""
        return (
            "no test row is a mutant (of up to a tenth of its residues) of a wild type that training rows are mutants of, nor "
            "has it the inputs of a training row"
        )

    def _unit_name(self, table: Table) -> str:
        return "families of variants"
