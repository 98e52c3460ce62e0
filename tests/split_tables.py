"""Small tables to divide, and the two sides of what comes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from contracts.tables import peptides
from seqloom.findings import Finding
from seqloom.registry import build
from seqloom.split.audit import Audit
from seqloom.split.base import TEST, TRAIN, VALID, Partition, Splitter
from seqloom.split.make import make_partition
from seqloom.table import DataSection, Table, read_table

PLENTY = peptides(400)


def table_of(
    sequences: Sequence[str],
    y: Sequence[object] | np.ndarray | None = None,
    *,
    alphabet: str = "protein",
    section: Mapping[str, object] | None = None,
    **columns: object,
) -> Table:
    """The sequences with a target `y`, all different by default; columns `family` and `set` are taken for what they are."""
    roles = {role: name for role, name in (("group", "family"), ("set", "set")) if name in columns}
    settings = {"sequence": ("sequence",), "alphabet": alphabet, **roles, **(section or {})}
    values = np.arange(len(sequences)) + 0.5 if y is None else y
    data = pa.table({"sequence": sequences, "y": values, **columns})
    return read_table(data, DataSection.model_validate(settings), ("y",))


def splitter_of(kind: str, **settings: object) -> Splitter:
    """The splitter of this kind."""
    found = build("splitter", {"kind": kind, **settings})
    assert isinstance(found, Splitter)
    return found


def parted(
    table: Table,
    kind: str,
    strata: np.ndarray | None = None,
    targets: np.ndarray | None = None,
    **settings: object,
) -> tuple[Partition, Audit]:
    """The partition ready for fitting and its audit; `targets` (N, columns) are the table's first by default."""
    targets = table.numeric(table.roles.targets[0])[:, None] if targets is None else targets
    return make_partition(splitter_of(kind, **settings), table, targets, strata)


def assigned(table: Table, kind: str, **settings: object) -> Partition:
    """The roles alone, as the splitter gives them: the audit of a large table takes its time."""
    return splitter_of(kind, **settings).assign(table, None)


def told(table: Table, kind: str, **settings: object) -> dict[str, Finding]:
    """What the splitter says of the table, by code."""
    return {each.code: each for each in splitter_of(kind, **settings).findings(table)}


def sides(partition: Partition, fold: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows that are fitted (train and valid) and rows that are tested."""
    return np.concatenate([partition.rows(fold, TRAIN), partition.rows(fold, VALID)]), partition.rows(fold, TEST)


def values(table: Table, column: str) -> np.ndarray:
    """A column as text, object (N,)."""
    return np.array(table.text(column).to_pylist(), object)


def of(items: Sequence[object] | np.ndarray, rows: Iterable[int]) -> set[object]:
    """What stands in these rows."""
    return {items[row] for row in rows}
