"""The `[data]` section: where the table is and which column means what; and what is said of bounds among its targets."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field

from seqloom.registry import Recipe

ReplicateRule = Literal["keep", "mean", "median", "first", "drop-conflicting"]
"""What becomes of rows with equal inputs."""


class Censoring(NamedTuple):
    """What `[target]` says of values that are bounds, in original units; nothing by default."""

    inequality: str = ""
    cap_above: float | None = None
    cap_below: float | None = None
    needed: bool = True
    """Whether a column of signs that is named must be there."""

    @property
    def settings(self) -> str:
        """The settings that were given, in words; empty without any."""
        named = {"inequality": self.inequality, "cap_above": self.cap_above, "cap_below": self.cap_below}
        return ", ".join(f"{key} = {value!r}" for key, value in named.items() if value not in ("", None))


UNSAID = Censoring()


class DataSection(Recipe):
    """The `[data]` section: the table, and what its columns mean where that cannot be seen."""

    table: str = ""
    """Path of the table; `data:mhc/x.txt` is looked for in the data folder (SEQLOOM_DATA); `-` is standard input."""
    test: str = ""
    """Path of a second table, whose rows are the test rows."""
    add: dict[str, str] = Field(default_factory=dict)
    """Further tables whose rows all are of one class: `none = "proteome.fasta"` adds its sequences with `none` as their target.
    Rows of a first table without a target of its own are then `positive`."""
    patch: str = ""
    """Path of a table of corrections to the table, applied by id before anything else: cells that are not empty replace its
    values; rows that say `delete` in a column `action`, or nothing but their id, are taken out."""
    rename: dict[str, str] = Field(default_factory=dict)
    """Columns by other names, old to new, such as `{allele = "mhc", peptide = "sequence"}`: of the table and of the test table,
    whichever has them. All other settings, and the columns of a patch, go by the new names. A run remembers them."""
    lookup: dict[str, str] = Field(default_factory=dict)
    """Columns added from a second file, by the values of a column: `{mhc = "pseudosequences.csv"}` adds to each row the other
    columns of that file's row whose first column has the row's `mhc`; of a FASTA file the sequence, as `mhc_sequence`. Names are
    matched as they are written, else as MHC alleles in any usual spelling. A run keeps the file."""
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
    replicates: ReplicateRule = "keep"
    """Rows of equal inputs, when a model is trained: `keep` leaves them rows of their own, always on one side of a split;
    `mean`, `median` and `first` merge their numbers, classes by majority; `drop-conflicting` drops those that differ."""
    wild_type: str = ""
    """Wild type of a table of mutation lists: a FASTA file (or `data:` path), or the sequence itself."""
    first_site: int | None = None
    """Number of the wild type's first residue in the lists; found from their wild-type letters when left out."""
    header: str | tuple[str, ...] = ""
    """Of a FASTA file: a regular expression over each header whose named groups become columns, as in
    `class (?P<class>[A-D])`, empty where it does not match; of several, the first that matches counts."""
    skip: int = 0
    """Lines to pass over before the header of a delimited file."""
    columns: tuple[str, ...] = ()
    """Column names of a delimited file that has no header."""
