"""What can be asked of `seqloom pack`: the meaning of columns, what is done to sequences, what becomes of bad rows."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import model_validator

from seqloom.alphabet import ALPHABETS
from seqloom.registry import Recipe

UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
LEAST_MEMORY = 16 * 10**6


class Packing(Recipe):
    """How tables become a store."""

    sequence: str = ""
    """Column of the sequences; found by content where one column alone can be it."""
    target: tuple[str, ...] = ()
    """Columns of 0, 1 or nothing. Of a long table: names that `entity_target` has; those of its first rows when left out."""
    entity_target: str = ""
    """Of a long table, with a row for each sequence and target: the column that names the target."""
    value: str = ""
    """Of a long table: the column of 0, 1 or nothing."""
    component: tuple[str, ...] = ()
    """Columns of names that rows share, such as building blocks."""
    rewrite: tuple[str, ...] = ()
    """Text that is replaced in every sequence, in turn: `[Dy]=C`, or `C=O=>CO` where one of the two holds an equals sign."""
    canonical: bool = False
    """Whether molecules are brought to RDKit's canonical SMILES."""
    alphabet: str = ""
    """protein, dna, rna or smiles; found by content when left out."""
    bad_rows: Literal["stop", "skip"] = "stop"
    """Rows that cannot be packed: an error, or left out, counted and listed in left_out.csv."""
    repeats: Literal["stop", "keep"] = "stop"
    """Of a long table, rows of one molecule that do not stand together: an error, or rows of their own."""
    memory: str = "1GB"
    """How much the work may take, about; more makes larger pieces, not other results."""

    @model_validator(mode="after")
    def _fit_together(self) -> Packing:
        if bool(self.entity_target) != bool(self.value):
            raise ValueError("a long table needs both --entity-target and --value")
        if self.alphabet and self.alphabet not in ALPHABETS:
            raise ValueError(f"no alphabet {self.alphabet!r}; there are {', '.join(ALPHABETS)}")
        if self.canonical and self.alphabet not in ("", "smiles"):
            raise ValueError(f"--canonical is for molecules, and --alphabet {self.alphabet} is none of theirs")
        columns = [each for each in (self.sequence, self.entity_target, self.value, *self.component) if each]
        columns += [] if self.entity_target else self.target
        repeated = sorted({each for each in columns if columns.count(each) > 1})
        if repeated:
            raise ValueError(f"named twice: {', '.join(map(repr, repeated))}; a column has one meaning")
        if self.bytes < LEAST_MEMORY:
            raise ValueError(f"--memory {self.memory}: at least 16MB")
        _ = self.rewrites
        return self

    @property
    def long(self) -> bool:
        """Whether a sequence has a row for each of its targets."""
        return bool(self.entity_target)

    @property
    def rewrites(self) -> tuple[tuple[str, str], ...]:
        """What is replaced by what; ValueError for a text that does not say."""
        pairs = []
        for text in self.rewrite:
            sign = "=>" if "=>" in text else "="
            old, found, new = text.partition(sign)
            if not found or not old or (sign == "=" and "=" in new):
                raise ValueError(
                    f"--rewrite {text!r}: write OLD=NEW, or OLD=>NEW where one of the two holds an equals sign"
                )
            pairs.append((old, new))
        return tuple(pairs)

    @property
    def bytes(self) -> int:
        """`memory` as a number; ValueError for a text that is none."""
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]B|)\s*", self.memory.upper())
        if not found:
            raise ValueError(f"--memory {self.memory!r}: write a number and KB, MB or GB, such as 1GB")
        return int(float(found[1]) * UNITS[found[2]])

    @property
    def asked(self) -> dict[str, Any]:
        """What decides the bytes of the store; how bad rows and memory are dealt with may change between two calls."""
        return self.model_dump(mode="json", exclude={"bad_rows", "repeats", "memory"})
