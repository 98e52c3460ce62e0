"""Conditions: columns of the table as numbers that a generator is told with each sequence, and the same from the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from seqloom.errors import ConfigError, DataError
from seqloom.read.numbers import is_text
from seqloom.registry import nearest
from seqloom.table import Table

MOST_CLASSES = 200
FINGERPRINT_BITS = 512


@dataclass(frozen=True)
class Condition:
    """One column: a number, standardised; a class, one of C bits; or a molecule, as the bits of its fingerprint."""

    column: str
    kind: Literal["number", "class", "fingerprint"]
    mean: float = 0.0
    sd: float = 1.0
    classes: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Numbers it is told by."""
        return {"number": 1, "class": len(self.classes), "fingerprint": FINGERPRINT_BITS}[self.kind]

    @staticmethod
    def of(table: Table, asked: str, rows: np.ndarray) -> Condition:
        """The condition that `asked`, a column or `column:fingerprint`, means on these rows."""
        column, _, form = asked.partition(":")
        if column not in table.data.column_names:
            names = table.data.column_names
            raise ConfigError(
                f"[natural] condition: {table.source.name} has no column {column!r}{nearest(column, names)}; columns: "
                f"{', '.join(names[:30])}"
            )
        if form not in ("", "fingerprint"):
            raise ConfigError(f"[natural] condition = {asked!r}: write a column, or column:fingerprint")
        if form == "fingerprint":
            return Condition(column, "fingerprint")
        known = table.take(rows)
        if not is_text(table.data[column].type):
            values = known.numeric(column)
            values = values[~np.isnan(values)]
            if len(np.unique(values)) < 2:
                raise DataError(
                    f"{table.source.name}: column {column!r} has one value in all rows, which says nothing; leave "
                    "the condition out"
                )
            return Condition(column, "number", float(values.mean()), float(values.std()))
        found = sorted({each for each in known.text(column).to_pylist() if each})
        if not 2 <= len(found) <= MOST_CLASSES:
            raise DataError(
                f"{table.source.name}: column {column!r} has {len(found):,} classes; conditions have 2 to {MOST_CLASSES}"
            )
        return Condition(column, "class", classes=tuple(found))

    def missing(self, table: Table) -> np.ndarray:
        """bool (N,): rows without a value."""
        if self.kind == "number":
            return np.isnan(table.numeric(self.column))
        return np.array([not each for each in table.text(self.column).to_pylist()], bool)

    def coded(self, values: Sequence[Any]) -> np.ndarray:
        """float32 (N, width) of N values; ConfigError for what is no number, no known class, or no molecule."""
        if self.kind == "number":
            try:
                return ((np.array(values, np.float64) - self.mean) / self.sd).astype(np.float32)[:, None]
            except ValueError:
                raise ConfigError(f"--condition {self.column}: {values[0]!r} is no number") from None
        if self.kind == "fingerprint":
            return _fingerprints([str(each) for each in values], self.column)
        texts = [str(each) for each in values]
        unknown = sorted(set(texts) - set(self.classes))
        if unknown:
            raise ConfigError(
                f"--condition {self.column}={unknown[0]}: no such class{nearest(unknown[0], self.classes)}; classes: "
                f"{', '.join(self.classes[:30])}"
            )
        return np.eye(len(self.classes), dtype=np.float32)[[self.classes.index(each) for each in texts]]

    def as_json(self) -> dict[str, Any]:
        """For `data.json`."""
        return {**vars(self), "classes": list(self.classes)}

    @staticmethod
    def from_json(facts: Mapping[str, Any]) -> Condition:
        """The condition whose `as_json` this is."""
        return Condition(**{**facts, "classes": tuple(facts["classes"])})


def coded_columns(conditions: Sequence[Condition], columns: pa.Table) -> np.ndarray | None:
    """float32 (N, C) of all conditions side by side, from their columns; None without any. No row may miss one."""
    if not conditions:
        return None
    return np.concatenate([each.coded(columns[each.column].to_pylist()) for each in conditions], axis=1)


def asked_for(conditions: Sequence[Condition], given: Sequence[str]) -> np.ndarray | None:
    """float32 (C,) of `column=value` texts, one for every condition; None where the generator has none and none are given."""
    values: dict[str, str] = {}
    names = [each.column for each in conditions]
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in names:
            known = ", ".join(f"{each}=VALUE" for each in names) or "none, as it was fitted without"
            raise ConfigError(f"--condition {text}: this generator takes {known}")
        values[name] = value
    lacking = [name for name in names if name not in values]
    if lacking:
        raise ConfigError(
            f"this generator needs --condition {' --condition '.join(f'{each}=VALUE' for each in lacking)}"
        )
    if not conditions:
        return None
    return np.concatenate([each.coded([values[each.column]])[0] for each in conditions])


def _fingerprints(smiles: Sequence[str], column: str) -> np.ndarray:
    from seqloom.chemistry import fingerprints

    packed, unread = fingerprints(smiles, bits=FINGERPRINT_BITS)
    if unread.any():
        first = smiles[int(np.flatnonzero(unread)[0])]
        raise ConfigError(
            f"condition {column}: {int(unread.sum())} values are no SMILES that RDKit reads, such as {first!r}; mend them, or "
            "leave these rows out"
        )
    return np.unpackbits(packed.view(np.uint8), axis=1, bitorder="little").astype(np.float32)
