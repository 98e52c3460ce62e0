"""Tables of mutation lists: the column that holds them, and the column of sequences made of it and the wild type."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from seqloom.errors import DataError
from seqloom.findings import N_NAMED_ROWS, Finding
from seqloom.mutation.notation import ALLOWED, MOSTLY, holds_lists, read_lists
from seqloom.mutation.wild_type import WildType, advice, applied, fitting, read_wild_types
from seqloom.read.section import DataSection
from seqloom.roles.columns import Columns

if TYPE_CHECKING:
    from seqloom.table import Table

MANY = 0.5
DERIVED = "mutated_sequence"
"""Name of the column that is made, as ProteinGym calls it."""
MUTATIONS = (
    "mutations", "mutation", "mutants", "mutant", "variants", "variant", "muts", "mut", "aa_mutations", "hgvs_pro", "hgvs",
)  # fmt: skip
"""Names of columns of mutation lists, the likeliest first; what they hold decides."""


@dataclass(frozen=True)
class Written:
    """A table's columns with the mutated sequences written out, if that was asked for."""

    columns: Columns
    wild_type: WildType | None = None
    trouble: dict[int, str] = field(default_factory=dict)
    """Why a list does not fit the wild type, by the number of its row."""
    advice: str = ""

    def findings(self, table: Table) -> list[Finding]:
        """The error about lists of the table, or what a filter left of it, that do not fit the wild type."""
        rows = [each for each in table.row_numbers.tolist() if each in self.trouble]
        if not rows:
            return []
        message = self.message(table.source.name, rows, table.n_rows)
        return [Finding("mutations", "error", message, len(rows), tuple(rows[:N_NAMED_ROWS]))]

    def message(self, name: str, rows: list[int], n_rows: int) -> str:
        """What is wrong with the lists of the rows so numbered, of a table of `n_rows` called `name`."""
        named = "; ".join(f"row {row}: {self.trouble[row]}" for row in rows[:N_NAMED_ROWS])
        wild_type = self.wild_type.described if self.wild_type is not None else ""
        return (
            f"{name}: {len(rows):,} of {n_rows:,} lists in column {self.columns.mutations!r} do not fit the wild type "
            f"{wild_type}: {named}; {self.advice}"
        )


def write_out(columns: Columns, section: DataSection, numbers: np.ndarray, *, has_sequences: bool) -> Written:
    """The columns, and `DERIVED` after them where a wild type is named and sequences are missing.

    `numbers`: what messages call the rows, int64 (N,).
    Raises DataError when no column holds mutation lists, and when they fit the wild type nowhere, or in several places.
    """
    if not section.wild_type:
        return Written(columns)
    wild_types = read_wild_types(section.wild_type)
    if has_sequences:
        return Written(columns, _only(wild_types, section))
    name = mutation_column(columns)
    if name is None:
        raise DataError(
            f"{columns.name}: [data] wild_type is named, and no column holds mutation lists ({ALLOWED}) among "
            f"{', '.join(columns.names[:12])}; leave wild_type out, or add such a column called mutations"
        )
    lists = read_lists(columns.typed[name])
    wild_type = fitting(lists, wild_types, section.first_site, numbers, f"{columns.name}: column {name!r}")
    made = applied(lists, wild_type, columns.typed.num_rows)
    how = "named in the settings" if section.first_site is not None else "where all wild-type letters agree"
    reason = (
        f"sequence: the mutations of column {name!r} applied to the wild type {wild_type.described}; first site "
        f"{wild_type.first_site}: {how}"
    )
    derived = replace(
        columns,
        typed=columns.typed.append_column(DERIVED, made.sequences),
        mutations=name,
        reasons={**columns.reasons, DERIVED: reason, name: "mutations: its values are mutation lists"},
    )
    trouble = {int(numbers[row]): why for row, why in sorted(made.trouble.items())}
    written = Written(derived, wild_type, trouble, advice(lists, wild_type) if trouble else "")
    if len(trouble) == len(numbers) and not section.alphabet:
        raise DataError(written.message(columns.name, list(trouble), len(numbers)))
    return written


def mutation_column(columns: Columns) -> str | None:
    """The column of mutation lists: among those that hold them the one of the likeliest name, else the first.

    A column of the right name may hold many wrong words, which are then reported as such.
    """
    known = [name for name in map(columns.find, MUTATIONS) if name is not None]
    asked = [(name, MANY) for name in known] + [(name, MOSTLY) for name in columns.names]
    return next(
        (name for name, share in asked if columns.is_text(name) and holds_lists(columns.head(name), share)), None
    )


def _only(wild_types: list[WildType], section: DataSection) -> WildType:
    """The wild type beside sequences that are written out; DataError if several are named."""
    if len(wild_types) > 1:
        raise DataError(
            f"[data] wild_type = {section.wild_type!r} holds {len(wild_types)} sequences, and only mutation lists tell which is "
            "meant; name a FASTA file of one record"
        )
    return replace(wild_types[0], first_site=1 if section.first_site is None else section.first_site)
