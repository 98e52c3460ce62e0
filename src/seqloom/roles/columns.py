"""A table whose columns have no roles yet, and the roles while they are being found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from seqloom.errors import DataError
from seqloom.findings import Finding
from seqloom.read.numbers import is_text, parsed
from seqloom.read.section import DataSection
from seqloom.read.signs import unsigned
from seqloom.registry import nearest
from seqloom.roles.conventions import Convention
from seqloom.roles.recognise import sample

N_LOOKED_AT = 2_000
"""Values, spread evenly, that decide what a column holds."""


@dataclass(frozen=True)
class Columns:
    """A table as it was read, before its columns have roles."""

    name: str
    """What messages call the table."""
    typed: pa.Table
    """Numbers where all values are numbers, text elsewhere."""
    is_fasta: bool = False
    convention: str = ""
    """The header convention of a FASTA file."""
    mutations: str | None = None
    """The column of mutation lists that sequences were made of."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why columns that were made have their role."""

    @property
    def names(self) -> list[str]:
        """Every column, in order."""
        names: list[str] = self.typed.column_names
        return names

    def find(self, *wanted: str) -> str | None:
        """The first column called so, whatever the case of its letters."""
        lowered = {name.lower(): name for name in reversed(self.names)}
        return next((lowered[each] for each in wanted if each in lowered), None)

    def head(self, name: str) -> pa.ChunkedArray:
        """Some values of a column that are not missing, spread evenly."""
        return sample(self.typed[name], N_LOOKED_AT).drop_null()

    def is_text(self, name: str) -> bool:
        """Whether the column holds text."""
        return is_text(self.typed[name].type)

    def is_number(self, name: str) -> bool:
        """Whether the column holds numbers, with or without a sign such as `>`, or booleans, a few odd values aside."""
        if not self.is_text(name):
            return not pa.types.is_nested(self.typed[name].type)
        head = self.head(name)
        return len(head) > 0 and float(parsed(unsigned(head))[1].mean()) <= 0.2


@dataclass
class Draft:
    """Roles while they are being found."""

    columns: Columns
    section: DataSection
    for_prediction: bool
    convention: Convention | None = None
    reasons: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def named(self, key: str, names: Iterable[str], *, needed: bool = True) -> tuple[str, ...]:
        """The columns the user named under `[data] key`; DataError for one that is not there."""
        present = [name for name in names if name in self.columns.names]
        for name in names:
            if name not in present and needed:
                raise DataError(unknown_column(f"[data] {key} = {name!r}", name, self.columns))
        for name in present:
            self.reasons.setdefault(name, f"{key}: named in the settings")
        return tuple(present)

    def because(self, name: str, reason: str) -> str:
        """The name itself, once its reason is noted; the first reason stays."""
        self.reasons.setdefault(name, reason)
        return name


def unknown_column(where: str, name: str, columns: Columns) -> str:
    """The message about a column that is not there."""
    names = columns.names
    listed = ", ".join(names[:30]) + (f", ... ({len(names)} in all)" if len(names) > 30 else "")
    return f"{where}: {columns.name} has no column {name!r}{nearest(name, names)}; columns: {listed}"
