"""The library as a whole: its rows, the disk that its store takes, and the time to pack it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seqloom.cost.figure import Figure, computed, measured
from seqloom.cost.packing import Packed, n_cores
from seqloom.cost.sizes import RowBytes
from seqloom.store.layout import Manifest
from seqloom.store.writer import needed_bytes


@dataclass(frozen=True)
class Library:
    """A library of some number of rows, and a store that has rows of it."""

    name: str
    folder: Path
    rows: int
    rows_there: int
    """In the tables or the store; a guess for text."""
    targets: int
    row_bytes: RowBytes
    figures: Mapping[str, Figure]


def of_store(folder: Path, manifest: Manifest, rows: int, manifest_bytes: int) -> Library:
    """That of a store, or of one of `rows` rows like it."""
    n, row = rows or manifest.rows, RowBytes.of(manifest)
    figures: dict[str, Figure] = {}
    if n == manifest.rows:
        there = sum(each.bytes for each in manifest.files) + manifest_bytes
        figures["store_bytes"] = measured(there, "bytes", f"{there / n:.1f} bytes a row, as its files are")
    else:
        total = row.total(n)
        how = f"{total / n:.1f} bytes a row, as the {manifest.rows:,} there are take"
        figures["store_bytes"] = computed(total, "bytes", how)
    return Library(folder.as_posix(), folder, n, manifest.rows, len(manifest.targets), row, figures)


def of_tables(tables: Sequence[str | Path], packed: Packed, rows: int) -> Library:
    """That of tables, by their first rows."""
    n, manifest, row = rows or packed.rows, packed.manifest, RowBytes.of(packed.manifest)
    looked = f"the first {packed.table_rows:,} rows"
    total = row.total(n)
    long = bool(manifest.asked.get("entity_target"))
    needed = needed_bytes(n, row.symbols, len(manifest.targets), len(manifest.components), long=long)
    source = measured if packed.exact else computed
    figures = {
        "rows": source(packed.rows, "rows", f"as {'the files say' if packed.exact else 'their sizes let expect'}, and {looked}"),
        "store_bytes": computed(total, "bytes", f"{total / n:.1f} bytes a row, by {looked}"),
        "packing_bytes": computed(max(needed, total), "bytes", "with what is there only while it is written"),
        "packing_seconds": computed(
            n * packed.row_seconds, "s",
            f"{1 / packed.row_seconds:,.0f} rows a second measured on {looked} from {' and '.join(packed.formats)}, one process",
        ),
    }  # fmt: skip
    if packed.canonical_seconds is not None:
        cores = n_cores()
        figures["canonical_seconds"] = computed(
            n * packed.canonical_seconds / cores, "s",
            f"{1 / packed.canonical_seconds:,.0f} molecules a second and core measured, {cores} cores alike assumed; once, as "
            "pieces are kept",
        )  # fmt: skip
    name = ", ".join(map(str, tables[:3])) + (f" and {len(tables) - 3} more" if len(tables) > 3 else "")
    there = packed.rows
    return Library(name, packed.folder, n, there, len(manifest.targets), row, figures)
