"""The variant families of a table: made of its mutation lists where there are any, else of its sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seqloom.errors import DataError
from seqloom.findings import Finding, finding
from seqloom.mutation.edits import reach
from seqloom.mutation.families import Families, families, no_families
from seqloom.tokens import Tokens, join

if TYPE_CHECKING:
    from seqloom.alphabet import Alphabet
    from seqloom.table import Table

MOST_NAMED = 5
LONGEST_SHOWN = 24
MOST_OF_A_COLUMN = 1 / 3
"""Share of a column that the edits of a variant of the whole chain may be."""


def families_of(table: Table) -> Families:
    """The families of a table's rows; of several sequence columns, as if each row were one chain.

    Where a column is too short beside the others for that there are none.
    A wild type that the settings name is the first family's. Raises DataError for SMILES, which have no sites, and for
    columns of several alphabets.
    """
    return table.remembered("families", "", lambda: _families(table))


def mostly_variants(table: Table) -> bool:
    """Whether half of the rows or more are variants, and some of them mutated."""
    found = families_of(table)
    return 2 * int((found.label >= 0).sum()) >= table.n_rows and bool(found.edits.any())


def chains(table: Table) -> Tokens:
    """Each row as one chain of its sequence columns: what families are told from."""
    return join([table.tokens(column) for column in table.roles.sequences])


def chain_alphabet(table: Table) -> Alphabet | None:
    """The one alphabet of all sequence columns; None where they have several, and for SMILES, which have no sites."""
    found = {table.alphabets[column].name: table.alphabets[column] for column in table.roles.sequences}
    return None if len(found) > 1 or "smiles" in found else next(iter(found.values()))


def needed_families(table: Table, kind: str) -> Families:
    """The families of a table that is to be split by its mutations; DataError where less than half of its rows are variants."""
    found = families_of(table)
    n_variants = int((found.label >= 0).sum())
    if not mostly_variants(table):
        raise DataError(
            f"{table.source.name}: [split] kind = {kind!r} is for variants of few wild types, and {n_variants:,} of "
            f"{table.n_rows:,} rows are mutants of a sequence that others are mutants of too; name the wild type with "
            "--set data.wild_type=FILE if they are far from it, or use another split, such as --set split.kind=similarity"
        )
    return found


def told(table: Table, *, wild_types_matter: bool = True) -> tuple[Finding, ...]:
    """What families were found, and, if they matter, which wild types nothing but a guess stands for."""
    found = families_of(table)
    outside = int((found.label < 0).sum())
    if not len(found):
        return (Finding("families", "info", "no row is a variant of another"),)
    sizes = found.sizes
    named = [
        f"{_first_letters(found, table, each)} ({sizes[each]:,} rows)" for each in range(min(len(found), MOST_NAMED))
    ]
    more = ", ..." if len(found) > MOST_NAMED else ""
    what = "family of variants, with the wild type" if len(found) == 1 else "families of variants, with the wild types"
    message = f"{len(found):,} {what} {', '.join(named)}{more}"
    message += f"; {outside:,} rows are in none" if outside else ""
    findings = [Finding("families", "info", message, len(found))]
    unsure = [each for each in range(len(found)) if not found.certain[each]]
    if unsure and wild_types_matter:
        rows = np.flatnonzero(np.isin(found.label, unsure))
        n_firsts = sum(each == "first row" for each in found.basis)
        taken = f" (the first row of each for {n_firsts:,} of them, where published tables have it)" if n_firsts else ""
        of = "1 family" if len(unsure) == 1 else f"{len(unsure):,} families"
        what = (
            f"{len(rows):,} rows are in {of} whose wild type is a guess{taken}, as no residue has a majority at some sites; if "
            f"you know it, name it with --set data.wild_type=FILE"
        )
        findings.append(finding("wild-type", "warning", what, table.row_numbers[rows]))
    return tuple(findings)


def _first_letters(found: Families, table: Table, family: int) -> str:
    """The wild type of a family, shortened in the middle."""
    alphabet = table.alphabets[table.roles.sequences[0]]
    (text,) = alphabet.decode(found.wild_types.take(np.array([family])))
    return text if len(text) <= LONGEST_SHOWN else f"{text[:12]}...{text[-6:]}"


def _families(table: Table) -> Families:
    columns = table.roles.sequences
    alphabet = chain_alphabet(table)
    if alphabet is None:
        found = ", ".join(f"{column!r} is {table.alphabets[column].name}" for column in columns)
        raise DataError(
            f"{table.source.name}: families of variants are told for proteins, or for nucleic acids, and {found}; name one "
            "column with --sequence COLUMN, or use another split such as scaffold, similarity or random"
        )
    if _has_short_partner(table):
        return no_families(table.n_rows)
    wild_type = None
    if table.wild_type is not None and len(columns) == 1:
        wild_type = alphabet.look_up[np.frombuffer(table.wild_type.sequence.encode(), np.uint8)]
    return families(chains(table), alphabet, wild_type=wild_type, one_family=table.roles.mutations is not None)


def _has_short_partner(table: Table) -> bool:
    """Whether some column that varies is so short that rows with wholly other sequences in it would count as variants.

    All peptides of one MHC allele are near each other as chains, as the allele is most of a chain.
    """
    tokens = [table.tokens(column) for column in table.roles.sequences]
    if len(tokens) == 1:
        return False
    longest = [int(each.lengths.max(initial=0)) for each in tokens]
    most = int(reach(sum(longest)))
    return any(
        most > MOST_OF_A_COLUMN * length and len(each.distinct()[0]) > 1
        for each, length in zip(tokens, longest, strict=True)
    )
