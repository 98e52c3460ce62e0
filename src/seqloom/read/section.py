"""The `[data]` section: where the table is and which column means what."""

from __future__ import annotations

from seqloom.registry import Recipe


class DataSection(Recipe):
    """The `[data]` section: the table, and what its columns mean where that cannot be seen."""

    table: str = ""
    """Path of the table; `data:mhc/x.txt` is looked for in the data folder (SEQLOOM_DATA); `-` is standard input."""
    test: str = ""
    """Path of a second table, whose rows are the test rows."""
    where: str = ""
    """Rows to keep, of both tables, such as `mhc == 'HLA-A*02:01' and peptide_length == 9`."""
    id: str = ""
    """Column of identifiers; rows are called row-1, row-2, ... without one."""
    sequence: tuple[str, ...] = ()
    """Sequence column, or several of them; found by name and content when left out."""
    covariates: tuple[str, ...] = ()
    """Numeric columns given to the model beside the sequences; never chosen unasked."""
    context: tuple[str, ...] = ()
    """Columns the model does not see that make two rows different measurements, such as the allele."""
    group: str = ""
    """Column of related rows, which a split by groups keeps together."""
    set: str = ""
    """Column that says train, valid or test."""
    alphabet: str | dict[str, str] = ""
    """protein, dna, rna or smiles, for all sequence columns or by column; found by content when left out."""
    skip: int = 0
    """Lines to pass over before the header of a delimited file."""
    columns: tuple[str, ...] = ()
    """Column names of a delimited file that has no header."""
